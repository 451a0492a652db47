package transfer

import (
	"context"
	"errors"
	"time"

	"skylift/onedrive"
)

// Leftover is what a cancelled transfer leaves in OneDrive. Its words are those of the JSON API.
type Leftover string

// What is left, where anything is or may be.
const (
	MayArrive Leftover = "mayArrive" // OneDrive had begun to fetch the file and cannot be stopped: it may still finish
	Recycled  Leftover = "recycled"  // the file is in OneDrive's recycle bin
	Kept      Leftover = "kept"      // OneDrive had finished, and the file is not surely ours to remove
)

const (
	abandonTime = maxNativeJob     // how long a cancelled transfer is cleaned up after: its job gets as long as one that is wanted
	lastLook    = 30 * time.Second // the longest wait between two looks at that job
)

// cancel ends t at now. What it has begun at OneDrive is cleaned up by whoever runs it: see Mover.Abandon.
func (t *Transfer) cancel(now time.Time) {
	if t.State != NotStarted {
		t.Work.LeaveBy = now.UTC().Add(abandonTime)
	}
	if t.Work.Monitor != "" || t.Work.Phase == Posting || t.Route == Native && t.Work.Phase == Verifying {
		t.Leftover = MayArrive
	}
	t.State, t.Reason, t.Due = Cancelled, "", time.Time{}
}

// settled reports whether nothing is left to do: the transfer is final, and what it began is cleaned up.
func (t *Transfer) settled() bool { return t.State.Final() && t.Work.LeaveBy.IsZero() }

// resumed is the work of a transfer that begins anew while OneDrive may still finish what it began before:
// that job is followed on, and nothing is begun beside it.
func (w Work) resumed(now time.Time) Work {
	w.LeaveBy, w.LastSign = time.Time{}, now
	w.Errors, w.Looks, w.NativeFailed = 0, 0, false
	if w.Monitor != "" {
		w.Phase = Polling
	}
	return w
}

// Abandon does the next piece of cleaning up after a cancelled transfer. Its upload session is deleted. A
// native job cannot be called back: it is followed to its end, and what it has made goes to the bin.
func (s *Saver) Abandon(ctx context.Context, t *Transfer, keep func() error) (Next, error) {
	r := &saving{s: s, t: t, keep: keep}
	next, err := r.abandon(ctx)
	if err == nil && next == (Next{}) {
		s.forget(t)
	}
	return next, err
}

func (r *saving) abandon(ctx context.Context) (Next, error) {
	t := r.t
	if t.Work.UploadURL == "" && t.Leftover != MayArrive {
		return Next{}, nil
	}
	var err error
	if r.client, err = r.s.opt.Client(ctx, t.Owner); err != nil {
		return r.later(ctx, err)
	}
	if t.Work.UploadURL != "" {
		if err := r.client.CancelUpload(ctx, t.Work.UploadURL); err != nil {
			return r.later(ctx, err)
		}
		t.Work.UploadURL = ""
	}
	if t.Leftover != MayArrive {
		return Next{}, nil
	}
	job := onedrive.AsyncJobStatus{State: onedrive.JobForgotten} // nobody heard of its monitor
	if t.Work.Monitor != "" {
		job, err = r.client.MonitorStatus(ctx, t.Work.Monitor)
	}
	switch {
	case errors.Is(err, onedrive.ErrForeignHost):
		job.State = onedrive.JobForgotten
	case err != nil:
		next, err := r.later(ctx, err)
		next.Throttled = 0 // a monitor's word is not the account's
		return next, err
	case job.State == onedrive.JobAlive && r.s.opt.Now().Before(t.Work.LeaveBy):
		return Next{After: max(r.untilNext(), job.RetryAfter)}, nil
	case job.State == onedrive.JobAlive:
		return Next{}, nil // it may still finish
	}
	return r.clear(ctx, job)
}

// untilNext is how long to wait before the next look: nobody waits for it.
func (r *saving) untilNext() time.Duration {
	return min(max(r.abandoned()/4, minPoll), lastLook)
}

// abandoned is how long ago the transfer was cancelled.
func (r *saving) abandoned() time.Duration {
	return abandonTime - r.t.Work.LeaveBy.Sub(r.s.opt.Now())
}

// later says when to go on after an error, as long as there is time.
func (r *saving) later(ctx context.Context, err error) (Next, error) {
	if ctx.Err() != nil {
		return Next{}, ctx.Err()
	}
	if !r.s.opt.Now().Before(r.t.Work.LeaveBy) {
		r.s.opt.Log.Info("not cleaned up after a cancelled transfer", "transfer", r.t.ID, "error", err)
		return Next{}, nil
	}
	next := Next{After: r.untilNext()}
	var graph *onedrive.Error
	if errors.As(err, &graph) {
		next.After = max(next.After, graph.RetryAfter)
	}
	if errors.Is(err, onedrive.ErrThrottled) {
		if next.Throttled = Unsaid; graph != nil && graph.RetryAfter > 0 {
			next.Throttled = graph.RetryAfter
		}
	}
	return next, nil
}

// clear looks for what a job that has ended, or of which nobody hears any more, has made, and removes it.
func (r *saving) clear(ctx context.Context, job onedrive.AsyncJobStatus) (Next, error) {
	t := r.t
	item, there, mine, err := r.made(ctx, job.ItemID)
	completed := job.State == onedrive.JobCompleted
	switch {
	case err != nil:
		return r.later(ctx, err)
	case mine && t.Work.ETagBefore == "":
		return r.recycle(ctx, item)
	case mine, completed && t.Work.ETagBefore != "": // it is in the place of an older file
		t.Leftover = Kept
	case (completed || job.State == onedrive.JobForgotten) && r.abandoned() < r.s.opt.Stall:
		return Next{After: r.untilNext()}, nil // OneDrive's own view lags
	case completed && there: // and changed since, or not what was asked for
		t.Leftover = Kept
	default:
		t.Leftover = ""
	}
	return Next{}, nil
}

// made is the file that the job has made: what lies under the transfer's name; or, where the relay went on
// under another name, what the monitor named. mine is that it is surely this transfer's, and of no other
// that was to replace what has the name.
func (r *saving) made(ctx context.Context, id string) (item onedrive.DriveItem, there, mine bool, err error) {
	t := r.t
	item, mine, err = r.lookForOurs(ctx, "")
	if err == nil && !mine && t.Route == Relay && id != "" {
		other, gone := r.client.Item(ctx, onedrive.Ref{DriveID: t.Folder.DriveID, ID: id})
		if gone == nil {
			item, mine = other, ours(t, other, "")
		}
	}
	there = err == nil && item.ID != ""
	if there && item.Name == t.Name && !r.s.names.alone(t.place(), t.Name, t.ID) {
		return item, there, false, nil
	}
	if there && t.Work.ETagBefore == "" && item.File != nil && item.Size == 0 { // the name was free: an attempt of OneDrive's
		mine = !item.CreatedDateTime.Before(t.Work.PostedAt.Add(-clockSkew))
	}
	return item, there, mine, err
}

// recycle moves the file to the bin. The record is stored before: whoever has begun the transfer anew keeps
// the file.
func (r *saving) recycle(ctx context.Context, item onedrive.DriveItem) (Next, error) {
	t := r.t
	t.Work.ItemID = item.ID
	if err := r.keep(); err != nil {
		return Next{}, err
	}
	err := r.client.Delete(ctx, onedrive.Ref{DriveID: driveOf(t, item), ID: item.ID}, item.ETag)
	switch {
	case err == nil:
		t.Leftover = Recycled
	case errors.Is(err, onedrive.ErrNotFound):
		t.Leftover = "" // somebody else was faster
	default: // one that was modified may have been so by OneDrive itself (onedrive-api-docs#308)
		next, err := r.later(ctx, err)
		if err == nil && next == (Next{}) {
			t.Leftover = Kept
		}
		return next, err
	}
	return Next{}, nil
}
