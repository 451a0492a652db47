package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const writeTries = 16 // of a change that others may overtake

// Cancel ends a transfer for good, also in the middle of a step; ErrNotPossible when it is final.
// What OneDrive has of it goes in the background: see Mover.Abandon.
func (r *Runner) Cancel(ctx context.Context, owner, id string) (Transfer, error) {
	n, err := r.hold(ctx, owner, id)
	if n != nil {
		defer r.release(n)
	}
	if err != nil {
		return Transfer{}, err
	}
	for range writeTries {
		t, err := r.store.load(ctx, owner, id)
		if err != nil {
			return Transfer{}, err
		}
		if t.State.Final() {
			return t, ErrNotPossible
		}
		if n != nil && n.t != nil {
			t.Work = n.t.Work // may know more than the record
		}
		t.cancel(r.opt.Now())
		switch err := r.store.put(ctx, &t); {
		case errors.Is(err, ErrConflict):
			continue
		case err != nil:
			return Transfer{}, err
		}
		if n == nil {
			r.store.tell(owner, id, &t)
		}
		return t, nil
	}
	return Transfer{}, ErrConflict
}

// hold takes a transfer of this runner out of its turn and interrupts its step. It is nil when the
// transfer is not here.
func (r *Runner) hold(ctx context.Context, owner, id string) (*run, error) {
	r.mu.Lock()
	a := r.accounts[owner]
	if a == nil || a.runs[id] == nil || a.runs[id].state == held || r.stopping {
		r.mu.Unlock()
		return nil, nil
	}
	n := a.runs[id]
	var ended chan struct{}
	if n.state == stepping {
		if n.ended == nil {
			n.ended = make(chan struct{})
		}
		ended = n.ended
		if n.cancel != nil {
			n.cancel(ErrCancelled)
		}
	}
	n.state = held
	if n.timer != nil {
		n.timer.Stop()
	}
	r.mu.Unlock()
	if ended == nil {
		return n, nil
	}
	select {
	case <-ended:
		return n, nil
	case <-ctx.Done():
		return n, fmt.Errorf("cancel: %w", context.Cause(ctx))
	}
}

// release lets a held transfer go: away if its record is final, else on.
func (r *Runner) release(n *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case n.state != held:
	case n.ended != nil: // its step still runs; settle goes on from there
		n.state, n.again = stepping, true
	case r.stopping:
		r.drop(n)
	default:
		if !n.unsaved {
			n.t = nil
		}
		r.enqueue(n) // it finds its record gone, cleans up, or goes on
	}
}

// Retry starts a failed or cancelled transfer anew, and lets a waiting one go on at once. One that OneDrive
// may still finish goes on with that. ErrNotPossible also when its bytes were in the record and have gone.
func (r *Runner) Retry(ctx context.Context, owner, id string) (Transfer, error) {
	return r.retry(ctx, owner, id, func(*Transfer) bool { return false })
}

// RetryAs is Retry of a transfer that becomes what as asks for, a request that was checked. One that is not
// final stays as it is: ErrNotPossible; so does one that OneDrive may still finish: ErrMayArrive.
func (r *Runner) RetryAs(ctx context.Context, owner, id string, as Request) (Transfer, error) {
	return r.retry(ctx, owner, id, func(t *Transfer) bool { return t.become(as) })
}

// retry begins a transfer anew after change, which reports whether it has changed anything.
func (r *Runner) retry(ctx context.Context, owner, id string, change func(*Transfer) bool) (Transfer, error) {
	for range writeTries {
		t, err := r.store.load(ctx, owner, id)
		if err != nil {
			return Transfer{}, err
		}
		changed := change(&t)
		switch {
		case t.State == Waiting && !changed:
			r.store.tell(owner, id, nil)
			return t, nil
		case t.State != Failed && t.State != Cancelled, t.Work.Spent:
			return t, ErrNotPossible
		case changed && t.MayArrive():
			return t, ErrMayArrive
		}
		if left, err := r.store.share(ctx, owner); err == nil && (left.transfers <= 0 || changed && left.bytes < int64(len(t.Work.Inline))) {
			return t, ErrTooMany
		}
		if err = r.store.again(ctx, &t); !errors.Is(err, ErrConflict) {
			return t, err
		}
	}
	return Transfer{}, ErrConflict
}

// RetryFailed starts all failed transfers of owner anew and says how many.
func (r *Runner) RetryFailed(ctx context.Context, owner string) (int, error) {
	if !validOwner(owner) {
		return 0, nil
	}
	var ids []string
	err := r.store.newest(ctx, owner, Failed, "", readAtOnce, func(t Transfer) bool {
		ids = append(ids, t.ID)
		return true
	})
	if err != nil {
		return 0, err
	}
	var count atomic.Int64
	var g errgroup.Group
	g.SetLimit(64) // they share syncs
	for _, id := range ids {
		g.Go(func() error {
			_, err := r.Retry(ctx, owner, id)
			switch {
			case err == nil:
				count.Add(1)
			case errors.Is(err, ErrNotFound), errors.Is(err, ErrNotPossible), errors.Is(err, ErrConflict):
				return nil // somebody else was faster
			case errors.Is(err, ErrTooMany):
				return nil // they can be tried again when others have ended
			}
			return err
		})
	}
	err = g.Wait()
	return int(count.Load()), err
}

// changed looks after a transfer whose record somebody else has written.
func (r *Runner) changed(owner, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return
	}
	var n *run
	if a := r.accounts[owner]; a != nil {
		n = a.runs[id]
	}
	switch {
	case n == nil:
		r.tasks.Go(func() { r.takeUp(owner, id) }) // ends after one read
	case n.state == stepping:
		n.again = true
		r.tasks.Go(func() { r.interrupt(n, owner, id) }) // ends after one read
	case n.state == timed || n.state == parked:
		n.timer.Stop()
		if !n.unsaved {
			n.t = nil
		}
		r.enqueue(n)
	case n.state == ready && !n.unsaved && n.lane == polls:
		n.t = nil
	}
}

// takeUp reads a transfer that is new here.
func (r *Runner) takeUp(owner, id string) {
	for r.ctx.Err() == nil {
		t, err := r.store.begun(r.ctx, owner, id)
		if errors.Is(err, ErrUnavailable) {
			r.pause(time.Second)
			continue
		}
		if err == nil && !t.settled() {
			r.add(&t)
		}
		return
	}
}

// interrupt ends a step whose transfer is final or gone.
func (r *Runner) interrupt(n *run, owner, id string) {
	t, err := r.store.load(r.ctx, owner, id)
	if err == nil && !t.State.Final() || err != nil && !errors.Is(err, ErrNotFound) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.state == stepping && n.cancel != nil {
		n.cancel(ErrCancelled)
	}
}
