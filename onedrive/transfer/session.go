package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"skylift/onedrive"
)

var zeroTime time.Time

// spool keeps a source of unknown length in a temporary file, because an upload session must know
// the total before its first byte. The file has no name: it goes with its handle.
func (r *saving) spool(ctx context.Context, res *resource, body io.Reader) (Next, error) {
	f, err := os.CreateTemp(r.s.opt.SpoolDir, "skylift-*")
	if err != nil {
		return Next{}, fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	os.Remove(f.Name())
	w := &spoolWriter{s: r.s, f: f, owner: r.t.Owner}
	defer w.release()
	size, err := io.CopyBuffer(w, body, make([]byte, spoolStep))
	switch {
	case errors.Is(err, errSpoolFull) && w.n+spoolStep > r.s.opt.MaxSpool/2:
		return r.fail(ctx, codeSourceTooLarge, "") // it would not fit if it were alone
	case errors.Is(err, errSpoolFull):
		return r.park(Offline, time.Minute)
	case err != nil:
		return r.trouble(ctx, err)
	}
	res.body.Close() // its place is for others
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Next{}, fmt.Errorf("spool: %w", err)
	}
	if size <= onedrive.MaxPut {
		data, err := r.s.buffers.fill(f, nil, int(size))
		defer func() { r.s.buffers.put(data) }()
		if err != nil {
			return Next{}, fmt.Errorf("spool: %w", err)
		}
		r.t.Size = &size
		return r.put(ctx, data)
	}
	res.size, r.spooled = size, true
	return r.beginSession(ctx, res, f, func() {})
}

// spoolStep is how many bytes are written at once.
const spoolStep = 128 << 10

// beginSession asks for room, opens the upload session, and sends.
func (r *saving) beginSession(ctx context.Context, res *resource, body io.Reader, abort func()) (Next, error) {
	t := r.t
	t.Size = &res.size
	if full, err := r.full(ctx, res.size); err != nil || full {
		if err != nil {
			return r.trouble(ctx, err)
		}
		return r.parkFull()
	}
	if next, over, err := r.openSession(ctx, res.eTag); over || err != nil {
		return next, err
	}
	return r.sendFragments(ctx, body, 0, abort)
}

// openSession makes an upload session under a name that is free and stores its address. eTag is the strong
// validator of the source, if there is one. Over means that the step ends with what is returned.
func (r *saving) openSession(ctx context.Context, eTag string) (_ Next, over bool, _ error) {
	t := r.t
	for range maxPuts {
		name, err := r.claimName(ctx, onedrive.SafeName(t.Work.Wanted), true)
		if err != nil {
			next, err := r.trouble(ctx, err)
			return next, true, err
		}
		t.Name = name
		session, err := r.client.CreateUploadSession(ctx, t.Folder.Ref(), name, t.sent())
		if errors.Is(err, onedrive.ErrNameExists) {
			if next, over, err := r.nameGone(ctx, "", t.tried()); over || err != nil {
				return next, true, err
			}
			continue
		}
		if err != nil {
			next, err := r.trouble(ctx, err)
			return next, true, err
		}
		t.Work.UploadURL, t.Work.SessionEnds, t.Work.SourceETag = session.URL, session.Expires, eTag
		t.Work.PostedAt, t.Work.Sum = r.s.opt.Now(), ""
		if err := r.keep(); err != nil {
			r.dropSession(ctx)
			return Next{}, true, err
		}
		return Next{}, false, nil
	}
	next, err := r.fail(ctx, "nameAlreadyExists", "")
	return next, true, err
}

// full asks OneDrive whether a large file has room. A quota that is hidden is not a full one.
func (r *saving) full(ctx context.Context, size int64) (bool, error) {
	if size < quotaAsk {
		return false, nil
	}
	drive, err := r.s.drives.get(ctx, r, true)
	if errors.Is(err, onedrive.ErrAccessDenied) || errors.Is(err, onedrive.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return drive.Full(size), nil
}

// fragment is bytes of a file on their way to OneDrive; they can be read more than once.
type fragment struct {
	offset, size int64
	reader       func(from int64) io.ReadSeeker
}

// fragmentOf is a fragment that lies in one buffer.
func fragmentOf(data []byte, offset int64) fragment {
	return fragment{offset, int64(len(data)), func(from int64) io.ReadSeeker { return bytes.NewReader(data[from-offset:]) }}
}

// advance shows how many bytes have arrived.
func (r *saving) advance(bytes int64) {
	r.t.BytesTransferred = &bytes
	if size := r.t.Size; size != nil && *size > 0 {
		percent := float64(bytes) / float64(*size) * 100
		r.t.Percent = &percent
	}
	r.progress()
}

// errRewind means that OneDrive wants bytes that are no longer in memory.
var errRewind = errors.New("OneDrive wants earlier bytes")

// Tries of one fragment within a step; its bytes are at hand, so that a hiccup costs the source nothing.
const maxFragmentTries = 5

// putFragment sends one fragment until OneDrive has it, whichever of the answers of microsoft.md §4.4 it gives.
func (r *saving) putFragment(ctx context.Context, f fragment) (onedrive.FragmentAnswer, error) {
	t, end := r.t, f.offset+f.size
	from, unclear := f.offset, false // whether OneDrive may have it without our hearing of it
	var last error
	for try := 1; try <= maxFragmentTries; try++ {
		answer, err := r.client.PutFragmentFrom(ctx, t.Work.UploadURL, from, *t.Size, end-from, f.reader(from))
		if err == nil && (answer.Item != nil || answer.Next >= end) {
			return answer, nil
		}
		last = err
		switch {
		case err == nil: // part of it is missing
			if answer.Next < f.offset {
				return answer, errRewind
			}
			from = answer.Next
			last = errRewind
			continue
		case r.overlooked(ctx, err):
		case errors.Is(err, onedrive.ErrRange):
			unclear = true
		case errors.Is(err, onedrive.ErrUnavailable), errors.Is(err, onedrive.ErrThrottled):
			unclear = true
			if err := r.pause(ctx, try, err); err != nil {
				return answer, err
			}
			if errors.Is(last, onedrive.ErrThrottled) { // it took nothing of it, and a question would count, too
				continue
			}
		default:
			return answer, err
		}
		status, err := r.client.UploadStatus(ctx, t.Work.UploadURL)
		switch {
		case (errors.Is(err, onedrive.ErrSessionGone) && unclear || err == nil && status.Next < 0) && end == *t.Size:
			return onedrive.FragmentAnswer{Next: end}, nil // complete, perhaps: the file is looked for
		case errors.Is(err, onedrive.ErrSessionGone):
			return answer, err
		case err != nil:
			continue
		case status.Next >= end:
			return onedrive.FragmentAnswer{Next: status.Next}, nil
		case status.Next >= 0 && status.Next < f.offset:
			return answer, errRewind
		case errors.Is(last, onedrive.ErrRange) && status.Next <= from:
			// Nothing is there already, so it still sits on a fragment that broke off.
			if err := r.pause(ctx, try, last); err != nil {
				return answer, err
			}
		case status.Next >= f.offset:
			from = status.Next
		}
	}
	return onedrive.FragmentAnswer{}, last
}

// longestPause is the longest wait that is slept through with the bytes at hand.
const longestPause = 20 * time.Second

// pause waits before the next try, as long as OneDrive asks for. A long wait is not slept through, nor one
// that the session does not outlive: the error goes up, and the transfer waits outside.
func (r *saving) pause(ctx context.Context, try int, cause error) error {
	wait, ends := r.pauseFor(try, cause), r.t.Work.SessionEnds
	if wait > longestPause || !ends.IsZero() && r.s.opt.Now().Add(wait).After(ends) {
		return cause
	}
	if r.t.Route == Upload { // the bytes are not read meanwhile
		if err := r.take(); err != nil {
			return err
		}
	}
	if errors.Is(cause, onedrive.ErrThrottled) { // people see why nothing moves
		r.t.State, r.t.Reason = Waiting, Throttled
		r.progress()
		defer func() { r.t.State, r.t.Reason = InProgress, "" }()
	}
	return sleep(ctx, wait)
}

// pauseFor is how long to wait before the next try: what OneDrive asks for, else as an account waits that
// is turned away without a word (see gate), or the longer, the more steps have failed already.
func (r *saving) pauseFor(try int, cause error) time.Duration {
	var graph *onedrive.Error
	switch {
	case errors.As(cause, &graph) && graph.RetryAfter > 0:
		return graph.RetryAfter
	case errors.Is(cause, onedrive.ErrThrottled):
		d := firstThrottle << (try - 1)
		return d + rand.N(d/10)
	}
	return backoff(try + r.t.Work.Errors)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// goneWait is how long a session that is not found is given to be found all the same: as long as rclone
// gives it (microsoft.md §4.4).
const goneWait = 5 * time.Second

// overlooked waits, once, before a session is asked for again that a 404 calls gone.
func (r *saving) overlooked(ctx context.Context, err error) bool {
	var graph *onedrive.Error
	if r.waited || !errors.Is(err, onedrive.ErrSessionGone) || !errors.As(err, &graph) || graph.Status != http.StatusNotFound {
		return false
	}
	r.waited = true
	return sleep(ctx, goneWait) == nil
}

// interrupted decides how a broken relay goes on.
func (r *saving) interrupted(ctx context.Context, err error) (Next, error) {
	t := r.t
	switch {
	case errors.Is(err, errRewind), errors.Is(err, onedrive.ErrRange):
		return r.lost(ctx)
	case errors.Is(err, onedrive.ErrSessionGone):
		next, err := r.lost(ctx)
		r.dropSession(ctx)
		return next, err
	case errors.Is(err, onedrive.ErrNameExists):
		r.dropSession(ctx)
		if next, over, err := r.nameGone(ctx, "", t.tried()); over || err != nil {
			return next, err
		}
		return Next{}, nil // again, under another name
	}
	return r.trouble(ctx, err)
}

// lost counts how often OneDrive lost what it was sent: a few times in a row without progress are
// borne. They are counted apart from the source's own mishaps, so that each ends as what it is.
func (r *saving) lost(ctx context.Context) (Next, error) {
	if r.t.Work.Lost++; r.t.Work.Lost > maxLost {
		return r.fail(ctx, codeOneDriveFault, "")
	}
	return Next{After: backoff(r.t.Work.Lost)}, nil
}

// committed verifies the file that a session has made. OneDrive does not always name it.
func (r *saving) committed(ctx context.Context, item *onedrive.DriveItem, sum string) (Next, error) {
	if item == nil {
		r.t.Work.ItemID, r.t.Work.Sum = "", sum
		return r.committing(ctx)
	}
	r.answered(*item, sum)
	r.t.Work.UploadURL = ""
	return r.verify(ctx)
}

// commitLooks is how often the file of a complete session is looked for: over two minutes or so.
const commitLooks = 9

// committing looks for the file of a session that is complete. To make it may take OneDrive longer than
// an answer, and then all that its session tells is that no byte is missing.
func (r *saving) committing(ctx context.Context) (Next, error) {
	t := r.t
	t.Work.Phase = Verifying
	item, found, err := r.lookForOurs(ctx, "")
	if err != nil {
		return r.trouble(ctx, err)
	}
	if found {
		t.Work.ItemID, t.Work.UploadURL, t.Work.Looks = item.ID, "", 0
		return r.verify(ctx)
	}
	if next, again := r.lookAgain(commitLooks); again {
		return next, nil
	}
	t.Work.Phase = Choosing
	if t.Route == Relay {
		t.Work.Phase = Sending
	}
	next, err := r.lost(ctx)
	r.dropSession(ctx)
	return next, err
}
