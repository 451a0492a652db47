package transfer

import (
	"context"
	"encoding/base64"
	"errors"
	"hash"
	"slices"
	"strings"
	"time"

	"skylift/onedrive"
)

// verdict is what the finished item turned out to be.
type verdict string

const (
	right     verdict = ""
	empty     verdict = codeEmptyFile
	otherSize verdict = codeSizeMismatch
	aPage     verdict = codeSourceNotAFile
)

// judgeItem compares the item with what was asked for. sum is the QuickXorHash of what we sent, ""
// when we have not seen all of it.
func judgeItem(t *Transfer, item onedrive.DriveItem, sum string) verdict {
	switch {
	case item.File == nil && (item.Folder != nil || item.Package != nil):
		return aPage
	case item.Size == 0:
		return empty
	case t.Route != Native && rewritten(item):
		return right
	case t.Size != nil && item.Size != *t.Size:
		return otherSize
	case sum != "" && sumOf(item) != "" && !strings.EqualFold(sumOf(item), sum):
		return otherSize
	case t.Route == Native && item.File != nil && strings.HasPrefix(item.File.MimeType, "text/html") && kindOfType(t.ContentType).image():
		return aPage
	}
	return right
}

// rewritten reports a file whose size and hash are OneDrive's own: into these kinds SharePoint writes
// the properties of its library as it stores them (rclone's page on OneDrive; onedrive-api-docs#935).
func rewritten(item onedrive.DriveItem) bool {
	return item.ParentReference.DriveType != "personal" && rewritable(item.Name)
}

// rewritable reports a name of such a kind, whatever the drive.
func rewritable(name string) bool {
	return slices.Contains([]string{
		".docx", ".docm", ".dotx", ".doc", ".xlsx", ".xlsm", ".xlsb", ".xltx", ".xls", ".pptx", ".pptm", ".potx", ".ppsx", ".ppt", ".vsdx", ".vsd",
		".pdf", ".html", ".htm", ".xhtml", ".mht", ".mhtml", ".aspx",
	}, extension(name))
}

// quickXor is h as OneDrive writes it; "" without h.
func quickXor(h hash.Hash) string {
	if h == nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// sumOf is the QuickXorHash of an item; "" without one.
func sumOf(item onedrive.DriveItem) string {
	if item.File == nil {
		return ""
	}
	return item.File.Hashes.QuickXorHash
}

// Looks at what was just saved and is not there, or not as it was sent: OneDrive's own view lags.
const maxLooks = 5

// lookAgain says when to look again, each time later, and whether at all: n times in a row at most.
func (r *saving) lookAgain(n int) (next Next, again bool) {
	w := &r.t.Work
	if w.Looks++; w.Looks <= n {
		return Next{After: backoff(w.Looks)}, true
	}
	w.Looks = 0
	return Next{}, false
}

// answered notes what OneDrive itself said of the file when it had all of it.
func (r *saving) answered(item onedrive.DriveItem, sum string) {
	r.t.Work.ItemID, r.t.Work.Sum, r.t.Work.Answer, r.t.Work.Looks = item.ID, sum, answerRight, 0
	if judgeItem(r.t, item, sum) != right {
		r.t.Work.Answer = answerWrong
	}
}

// What Work.Answer can be; "": nobody heard the answer.
const (
	answerRight = "right" // the item that it names is what was sent
	answerWrong = "wrong"
)

// verify looks the item up and ends the transfer, one way or the other.
func (r *saving) verify(ctx context.Context) (Next, error) {
	t := r.t
	if t.Work.ItemID == "" {
		return r.committing(ctx)
	}
	t.Work.Phase = Verifying
	item, err := r.client.Item(ctx, onedrive.Ref{DriveID: t.Folder.DriveID, ID: t.Work.ItemID})
	if err != nil {
		return r.unverified(ctx, err)
	}
	return r.judge(ctx, item)
}

// judge ends the transfer by what its item turned out to be.
func (r *saving) judge(ctx context.Context, item onedrive.DriveItem) (Next, error) {
	t := r.t
	v := judgeItem(t, item, t.Work.Sum)
	if v == right && t.Route == Native && kindOfType(t.ContentType).image() && item.Image == nil {
		v = r.judgeSource(ctx)
	}
	if v == empty || v == otherSize {
		if next, again := r.lookAgain(maxLooks); again {
			return next, nil
		}
	}
	switch {
	case v == right, v == otherSize && t.Work.Answer == answerRight: // saved, and changed since
		return r.done(ctx, item)
	case t.Route == Native:
		return r.wrongNative(ctx, item, v)
	case t.Work.Answer == answerWrong && item.ParentReference.DriveType == "personal" && !rewritable(item.Name):
		// OneDrive itself said that it got something else. What a work drive makes of a file is its own affair.
		if err := r.remove(ctx, item); err != nil {
			return r.trouble(ctx, err)
		}
	}
	return r.fail(ctx, string(v), "")
}

// judgeSource looks at the first bytes of the source of a picture that OneDrive fetched by itself
// and has not recognised as one: some servers send their sign-in page under a picture's type.
func (r *saving) judgeSource(ctx context.Context) verdict {
	u, err := ParseSourceURL(r.t.SourceURL)
	if err != nil {
		return right
	}
	res, head, err := r.s.opt.Source.probe(ctx, visit{url: u, owner: r.t.Owner}, true)
	if err != nil || !sniff(head, res.contentType).page() {
		return right
	}
	return aPage
}

// unverified is an item that could not be looked at. The file is there, so no answer makes a failure of
// it; one that says that there is none of that id, or not for us, leads to the look at the name.
func (r *saving) unverified(ctx context.Context, err error) (Next, error) {
	var graph *onedrive.Error
	switch errors.As(err, &graph); {
	case ctx.Err() != nil, graph == nil, errors.Is(err, onedrive.ErrUnauthenticated), errors.Is(err, onedrive.ErrThrottled):
		return r.trouble(ctx, err)
	case errors.Is(err, onedrive.ErrUnavailable), errors.Is(err, onedrive.ErrLocked), graph.Status < 400 || graph.Status >= 500:
		return r.offline(ctx, graph)
	}
	return r.missing(ctx)
}

// missing is an item that was promised and is not there (yet).
func (r *saving) missing(ctx context.Context) (Next, error) {
	t := r.t
	looks := maxLooks
	if t.Work.Answer == answerRight {
		looks = commitLooks // OneDrive itself has said that it has it
	}
	next, again := r.lookAgain(looks)
	if again && t.Work.Looks <= maxLooks {
		return next, nil
	}
	item, found, err := r.lookForOurs(ctx, "")
	switch {
	case err != nil:
		return r.trouble(ctx, err)
	case found && item.ID != t.Work.ItemID:
		t.Work.ItemID, t.Work.Looks = item.ID, 0
		return Next{}, nil
	case found:
		return r.judge(ctx, item)
	case again:
		return next, nil
	case t.Route == Native:
		return r.handOver(ctx, reasonForgotten)
	}
	return r.fail(ctx, "itemNotFound", "")
}

// wrongNative leaves a native result that is not what was asked for to the bin and the file to the relay.
func (r *saving) wrongNative(ctx context.Context, item onedrive.DriveItem, v verdict) (Next, error) {
	if err := r.remove(ctx, item); err != nil {
		return r.trouble(ctx, err)
	}
	if v == empty {
		return r.handOver(ctx, reasonEmpty)
	}
	r.t.Size = nil // what the probe announced is not believed any more
	return r.handOver(ctx, reasonMismatch)
}

// done completes the transfer with its item.
func (r *saving) done(ctx context.Context, item onedrive.DriveItem) (Next, error) {
	t := r.t
	if t.Work.NativeFailed && t.Route == Relay {
		r.settleNative(ctx, item)
	}
	if t.Route == Native {
		r.s.strikes.clear(t.Owner)
		if err := r.s.opt.Memory.Work(ctx, t.Owner); err != nil {
			r.s.opt.Log.Warn("native memory", "err", err)
		}
	}
	full, size := 100.0, item.Size
	t.State, t.Reason, t.Failure, t.Due = Completed, "", nil, time.Time{}
	t.Percent, t.Size, t.Name = &full, &size, item.Name
	if t.Route != Native {
		t.BytesTransferred = &size
	}
	t.Item = &Item{DriveID: driveOf(t, item), ID: item.ID, Name: item.Name, Size: item.Size, WebURL: item.WebURL}
	if t.Work.ETagBefore == "" {
		t.Item.ETag, t.Item.Sum = item.ETag, sumOf(item) // without it there is no undo: what was replaced would be lost
	}
	t.Work = Work{Phase: Verifying, ItemID: item.ID, PostedAt: t.Work.PostedAt, ETagBefore: t.Work.ETagBefore, NativeFailed: t.Work.NativeFailed}
	r.s.forget(t)
	return Next{}, nil
}

// settleNative looks at the job that was left, now that the relay has saved the file: what it made
// in the meantime is removed if it is a second file of this transfer. What the relay managed and
// OneDrive did not is remembered, of the host first, of the account when it happens with another.
func (r *saving) settleNative(ctx context.Context, saved onedrive.DriveItem) {
	t := r.t
	if u, err := ParseSourceURL(t.SourceURL); err == nil {
		r.s.hosts.remember(u, r.s.opt.Now())
		if r.s.strikes.add(t.Owner, u.Host) {
			r.refuse(ctx)
		}
	}
	if t.Work.Monitor == "" {
		return
	}
	job, err := r.client.MonitorStatus(ctx, t.Work.Monitor)
	if err != nil || job.State != onedrive.JobCompleted || job.ItemID == "" || job.ItemID == saved.ID {
		return
	}
	late, err := r.client.Item(ctx, onedrive.Ref{DriveID: t.Folder.DriveID, ID: job.ItemID})
	if err != nil || late.ID == saved.ID || late.Size != saved.Size && late.Size != 0 {
		return
	}
	if err := r.remove(ctx, late); err != nil {
		r.s.opt.Log.Warn("late native file stays", "transfer", t.ID, "err", err)
	}
}
