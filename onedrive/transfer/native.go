package transfer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"skylift/onedrive"
)

// Waits between two questions to a monitor: a quarter of what the job has taken so far, so that
// its end is heard of within an eighth of its time, on average.
const (
	minPoll      = 250 * time.Millisecond
	maxPoll      = 10 * time.Second
	maxNativeJob = 30 * time.Minute // alive or not: then the relay does it
	maxUnclear   = 5                // answers in a row that say nothing about the job
	postTime     = 15 * time.Second // for the answer to the POST, whatever else ends meanwhile
)

// native asks OneDrive to fetch the source. Posting is stored before the request goes out: from
// then on nobody sends a second one, because nobody can tell whether the first arrived.
func (r *saving) native(ctx context.Context, u *url.URL, res *resource) (Next, error) {
	t := r.t
	if !t.NameGiven {
		t.Work.Wanted = nameOf(t, u, res, res.kind())
	}
	name, err := r.claimName(ctx, onedrive.SafeName(t.Work.Wanted), true)
	if err != nil {
		return r.trouble(ctx, err)
	}
	t.Name, t.Route, t.RouteReason = name, Native, ""
	if res.size > 0 {
		t.Size = &res.size
	}
	if t.ContentType == "" {
		t.ContentType = res.contentType
	}
	now := r.s.opt.Now()
	t.Work.Phase, t.Work.PostedAt, t.Work.LastSign, t.Work.Errors = Posting, now, now, 0
	if err := r.keep(); err != nil {
		t.Work.Phase = Choosing
		return Next{}, err
	}
	// A stop or a cancel must not cut the POST off: its answer is the only way to the monitor.
	post, cancel := context.WithTimeout(context.WithoutCancel(ctx), postTime)
	defer cancel()
	monitor, err := r.client.CreateFromURL(post, t.Folder.Ref(), name, res.url, t.sent())
	if err != nil {
		return r.posted(ctx, err)
	}
	t.Work.Monitor, t.Work.Phase = monitor, Polling
	if err := r.keep(); err != nil {
		return Next{}, err
	}
	return Next{After: minPoll}, nil
}

// posted judges a POST that gave no monitor. Only an answer that surely says no leads away from Posting.
func (r *saving) posted(ctx context.Context, err error) (Next, error) {
	t := r.t
	var ignored *onedrive.IgnoredError
	var graph *onedrive.Error
	errors.As(err, &graph)
	switch {
	case errors.As(err, &ignored):
		return r.ignored(ctx, ignored.Item)
	case errors.Is(err, onedrive.ErrNoMonitor):
		r.refuse(ctx)
		return Next{After: minPoll}, nil // stays in Posting: the file may come yet
	case errors.Is(err, onedrive.ErrNativeUnavailable):
		if errors.Is(err, onedrive.ErrNotFound) {
			if _, gone := r.client.Item(ctx, t.Folder.Ref()); errors.Is(gone, onedrive.ErrNotFound) {
				return r.fail(ctx, "itemNotFound", graph.RequestID)
			}
		}
		r.refuse(ctx)
		return r.toRelay(reasonRefused)
	case graph != nil && graph.Status != 0 && !errors.Is(err, onedrive.ErrUnavailable) && !errors.Is(err, onedrive.ErrForeignHost):
		t.Work.Phase, t.Work.PostedAt = Choosing, time.Time{} // OneDrive said no: nothing has begun
		if errors.Is(err, onedrive.ErrNameExists) && t.ConflictBehavior == onedrive.Rename {
			r.s.names.refuse(t.place(), t.Name, t.ID)
			return Next{}, nil
		}
		return r.trouble(ctx, err)
	case errors.Is(err, onedrive.ErrUnauthenticated), neverSent(err), graph != nil && graph.Status == http.StatusUnauthorized,
		graph == nil && errors.Is(err, onedrive.ErrUnavailable): // the last: no token
		t.Work.Phase, t.Work.PostedAt = Choosing, time.Time{}
		return r.trouble(ctx, err)
	case ctx.Err() != nil:
		return Next{}, ctx.Err()
	}
	return Next{After: minPoll}, nil // unclear: look for the file
}

// neverSent reports whether not even a connection came about, so that nothing can have begun.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// refuse remembers that this account's OneDrive does not fetch.
func (r *saving) refuse(ctx context.Context) {
	if err := r.s.opt.Memory.Refuse(ctx, r.t.Owner, r.s.opt.Now().Add(refusedFor)); err != nil {
		r.s.opt.Log.Warn("native memory", "err", err)
	}
}

// ignored deals with an item that OneDrive made instead of fetching: an empty one is ours to remove
// when it is new, anything else is looked at like every other result.
func (r *saving) ignored(ctx context.Context, item onedrive.DriveItem) (Next, error) {
	if item.Size > 0 {
		r.t.Work.ItemID, r.t.Work.Phase = item.ID, Verifying
		return Next{}, nil
	}
	r.refuse(ctx)
	if err := r.remove(ctx, item); err != nil {
		return r.trouble(ctx, err)
	}
	return r.handOver(ctx, reasonRefused)
}

// remove moves an item to the bin that this transfer has made, and no other: not one that took an
// older file's place, not one that changed since, not one that was there before.
func (r *saving) remove(ctx context.Context, item onedrive.DriveItem) error {
	t := r.t
	if t.Work.ETagBefore != "" || item.ID == "" || item.Folder != nil || item.CreatedDateTime.Before(t.Work.PostedAt.Add(-clockSkew)) {
		return nil
	}
	return ignoreGone(r.client.Delete(ctx, onedrive.Ref{DriveID: driveOf(t, item), ID: item.ID}, item.ETag))
}

func driveOf(t *Transfer, item onedrive.DriveItem) string {
	if t.Folder.DriveID != "" {
		return t.Folder.DriveID
	}
	return item.ParentReference.DriveID
}

// handOver leaves the native route for the relay. The monitor is kept: what OneDrive may still do is
// looked at once more at the end.
func (r *saving) handOver(ctx context.Context, why string) (Next, error) {
	t := r.t
	item, err := r.client.Child(ctx, t.Folder.Ref(), t.Name)
	if err == nil && item.File != nil && item.Size == 0 { // the name was free: an empty file is OneDrive's attempt
		if err := r.remove(ctx, item); err != nil {
			return r.trouble(ctx, err)
		}
	}
	t.Work.NativeFailed, t.Work.ItemID = true, ""
	return r.toRelay(why)
}

// lookForPosted goes on where a POST was sent, perhaps: it looks for the file until the stall time is over.
func (r *saving) lookForPosted(ctx context.Context) (Next, error) {
	t := r.t
	item, found, err := r.lookForOurs(ctx, "")
	if err != nil {
		return r.trouble(ctx, err)
	}
	if found {
		t.Work.ItemID, t.Work.Phase = item.ID, Verifying
		return Next{}, nil
	}
	waited := r.s.opt.Now().Sub(t.Work.PostedAt)
	if waited > r.s.opt.Stall {
		return r.handOver(ctx, reasonStalled)
	}
	return Next{After: monitorDelay(waited)}, nil
}

func monitorDelay(waited time.Duration) time.Duration {
	return min(max(waited/4, minPoll), maxPoll)
}

// poll asks the monitor once.
func (r *saving) poll(ctx context.Context) (Next, error) {
	t, now := r.t, r.s.opt.Now()
	job, err := r.client.MonitorStatus(ctx, t.Work.Monitor)
	switch {
	case ctx.Err() != nil:
		return Next{}, ctx.Err()
	case errors.Is(err, onedrive.ErrForeignHost):
		return r.handOver(ctx, reasonFailed)
	case err != nil:
		return r.unclear(ctx, err)
	}
	t.Work.Errors = 0
	switch job.State {
	case onedrive.JobAlive:
		return r.alive(ctx, job, now)
	case onedrive.JobCompleted:
		return r.completed(ctx, job)
	case onedrive.JobForgotten:
		return r.lookOr(ctx, reasonForgotten)
	}
	if code := job.Code; code == "quotaLimitReached" || code == "malwareDetected" {
		r.t.Work.NativeFailed = true
		if code == "malwareDetected" {
			return r.fail(ctx, code, "")
		}
		r.toRelay(reasonFailed)
		return r.parkFull()
	}
	if job.Code == "notSupported" || job.Code == "notAllowed" {
		r.refuse(ctx) // not this source: this account (microsoft.md §0)
	}
	return r.lookOr(ctx, reasonFailed)
}

// unclear is an answer that says nothing about the job: a few are borne, then the file is looked for.
func (r *saving) unclear(ctx context.Context, err error) (Next, error) {
	t := r.t
	t.Work.Errors++
	var graph *onedrive.Error
	wait := backoff(t.Work.Errors)
	if errors.As(err, &graph) {
		wait = max(wait, graph.RetryAfter)
	}
	if silent := r.s.opt.Now().Sub(t.Work.LastSign); errors.Is(err, onedrive.ErrThrottled) && silent < maxNativeJob {
		t.Work.Errors--
		if graph != nil && graph.RetryAfter == 0 {
			wait = max(wait, min(silent/2, lastThrottle))
		}
		return Next{After: wait}, nil
	}
	if t.Work.Errors <= maxUnclear {
		return Next{After: wait}, nil
	}
	return r.lookOr(ctx, reasonFailed)
}

// alive notes progress; a job without any for too long is left to itself.
func (r *saving) alive(ctx context.Context, job onedrive.AsyncJobStatus, now time.Time) (Next, error) {
	t := r.t
	moved := job.Percent != nil && (t.Percent == nil && *job.Percent > 0 || t.Percent != nil && *job.Percent > *t.Percent)
	if moved || job.Status != t.Work.NativeStatus {
		t.Work.LastSign, t.Work.NativeStatus = now, job.Status
	}
	if job.Percent != nil && *job.Percent > 0 {
		t.Percent = job.Percent
	}
	running := now.Sub(t.Work.PostedAt)
	if now.Sub(t.Work.LastSign) > r.s.opt.Stall || running > maxNativeJob {
		return r.lookOr(ctx, reasonStalled)
	}
	stallLeft := r.s.opt.Stall - now.Sub(t.Work.LastSign) + time.Millisecond
	return Next{After: max(min(monitorDelay(running), stallLeft), job.RetryAfter)}, nil
}

// completed goes on with what the monitor named, or with what is found under the name.
func (r *saving) completed(ctx context.Context, job onedrive.AsyncJobStatus) (Next, error) {
	t := r.t
	id := job.ItemID
	if id == "" && job.Item != nil {
		id = job.Item.ID
	}
	if id == "" {
		return r.lookOr(ctx, reasonForgotten)
	}
	t.Work.ItemID, t.Work.Phase = id, Verifying
	return r.verify(ctx)
}

// lookOr looks whether the file is there all the same; if not, the relay does it.
func (r *saving) lookOr(ctx context.Context, why string) (Next, error) {
	item, found, err := r.lookForOurs(ctx, "")
	if err != nil {
		return r.trouble(ctx, err)
	}
	if found {
		r.t.Work.ItemID, r.t.Work.Phase = item.ID, Verifying
		return r.verify(ctx)
	}
	return r.handOver(ctx, why)
}
