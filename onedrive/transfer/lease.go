package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Times of a lease. One lives longer than an election of the cluster (4-9 s), or owners would flap
// during each; who holds it lets go of it earlier than the cluster does.
type leaseTimes struct {
	ttl, hold, renew time.Duration
	look             time.Duration // how often free partitions are looked for
	reconcile        time.Duration // how often records are compared with what runs, in case that a doorbell was lost
	foreign          time.Duration // how long another instance's POST gets to show
}

var standardLease = leaseTimes{ttl: 30 * time.Second, hold: 25 * time.Second, renew: 10 * time.Second, look: 2 * time.Second, reconcile: time.Minute, foreign: 30 * time.Second}

const (
	joinTime   = 30 * time.Second // how long a new instance tries to open the leases
	settleTime = 5 * time.Second  // how long steps get to end before a partition is given away

	leaseSubject = "skylift.lease" // rings when leases were given back or somebody came
)

// leases are the partitions that this instance owns.
type leases struct {
	r       *Runner
	kv      jetstream.KeyValue
	started time.Time
	until   [partitions]atomic.Int64 // owned until this long after started; 0: not ours
	leaving [partitions]atomic.Bool  // being given away: nothing new starts
	look    chan struct{}
	ended   chan struct{}

	mu        sync.Mutex // one round at a time
	revisions [partitions]uint64
}

// startLeases opens the bucket and begins to take partitions.
func (r *Runner) startLeases(ctx context.Context) error {
	if !validOwner(r.opt.Instance) {
		return fmt.Errorf("instance name %q: only letters, digits, _ and -", r.opt.Instance)
	}
	js, err := jetstream.New(r.store.nc, jetstream.WithDefaultTimeout(publishTimeout))
	if err != nil {
		return err
	}
	kv, err := r.openLeases(ctx, js)
	if err != nil {
		return fmt.Errorf("open the leases: %w", err)
	}
	l := &leases{r: r, kv: kv, started: time.Now(), look: make(chan struct{}, 1), ended: make(chan struct{})}
	sub, err := r.store.events.Subscribe(leaseSubject, func(*nats.Msg) { l.soon() })
	if err != nil {
		return err
	}
	r.subs = append(r.subs, sub)
	r.leases, r.owns = l, l.owns
	go l.run() // ends with r.ctx; release waits for it
	return nil
}

// openLeases makes the bucket; a cluster that is busy or without a leader gets the time of an election.
func (r *Runner) openLeases(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, publishTimeout)
		kv, err := js.CreateOrUpdateKeyValue(try, jetstream.KeyValueConfig{
			Bucket: "leases", History: 1, TTL: r.opt.lease.ttl, Storage: jetstream.FileStorage, Replicas: r.store.opt.Replicas,
		})
		done()
		if err == nil {
			return kv, nil
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (l *leases) owns(p int) bool { return time.Since(l.started) < time.Duration(l.until[p].Load()) }

func (l *leases) soon() {
	select {
	case l.look <- struct{}{}:
	default:
	}
}

func (l *leases) ring() { _ = l.r.store.events.Publish(leaseSubject, nil) }

func (l *leases) run() {
	defer close(l.ended)
	// What was asked of the store when the runner stops is answered still: a lease whose revision is
	// not known cannot be given back.
	ctx := context.WithoutCancel(l.r.ctx)
	if _, err := l.kv.PutString(ctx, "i."+l.r.opt.Instance, ""); err == nil {
		l.ring() // the others make room
	}
	renewed, reconciled := time.Time{}, time.Now()
	tick := time.NewTicker(l.r.opt.lease.look)
	defer tick.Stop()
	for l.r.ctx.Err() == nil {
		now := time.Now()
		if now.Sub(renewed) >= l.r.opt.lease.renew {
			renewed = now
			l.renew(ctx)
		}
		if !l.r.isStopping() {
			l.share(ctx)
		}
		if now.Sub(reconciled) >= l.r.opt.lease.reconcile {
			reconciled = now
			for p := range partitions {
				if l.owns(p) {
					l.adopt(p)
				}
			}
		}
		select {
		case <-tick.C:
		case <-l.look:
		case <-l.r.ctx.Done():
		}
	}
}

func leaseKey(p int) string { return fmt.Sprintf("p.%02d", p) }

// renew prolongs what is held and notices what is lost.
func (l *leases) renew(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.kv.PutString(ctx, "i."+l.r.opt.Instance, "") // missing it once is no matter
	var g errgroup.Group
	for p := range partitions {
		if l.until[p].Load() == 0 {
			continue
		}
		g.Go(func() error {
			before := time.Since(l.started) // the hold counts from before the call
			rev, err := l.kv.Update(ctx, leaseKey(p), []byte(l.r.opt.Instance), l.revisions[p])
			switch {
			case err == nil:
				l.revisions[p] = rev
				l.until[p].Store(int64(before + l.r.opt.lease.hold))
			case isConflict(err):
				if e, err := l.kv.Get(ctx, leaseKey(p)); err == nil && string(e.Value()) == l.r.opt.Instance {
					l.revisions[p] = e.Revision() // our own renewal whose answer was lost
					return nil
				}
				l.lose(p)
			case !l.owns(p): // no answer for too long
				l.lose(p)
			}
			return nil
		})
	}
	_ = g.Wait()
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && // single and replicated streams differ
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// share takes free partitions up to a fair share and gives back what is above it.
func (l *leases) share(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys, err := l.keys(ctx)
	if err != nil {
		return // next time
	}
	live, taken := map[string]bool{l.r.opt.Instance: true}, map[int]bool{}
	for _, k := range keys {
		if name, ok := strings.CutPrefix(k, "i."); ok {
			live[name] = true
		} else if p, err := strconv.Atoi(strings.TrimPrefix(k, "p.")); err == nil {
			taken[p] = true
		}
	}
	fair := (partitions + len(live) - 1) / len(live)
	var mine []int
	for p := range partitions {
		if l.until[p].Load() != 0 {
			mine = append(mine, p)
		}
	}
	for _, p := range rand.Perm(partitions) {
		if len(mine) >= fair || l.r.isStopping() {
			break
		}
		if !taken[p] && l.until[p].Load() == 0 && l.take(ctx, p) {
			mine = append(mine, p)
		}
	}
	if len(mine) > fair {
		l.give(ctx, mine[fair:])
		l.ring()
	}
}

func (l *leases) keys(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	lister, err := l.kv.ListKeys(ctx)
	if err != nil {
		return nil, err
	}
	var keys []string
	for k := range lister.Keys() {
		keys = append(keys, k)
	}
	return keys, ctx.Err() // a list that was cut short would make owners of free partitions invisible
}

// take makes a free partition ours and takes up what is in it.
func (l *leases) take(ctx context.Context, p int) bool {
	before := time.Since(l.started)
	rev, err := l.kv.Create(ctx, leaseKey(p), []byte(l.r.opt.Instance))
	if err != nil {
		return false
	}
	l.revisions[p] = rev
	l.leaving[p].Store(false)
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.adopting[p] = true
	for owner, a := range l.r.accounts {
		if partition(owner) == p {
			a.gate.waits = true
		}
	}
	l.until[p].Store(int64(before + l.r.opt.lease.hold))
	if !l.r.stopping {
		l.r.tasks.Go(func() { // ends when it has read them all, or with the lease
			l.adopt(p)
			l.r.adopted(p)
		})
	}
	return true
}

// adopt takes up the transfers of a partition. Each is written once more before it is worked on: a
// former owner that is only slow can then store nothing of it any more.
func (l *leases) adopt(p int) {
	for l.r.ctx.Err() == nil && l.owns(p) && !l.leaving[p].Load() {
		var ms []stored
		err := scan(l.r.ctx, l.r.store.nc, fmt.Sprintf("%s.%02d.>", kindTransfer, p), 1, func(m stored) {
			if m.unsettled() {
				ms = append(ms, m)
			}
		})
		if err == nil {
			var g errgroup.Group
			g.SetLimit(128) // they share syncs
			for _, m := range ms {
				if owner, id := ownerOf(m.key), idOf(m.key); !l.r.knows(owner, id) {
					g.Go(func() error { l.claim(owner, id, m); return nil })
				}
			}
			_ = g.Wait()
			return
		}
		l.r.pause(time.Second)
	}
}

// claim makes one transfer ours.
func (l *leases) claim(owner, id string, m stored) {
	t, err := l.r.store.open(owner, m)
	if err != nil {
		l.r.opt.Log.Error("a transfer cannot be read and rests", "transfer", id, "error", err)
		return
	}
	for l.r.ctx.Err() == nil && l.owns(partition(owner)) {
		if err == nil {
			err = l.r.store.putAfter(l.r.ctx, t.State, &t)
		}
		switch {
		case err == nil:
			l.r.freshen(&t)
			l.r.add(&t)
			return
		case errors.Is(err, ErrConflict):
		case errors.Is(err, ErrNotFound):
			return
		default:
			l.r.pause(time.Second)
		}
		if t, err = l.r.store.begun(l.r.ctx, owner, id); err == nil && t.settled() {
			return
		}
	}
}

// lose lets go of a partition that somebody else may have.
func (l *leases) lose(p int) {
	l.until[p].Store(0)
	l.r.evict(p, ErrLost)
}

// give hands partitions over in order: their steps end first.
func (l *leases) give(ctx context.Context, ps []int) {
	for _, p := range ps {
		l.leaving[p].Store(true)
		l.r.evict(p, ErrStopping)
	}
	deadline := time.Now().Add(settleTime)
	for _, p := range ps {
		for l.r.busy(p) && time.Now().Before(deadline) {
			l.r.pause(10 * time.Millisecond)
		}
		l.until[p].Store(0)
		_ = l.kv.Delete(ctx, leaseKey(p), jetstream.LastRevision(l.revisions[p]))
	}
}

// release gives everything back: the runner has stopped.
func (l *leases) release(ctx context.Context) {
	<-l.ended
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	var g errgroup.Group
	for p := range partitions {
		g.Go(func() error { return l.giveBack(ctx, p) })
	}
	_ = g.Wait() // what is not given back runs out
	_ = l.kv.Delete(ctx, "i."+l.r.opt.Instance)
	l.ring()
	_ = l.r.store.events.FlushTimeout(time.Second)
}

// giveBack deletes the lease of a partition if it is ours. The store is asked: an answer that was
// lost may have left a newer revision than the one we know, or a lease that we do not know of.
func (l *leases) giveBack(ctx context.Context, p int) error {
	if l.until[p].Swap(0) != 0 && l.kv.Delete(ctx, leaseKey(p), jetstream.LastRevision(l.revisions[p])) == nil {
		return nil
	}
	e, err := l.kv.Get(ctx, leaseKey(p))
	if err != nil || string(e.Value()) != l.r.opt.Instance {
		return err
	}
	return l.kv.Delete(ctx, leaseKey(p), jetstream.LastRevision(e.Revision()))
}

// evict ends all work on a partition.
func (r *Runner) evict(p int, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for owner, a := range r.accounts {
		if partition(owner) != p {
			continue
		}
		for _, n := range a.runs {
			switch {
			case n.state != stepping && n.state != held:
				r.drop(n)
			case n.cancel != nil:
				n.cancel(cause)
			}
		}
	}
}

// busy reports whether a step of the partition runs.
func (r *Runner) busy(p int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for owner, a := range r.accounts {
		if partition(owner) == p && a.gate.inside > 0 {
			return true
		}
	}
	return false
}

func (r *Runner) isStopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

func (r *Runner) knows(owner, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[owner]
	return a != nil && a.runs[id] != nil
}
