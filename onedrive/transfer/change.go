package transfer

import "fmt"

// ErrMayArrive means that a cancelled transfer cannot begin anew as something else: OneDrive may have what it
// was, or still finish it, and there would be two files.
var ErrMayArrive = fmt.Errorf("%w: OneDrive may still finish it as it was", ErrNotPossible)

// MayArrive reports whether a cancelled transfer may have become a file that nobody takes away again, or
// still does: OneDrive fetches it, or had been given all its bytes.
func (t *Transfer) MayArrive() bool {
	given := t.State == Cancelled && t.Route != Native && t.Work.Phase == Verifying
	return t.Leftover == MayArrive || given
}

// Request is what t is asked for as, to be changed and given to Runner.RetryAs. Its source counts as
// judged: see Request.SameSource.
func (t *Transfer) Request() Request {
	r := Request{
		SourceURL: t.SourceURL, SameSource: true, ConflictBehavior: t.ConflictBehavior,
		FolderID: t.Folder.ID, DriveID: t.Folder.DriveID, Folder: t.Folder, FindFolder: t.Work.FindFolder,
	}
	if t.NameGiven {
		r.Name = t.Name
	}
	if t.Route == Upload {
		r.Route = Upload
	}
	return r
}

// Is reports whether t is what r asks for already.
func (t *Transfer) Is(r Request) bool {
	then := *t
	return !then.become(r)
}

// become makes t what r asks for, and reports whether that is anything else than it was. An upload's
// bytes are the client's, wherever it has them from: its source stays.
func (t *Transfer) become(r Request) bool {
	was, n := *t, r.NewTransfer(t.Owner)
	moved := !r.SameSource && t.Route != Upload && (n.SourceURL != t.SourceURL || len(n.Work.Inline) > 0)
	if moved {
		t.SourceURL, t.ContentType, t.Size = n.SourceURL, n.ContentType, n.Size
		t.Work.Inline, t.Work.Spent = n.Work.Inline, false
	}
	switch {
	case n.NameGiven:
		t.Name, t.NameGiven = n.Name, true
	case moved || t.NameGiven:
		t.Name, t.NameGiven = nameFromAddress(t.SourceURL, t.ContentType), false
	}
	t.ConflictBehavior, t.Folder, t.Work.FindFolder = n.ConflictBehavior, n.Folder, n.Work.FindFolder
	return moved || t.Name != was.Name || t.NameGiven != was.NameGiven ||
		t.ConflictBehavior != was.ConflictBehavior || t.Folder.Ref() != was.Folder.Ref()
}
