package transfer

// clone is a copy whose pointers are its own.
func (t *Transfer) clone() Transfer {
	c := *t
	c.Percent, c.BytesTransferred, c.Size = copied(t.Percent), copied(t.BytesTransferred), copied(t.Size)
	c.Failure, c.Item = copied(t.Failure), copied(t.Item)
	return c
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// differs reports whether b must be stored when a is: they differ in more than progress. It runs
// after every poll, so it is written out; a test holds it against the fields.
func differs(a, b *Transfer) bool {
	return a.State != b.State || a.Route != b.Route || a.RouteReason != b.RouteReason || a.Reason != b.Reason ||
		a.Leftover != b.Leftover || a.Attempts != b.Attempts || a.Batch != b.Batch || a.Name != b.Name || a.NameGiven != b.NameGiven ||
		a.SourceURL != b.SourceURL || a.PageURL != b.PageURL || a.PageTitle != b.PageTitle || a.AltText != b.AltText ||
		a.Folder != b.Folder || a.ConflictBehavior != b.ConflictBehavior || a.ContentType != b.ContentType ||
		!a.Started.Equal(b.Started) || !a.Due.Equal(b.Due) || !same(a.Size, b.Size) || !same(a.Failure, b.Failure) || !same(a.Item, b.Item) ||
		workDiffers(&a.Work, &b.Work)
}

func workDiffers(a, b *Work) bool {
	return a.Phase != b.Phase || a.Monitor != b.Monitor || a.UploadURL != b.UploadURL || !a.SessionEnds.Equal(b.SessionEnds) ||
		a.SourceETag != b.SourceETag || !a.PostedAt.Equal(b.PostedAt) || a.Errors != b.Errors || a.Lost != b.Lost || a.Full != b.Full ||
		a.NativeFailed != b.NativeFailed || a.Wanted != b.Wanted || a.Short != b.Short || a.ItemID != b.ItemID ||
		a.ETagBefore != b.ETagBefore || a.SumBefore != b.SumBefore || a.Answer != b.Answer || a.Looks != b.Looks || a.Sum != b.Sum ||
		a.FindFolder != b.FindFolder || a.Taker != b.Taker || !a.Taken.Equal(b.Taken) || a.Spent != b.Spent || !a.LeaveBy.Equal(b.LeaveBy) || a.Removed != b.Removed ||
		len(a.Inline) != len(b.Inline)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }
