package transfer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	progressEvery = time.Second      // per transfer
	errorBudget   = 8                // failed steps in a row before a transfer fails
	longPark      = 15 * time.Minute // what waits without a time looks again after this
	storeTimeout  = 30 * time.Second // of one write; then the transfer waits with what it has in memory
)

// after is what the runner does with a transfer after a step.
type after struct {
	drop      bool
	queue     bool // it needs one of its account's slots first
	park      bool
	wait      time.Duration
	throttled time.Duration
}

// step does one step of n's transfer and stores what came of it.
func (r *Runner) step(n *run) after {
	if wait, err := r.prepare(n); err != nil {
		return after{drop: errors.Is(err, ErrNotFound), wait: wait}
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	r.mu.Lock()
	n.cancel, n.since, n.had = cancel, r.opt.Now(), moved(n.t)
	n.moved.Store(n.had)
	if n.state == held { // cancelled before it began
		cancel(ErrCancelled)
	}
	r.mu.Unlock()
	if !r.owns(partition(n.a.owner)) {
		return after{drop: true}
	}
	switch { // what was parked shows only now which way it goes
	case n.t.relays() && n.lane != streams:
		return after{}
	case n.waitsForSlot() && !n.slot:
		return after{queue: true}
	}
	if r.over(ctx) {
		return after{wait: progressEvery}
	}
	next, err := r.call(ctx, n)
	if r.over(ctx) && !errors.Is(err, ErrConflict) {
		_ = r.save(n) // what it had reached; a conflict means that somebody else has it
		return after{drop: n.t == nil || n.t.settled(), wait: progressEvery}
	}
	if err != nil {
		return r.failed(n, err)
	}
	n.errs = 0
	next = r.slowDown(n, next)
	n.rest()
	if err := r.save(n); err != nil {
		return r.failed(n, err)
	}
	return r.plan(n, next)
}

// slowDown lets the account's gate say how long to wait where Microsoft did not.
func (r *Runner) slowDown(n *run, next Next) Next {
	if next.Throttled != Unsaid {
		return next
	}
	now := r.opt.Now()
	r.mu.Lock()
	next.Throttled = n.a.gate.wait(now)
	r.mu.Unlock()
	if next.Park {
		next.After, n.t.Due = next.Throttled, now.Add(next.Throttled)
	}
	return next
}

// over reports whether ctx ended because the transfer goes to somebody else, or ends.
func (r *Runner) over(ctx context.Context) bool { return context.Cause(ctx) != nil }

// prepare makes n.t the stored truth.
func (r *Runner) prepare(n *run) (time.Duration, error) {
	if n.t == nil {
		t, err := r.store.begun(r.ctx, n.a.owner, n.id)
		if err != nil {
			return time.Second, err
		}
		if t.settled() {
			return 0, ErrNotFound
		}
		n.t, n.kept = &t, nil
		if n.foreign {
			r.recall(&t) // it may have been begun anew just when all was forgotten
		}
		if n.foreign && t.Work.Phase == Posting && r.opt.Instance != "" {
			n.foreign = false
			return r.opt.lease.foreign, ErrConflict
		}
	}
	if n.kept == nil {
		n.kept = spare.Get().(*Transfer)
		*n.kept = *n.t // steps replace what t points at and never write to it
	}
	if n.unsaved {
		if err := r.save(n); err != nil {
			if errors.Is(err, ErrConflict) {
				n.lose()
				return 0, err
			}
			return jitter(2 * time.Second), err
		}
		if n.t.settled() {
			return 0, ErrNotFound
		}
	}
	return 0, nil
}

// spare holds copies for steps: what rests needs none, and there are many.
var spare = sync.Pool{New: func() any { return new(Transfer) }}

// shed gives the copy back after a step, unless t has something that could not be stored.
func (n *run) shed() {
	if n.kept != nil && (n.t == nil || !n.unsaved && !differs(n.kept, n.t)) {
		spare.Put(n.kept)
		n.kept = nil
	}
}

// lose forgets what is in memory: the record is newer.
func (n *run) lose() { n.t, n.unsaved, n.foreign = nil, false, true }

// call runs the Mover; a panic in it is an error of this one transfer.
func (r *Runner) call(ctx context.Context, n *run) (next Next, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.opt.Log.Error("a step panicked", "transfer", n.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic in a step of %s", n.id)
		}
	}()
	keep := func() error { return r.keep(n) }
	if n.t.State.Final() {
		return r.abandon(ctx, n, keep)
	}
	return r.mover.Step(ctx, n.t, keep, func() { r.show(n) })
}

// abandon does the next piece of cleaning up after n's transfer, which was cancelled.
func (r *Runner) abandon(ctx context.Context, n *run, keep func() error) (Next, error) {
	next, err := r.mover.Abandon(ctx, n.t, keep)
	if err == nil && next == (Next{}) {
		n.t.Work.LeaveBy = time.Time{}
	}
	return next, err
}

// keep stores n.t, durably before it returns, if this instance still owns it.
func (r *Runner) keep(n *run) error {
	if !r.owns(partition(n.a.owner)) {
		return fmt.Errorf("%w: %w", ErrConflict, ErrLost)
	}
	r.leave(n)
	// The write outlives a cancelled step: a monitor URL that was given must not be forgotten.
	err := r.store.putAfter(context.Background(), n.kept.State, n.t)
	if errors.Is(err, ErrConflict) && (r.sameAgain(n) || r.passOn(n)) {
		err = r.store.putAfter(context.Background(), n.kept.State, n.t)
	}
	r.enter(n)
	r.store.commit.pass("keep.after")
	if n.unsaved = err != nil && !errors.Is(err, ErrConflict); err == nil {
		*n.kept = *n.t
	}
	return err
}

// sameAgain reports whether the record is only sealed anew and says what it said: then n.t goes on from it.
func (r *Runner) sameAgain(n *run) bool {
	t, err := r.store.load(context.Background(), n.a.owner, n.id)
	if err != nil || t.State != n.kept.State || !t.Modified.Equal(n.kept.Modified) {
		return false
	}
	n.t.Revision = t.Revision
	return true
}

// passOn puts what only this step knows into the record of a transfer that somebody has cancelled or begun
// anew meanwhile, and makes n.t of it: the monitor of a POST that was just answered, or that the file is gone
// with which it was to go on.
func (r *Runner) passOn(n *run) bool {
	t, err := r.store.begun(context.Background(), n.a.owner, n.id)
	if err != nil || t.settled() || !t.Work.PostedAt.Equal(n.t.Work.PostedAt) {
		return false
	}
	was := t
	switch {
	case n.t.Leftover == Recycled && !t.State.Final():
		t.State, t.Route, t.Work = NotStarted, "", t.fresh()
	case n.t.Work.Monitor != "" && t.Work.Phase == Posting:
		t.Work.Monitor, t.Work.Phase = n.t.Work.Monitor, Polling
	default:
		return false
	}
	*n.kept, *n.t = was, t
	return true
}

// save stores n.t if it differs from its record in more than progress.
func (r *Runner) save(n *run) error {
	switch {
	case n.t == nil:
		return nil
	case n.unsaved || differs(n.kept, n.t):
		return r.keep(n)
	case !n.t.State.Final() && (n.t.Percent != nil || n.t.BytesTransferred != nil):
		r.show(n)
	}
	return nil
}

// show publishes progress, at most once a second; it is not stored.
func (r *Runner) show(n *run) {
	n.moved.Store(moved(n.t))
	now := r.opt.Now()
	if now.Sub(n.shown) < progressEvery {
		return
	}
	n.shown = now
	r.store.publish(n.t)
}

// moved is how many bytes of t have come so far.
func moved(t *Transfer) int64 {
	if t.BytesTransferred == nil {
		return 0
	}
	return *t.BytesTransferred
}

// failed decides what follows a step that could not be mapped to a state.
func (r *Runner) failed(n *run, err error) after {
	switch {
	case errors.Is(err, ErrConflict): // somebody else changed the record: it is the truth
		n.lose()
		return after{wait: 50 * time.Millisecond}
	case errors.Is(err, ErrUnavailable): // go on when the store does, with what is in memory
		n.unsaved = true
		return after{wait: jitter(2 * time.Second)}
	}
	n.errs++
	r.opt.Log.Warn("a step failed", "transfer", n.id, "error", err, "in a row", n.errs)
	if n.errs < errorBudget {
		if err := r.save(n); err != nil {
			return r.failed(n, err)
		}
		return after{wait: jitter(min(time.Second<<(n.errs-1), time.Minute))}
	}
	if n.t.State.Final() {
		n.t.Work.LeaveBy = time.Time{} // what is left stays as it is
	} else {
		n.t.State, n.t.Failure, n.t.Reason = Failed, &Failure{Code: codeInternal}, ""
	}
	if err := r.save(n); err != nil {
		if errors.Is(err, ErrConflict) {
			n.lose()
		}
		n.unsaved = n.t != nil
		return after{wait: jitter(2 * time.Second)}
	}
	return after{drop: true}
}

// plan is what next means for a stored transfer.
func (r *Runner) plan(n *run, next Next) after {
	t := n.t
	a := after{throttled: next.Throttled}
	switch {
	case t.settled():
		a.drop = true
	case next.Park:
		if a.park = true; t.Due.IsZero() && next.After > 0 {
			t.Due = r.opt.Now().Add(next.After)
		}
	case next.After == Adaptive:
		since := t.Work.PostedAt
		if since.IsZero() {
			since = t.Created
		}
		a.wait = jitter(pollDelay(r.opt.Now().Sub(since)))
	default:
		a.wait = next.After
	}
	return a
}

// settle puts n where it belongs after a step. r.mu is held.
func (r *Runner) settle(n *run, a after) {
	n.finish()
	acc := n.a
	now := r.opt.Now()
	if a.throttled > 0 {
		acc.gate.throttle(now, a.throttled)
		defer acc.rejoin() // the others ask when it opens, also if this one has ended
	} else if acc.gate.probing && !now.Before(acc.gate.until) {
		acc.gate.pass()
		defer acc.rejoin()
	}
	again, was := n.again, n.lane
	n.again = false
	if n.t != nil && (n.t.State.Final() || n.t.Route != Native && n.t.Route != "") {
		acc.free(n) // the relay has limits of its own, and what was cancelled keeps nobody waiting
	}
	switch { // from here on n can be in another worker's hands
	case n.state == held: // whoever holds it goes on
	case r.stopping || a.drop && !again || !r.owns(partition(acc.owner)) || r.leases != nil && r.leases.leaving[partition(acc.owner)].Load():
		r.drop(n)
	case again: // changed by somebody else meanwhile
		if !n.unsaved {
			n.t = nil
		}
		r.enqueue(n)
	case a.queue:
		acc.line(n)
	case a.park && !n.woken:
		r.park(n)
	case a.wait <= 0:
		r.enqueue(n)
	default:
		n.state = timed
		n.lighten()
		r.arm(n, a.wait)
	}
	if was == streams {
		r.dispatch(streams) // its host or account has room again
	}
}

// park lets n rest until its time or until Wake. r.mu is held.
func (r *Runner) park(n *run) {
	wait := longPark
	if due := n.t.Due; !due.IsZero() {
		wait = max(due.Sub(r.opt.Now()), 0)
	}
	n.state, n.reason, n.t, n.errs = parked, n.t.Reason, nil, 0
	n.a.free(n)
	r.arm(n, wait+jitter(minDelay))
}

// arm sets n's timer. r.mu is held.
func (r *Runner) arm(n *run, d time.Duration) {
	if n.timer == nil {
		n.timer = time.AfterFunc(d, n.fire)
		return
	}
	n.timer.Reset(d)
}

// fire is n's timer. It works in the timer's goroutine when its lane has room.
func (n *run) fire() {
	r := n.r
	r.mu.Lock()
	if (n.state != timed && n.state != parked) || r.stopping {
		r.mu.Unlock()
		return
	}
	r.queueUp(n)
	l := n.lane
	s := &r.lanes[l]
	var first *run
	if s.busy < s.max {
		if first = r.next(l); first != nil {
			s.busy++
			r.tasks.Add(1)
		}
	}
	r.mu.Unlock()
	if first != nil {
		defer r.tasks.Done()
		r.work(first, l)
	}
}

// wake makes what waits for one of reasons due.
func (r *Runner) wake(owner string, reasons []Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[owner]
	if a == nil {
		return
	}
	for _, n := range a.runs {
		switch {
		case n.state == parked && wanted(n.reason, reasons):
			r.enqueue(n)
		case n.state == stepping: // it may be about to park for what is over now
			n.woken = true
		}
	}
}

func wanted(reason Reason, reasons []Reason) bool {
	for _, r := range reasons {
		if r == reason {
			return true
		}
	}
	return len(reasons) == 0
}
