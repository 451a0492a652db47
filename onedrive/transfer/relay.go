package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"

	"skylift/onedrive"
)

// maxUnannounced is how much of a source of unknown length is held in memory; more goes to a file.
const maxUnannounced = 256 << 10

// quotaAsk is the size from which a relay asks first whether there is room.
const quotaAsk = 10 << 20

// send moves the file from its source to OneDrive: one PUT when it is small, an upload session else.
func (r *saving) send(ctx context.Context) (Next, error) {
	t := r.t
	if len(t.Work.Inline) > 0 {
		return r.sendInline(ctx)
	}
	u, err := ParseSourceURL(t.SourceURL)
	if err != nil {
		return r.fail(ctx, codeSourceRefused, "")
	}
	offset := int64(0)
	if t.Work.UploadURL != "" {
		if offset, err = r.resumeAt(ctx); err != nil {
			return r.trouble(ctx, err)
		}
		if offset < 0 {
			return r.committing(ctx)
		}
	}
	if t.Work.UploadURL == "" && !t.Work.PostedAt.IsZero() {
		// An earlier life or the native route may have saved it without our hearing of it.
		if next, over, err := r.adopt(ctx); over || err != nil {
			return next, err
		}
	}
	res, err := r.s.opt.Source.open(ctx, visit{url: u, page: t.PageURL, owner: t.Owner, offset: offset, eTag: t.Work.SourceETag})
	if err != nil {
		return r.sourceGone(ctx, err, offset)
	}
	defer res.body.Close()
	if t.Work.UploadURL != "" {
		return r.resume(ctx, res, offset)
	}
	return r.begin(ctx, u, res)
}

// adopt ends the transfer with the file that is there already, if it is this transfer's.
func (r *saving) adopt(ctx context.Context) (Next, bool, error) {
	t := r.t
	item, found, err := r.lookForOurs(ctx, "")
	if err != nil {
		next, err := r.trouble(ctx, err)
		return next, true, err
	}
	if !found || t.Size == nil {
		return Next{}, false, nil
	}
	if t.Work.NativeFailed {
		t.Route, t.RouteReason = Native, "" // it was OneDrive after all, late
	}
	t.Work.ItemID = item.ID
	next, err := r.verify(ctx)
	return next, true, err
}

// sourceGone is a source that could not be opened. One that changed since it was begun is begun anew.
func (r *saving) sourceGone(ctx context.Context, err error, offset int64) (Next, error) {
	var bad *SourceError
	if offset > 0 && errors.As(err, &bad) && bad.Status == 416 {
		r.dropSession(ctx)
	}
	return r.trouble(ctx, err)
}

// resumeAt asks the session how far it is; 0 with no session left means from the start, and less that
// it is complete.
func (r *saving) resumeAt(ctx context.Context) (int64, error) {
	t := r.t
	session, err := r.client.UploadStatus(ctx, t.Work.UploadURL)
	if r.overlooked(ctx, err) {
		session, err = r.client.UploadStatus(ctx, t.Work.UploadURL)
	}
	switch {
	case errors.Is(err, onedrive.ErrSessionGone):
		r.dropSession(ctx)
		t.Work.Errors++
		return 0, nil
	case err != nil:
		return 0, err
	}
	if t.Size != nil && (session.Next < 0 || session.Next >= *t.Size) {
		t.Work.ItemID = ""
		return -1, nil
	}
	if session.Next <= 0 || t.Size == nil || t.Work.SourceETag == "" {
		// Nothing to gain, or no way to be sure that the source is still the same.
		r.dropSession(ctx)
		return 0, nil
	}
	return session.Next, nil
}

// resume sends the rest. A source that ignores the range but is still the same is read past what is there.
func (r *saving) resume(ctx context.Context, res *resource, offset int64) (Next, error) {
	t := r.t
	if res.eTag != t.Work.SourceETag || t.Size == nil || res.size != *t.Size {
		r.dropSession(ctx)
		t.Work.Errors++
		return Next{}, nil
	}
	if res.offset < offset {
		if _, err := io.CopyN(io.Discard, res.body, offset-res.offset); err != nil {
			return r.trouble(ctx, early(err))
		}
	}
	return r.sendFragments(ctx, res.body, offset, res.body.abort)
}

// early is the error of a source that ended before its time.
func early(err error) error {
	if err == io.EOF {
		return &SourceError{Code: codeSourceIncomplete, Temporary: true}
	}
	return err
}

// begin looks at the first bytes, finds the name, and sends.
func (r *saving) begin(ctx context.Context, u *url.URL, res *resource) (Next, error) {
	t := r.t
	if res.size == 0 {
		return r.fail(ctx, codeEmptyFile, "")
	}
	first, body := int64(maxUnannounced), r.first(res.body, res.size)
	if res.size > onedrive.MaxPut {
		first, body = sniffBytes, res.body // goes on as it comes
	} else if res.size > 0 {
		first = res.size
	}
	buf, err := r.s.buffers.fill(body, nil, int(first))
	defer func() { r.s.buffers.put(buf) }()
	if err == io.EOF && res.size > int64(len(buf)) {
		err = early(err)
	}
	if err != nil && err != io.EOF {
		return r.trouble(ctx, err)
	}
	if len(buf) == 0 {
		return r.fail(ctx, codeEmptyFile, "")
	}
	head := buf[:min(len(buf), sniffBytes)]
	k := sniff(head, res.contentType)
	if k.page() && !pageWanted(t, res.disposition, u) {
		return r.fail(ctx, codeSourceNotAFile, k.mime)
	}
	if standIn(u, res, k, head) {
		return r.fail(ctx, codeSourceHotlinkRefused, k.mime)
	}
	if !t.NameGiven && t.Work.PostedAt.IsZero() {
		t.Work.Wanted = nameOf(t, u, res, k)
	}
	if t.ContentType == "" || k.sure {
		t.ContentType = k.mime
	}
	switch {
	case err == io.EOF, res.size > 0 && res.size <= onedrive.MaxPut:
		res.body.Close() // its place is for others
		size := int64(len(buf))
		t.Size = &size
		return r.put(ctx, buf)
	case res.size < 0:
		return r.spool(ctx, res, io.MultiReader(bytes.NewReader(buf), body))
	}
	return r.beginSession(ctx, res, io.MultiReader(bytes.NewReader(buf), res.body), res.body.abort)
}

// sendInline saves the bytes of a data: URL.
func (r *saving) sendInline(ctx context.Context) (Next, error) {
	t := r.t
	k := sniff(t.Work.Inline[:min(len(t.Work.Inline), sniffBytes)], t.ContentType)
	if !t.NameGiven && t.Work.PostedAt.IsZero() {
		t.Work.Wanted = onedrive.SafeName(k.mend(k.word() + "-" + t.Created.UTC().Format("20060102-150405")))
	}
	size := int64(len(t.Work.Inline))
	t.Size = &size
	return r.put(ctx, t.Work.Inline)
}

// maxPuts bounds the names and repetitions of one PUT within a step.
const maxPuts = 20

// put sends a small file in one request. PostedAt is stored before, so that after a crash or an
// unclear answer the file is looked for and not sent twice.
func (r *saving) put(ctx context.Context, data []byte) (Next, error) {
	t := r.t
	h := onedrive.QuickXor()
	h.Write(data)
	sum := quickXor(h)
	size, unclear := int64(len(data)), !t.Work.PostedAt.IsZero()
	for range maxPuts {
		if unclear {
			item, found, err := r.lookForOurs(ctx, sum)
			if err != nil {
				return r.trouble(ctx, err)
			}
			if found {
				t.Work.ItemID, t.Work.Sum = item.ID, sum
				return r.verify(ctx)
			}
		}
		if !unclear || t.Name == "" {
			// What says fail is refused when the name is taken, so rename need not look first; but where
			// size and hash may not tell whose a file is, nothing must have had the name before.
			look := t.ConflictBehavior != onedrive.Rename || t.Work.Errors > 0 || rewritable(t.Work.Wanted)
			name, err := r.claimName(ctx, onedrive.SafeName(t.Work.Wanted), look)
			if err != nil {
				return r.trouble(ctx, err)
			}
			t.Name, t.Work.PostedAt, t.Work.Sum = name, r.s.opt.Now(), sum
			if err := r.keep(); err != nil {
				t.Work.PostedAt, t.Work.Sum = zeroTime, ""
				return Next{}, err
			}
		}
		item, err := r.client.PutContent(ctx, t.Folder.Ref(), t.Name, t.sent(), t.ContentType, size, r.second(bytes.NewReader(data), size))
		switch {
		case err == nil:
			r.answered(item, sum)
			return r.verify(ctx)
		case errors.Is(err, onedrive.ErrNameExists):
			if next, over, err := r.nameGone(ctx, sum, unclear); over || err != nil {
				return next, err
			}
			unclear = false
		default:
			if sure(err) {
				t.Work.PostedAt = zeroTime
			}
			return r.trouble(ctx, err)
		}
	}
	return r.fail(ctx, "nameAlreadyExists", "")
}

// sure reports an answer that says for certain that nothing was saved.
func sure(err error) bool {
	var graph *onedrive.Error
	return errors.As(err, &graph) && graph.Status >= 400 && !errors.Is(err, onedrive.ErrUnavailable)
}

// nameGone deals with a name that turned out to be taken: by this very file, if it was sent before; or by
// another, and then the next number is tried.
func (r *saving) nameGone(ctx context.Context, sum string, before bool) (Next, bool, error) {
	t := r.t
	item, err := r.client.Child(ctx, t.Folder.Ref(), t.Name)
	if err != nil && !errors.Is(err, onedrive.ErrNotFound) {
		next, err := r.trouble(ctx, err)
		return next, true, err
	}
	if err == nil && (t.Work.NativeFailed || before) && ours(t, item, sum) {
		r.dropSession(ctx)
		t.Work.ItemID, t.Work.Sum = item.ID, cmpOr(sum, t.Work.Sum)
		next, err := r.verify(ctx)
		return next, true, err
	}
	if err != nil && (t.Work.NativeFailed || before && sum != "") {
		if next, again := r.lookAgain(maxLooks); again {
			return next, true, nil // it may be ours, and only not seen yet
		}
	}
	if t.ConflictBehavior != onedrive.Rename && err != nil {
		// Nothing has the name but an upload session of which nobody heard: it lasts a day (microsoft.md §4.4).
		next, err := r.locked(ctx)
		return next, true, err
	}
	if t.ConflictBehavior != onedrive.Rename {
		next, err := r.fail(ctx, "nameAlreadyExists", "")
		return next, true, err
	}
	r.s.names.refuse(t.place(), t.Name, t.ID)
	t.Work.PostedAt = zeroTime
	t.Work.Errors = max(t.Work.Errors, 1) // from here on look before taking a name
	return Next{}, false, nil
}
