package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// RunnerOptions say how much runs at a time.
type RunnerOptions struct {
	Instance   string           // name of this instance among several on one cluster; "": alone on its data, no leases
	MaxPolls   int              // short steps at a time: Graph calls and polls; 0: 256
	MaxStreams int              // relays at a time; 0: 16
	PerAccount int              // native transfers of one account at Microsoft at a time, and its relays; 0: 3
	PerHost    int              // relays from one source host at a time; 0: 4
	Grace      time.Duration    // how long Stop lets a short step finish; 0: 5 s
	Log        *slog.Logger     // nil: nothing is logged
	Now        func() time.Time // nil: time.Now

	lease leaseTimes // shorter in tests
	turns turnTimes  // the same
}

func (o RunnerOptions) withDefaults() RunnerOptions {
	set := func(n *int, to int) {
		if *n <= 0 {
			*n = to
		}
	}
	set(&o.MaxPolls, 256)
	set(&o.MaxStreams, 16)
	set(&o.PerAccount, 3)
	set(&o.PerHost, 4)
	if o.lease.ttl == 0 {
		o.lease = standardLease
	}
	if o.turns.look == 0 {
		o.turns = standardTurns
	}
	if o.Grace <= 0 {
		o.Grace = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Runner takes the transfers that it owns through their steps. Timers live in its memory; after a
// restart they are made again from the records.
type Runner struct {
	store *Store
	mover Mover
	opt   RunnerOptions

	ctx    context.Context // of all steps; its cause says why it ended
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup // workers and all else that the runner started
	subs   []*nats.Subscription
	owns   func(partition int) bool
	leases *leases // nil when alone

	mu       sync.Mutex
	stopping bool
	adopting [partitions]bool // being read: their accounts make no step until all is known
	accounts map[string]*account
	lanes    [lanes]laneState
	hosts    map[string]int // relays that run, by source host
	relays   map[*run]struct{}
	turns    bool // are going to be looked at
}

// NewRunner makes a runner; Start begins.
func NewRunner(store *Store, m Mover, o RunnerOptions) *Runner {
	o = o.withDefaults()
	r := &Runner{store: store, mover: m, opt: o, accounts: map[string]*account{}, hosts: map[string]int{}, relays: map[*run]struct{}{}}
	r.lanes[polls].max, r.lanes[streams].max = o.MaxPolls, o.MaxStreams
	for l := range lanes {
		r.lanes[l].ring.lane = l
	}
	r.owns = func(int) bool { return true }
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// Start takes up what is not final and returns; the records are read in the background. The runner
// goes on until Stop, whatever becomes of ctx.
func (r *Runner) Start(ctx context.Context) error {
	subscribe := func(subject string, take func(*nats.Msg)) error {
		sub, err := r.store.events.Subscribe(subject, take)
		r.subs = append(r.subs, sub)
		return err
	}
	if err := subscribe(wakeSubject, r.heardWake); err != nil {
		return fmt.Errorf("start the runner: %w", err)
	}
	if r.opt.Instance == "" {
		r.mu.Lock()
		for p := range partitions {
			r.adopting[p] = true
		}
		r.mu.Unlock()
	} else {
		if err := subscribe("skylift.bell.*", r.heardBell); err != nil {
			return fmt.Errorf("start the runner: %w", err)
		}
		if err := r.startLeases(ctx); err != nil {
			return err
		}
	}
	r.store.mu.Lock()
	r.store.listen = r.heard
	r.store.mu.Unlock()
	if r.opt.Instance == "" {
		r.tasks.Go(func() { // ends with r.ctx
			r.adopt(kindTransfer + ".>")
			for p := range partitions {
				r.adopted(p)
			}
			r.store.commit.pass("adopted")
			time.AfterFunc(letGo, debug.FreeOSMemory)
		})
	}
	return nil
}

// letGo is when the memory that reading all records took goes back to the system: JetStream keeps
// what it has read for 10 s.
const letGo = 15 * time.Second

// adopt takes up every transfer under filter that is not settled, and tries again until it has read them all.
func (r *Runner) adopt(filter string) {
	for r.ctx.Err() == nil {
		n := 0
		err := scan(r.ctx, r.store.nc, filter, 1, func(m stored) {
			if m.unsettled() {
				n++
				r.found(m)
			}
		})
		if err == nil {
			r.opt.Log.Debug("transfers taken up", "count", n)
			return
		}
		r.opt.Log.Warn("cannot read the transfers, trying again", "error", err)
		r.pause(time.Second)
	}
}

// adopted lets the accounts of a partition go: all that was begun is known.
func (r *Runner) adopted(p int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adopting[p] = false
	for owner, a := range r.accounts {
		if partition(owner) == p {
			a.gate.waits = false
			a.rejoin()
		}
	}
}

// found takes up a stored transfer if it is not here yet.
func (r *Runner) found(m stored) {
	owner, id := ownerOf(m.key), idOf(m.key)
	if r.knows(owner, id) {
		return
	}
	t, err := r.store.open(owner, m)
	if err != nil {
		r.opt.Log.Error("a transfer cannot be read and rests", "transfer", id, "error", err)
		return
	}
	r.freshen(&t)
	r.add(&t)
	r.store.commit.pass("adopt.after")
}

// freshen starts the stall clock again: nobody watched the transfer for a while.
func (r *Runner) freshen(t *Transfer) {
	if t.Work.Phase == Polling {
		t.Work.LastSign = r.opt.Now()
	}
}

// pause waits d or until the runner stops.
func (r *Runner) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

// Stop ends the work and hands it over at once: nothing new starts, relays are interrupted (they
// can be resumed), short steps get Grace to finish, and the leases are given back. When ctx ends
// first, Stop returns its error while the rest still ends.
func (r *Runner) Stop(ctx context.Context) error {
	r.store.mu.Lock()
	r.store.listen = nil
	r.store.mu.Unlock()
	for _, s := range r.subs {
		_ = s.Unsubscribe()
	}
	r.mu.Lock()
	r.stopping = true
	for _, a := range r.accounts {
		a.stop()
	}
	r.mu.Unlock()

	ended := make(chan struct{})
	go func() { // ends when the last step has
		r.tasks.Wait()
		close(ended)
	}()
	grace := time.AfterFunc(r.opt.Grace, func() { r.cancel(ErrStopping) })
	defer grace.Stop()
	if r.idle() {
		r.cancel(ErrStopping)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		r.cancel(ErrStopping)
		select {
		case <-ended:
		case <-time.After(time.Second):
			return context.Cause(ctx)
		}
	}
	r.cancel(ErrStopping)
	if r.leases != nil {
		r.leases.release(ctx)
	}
	return nil
}

// idle reports whether no step runs. One that waits for a write has left its lane and counts too.
func (r *Runner) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.accounts {
		if a.gate.inside > 0 {
			return false
		}
	}
	return true
}

// Busy reports whether a step of the transfer runs here at this moment.
func (r *Runner) Busy(owner, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.accounts[owner]
	return a != nil && a.runs[id] != nil && a.runs[id].state == stepping
}

// heard is told by the store of each change in this process that the runner did not make itself.
func (r *Runner) heard(owner, id string, t *Transfer) {
	if !r.owns(partition(owner)) {
		r.store.ring(owner, id)
		return
	}
	if t != nil && !t.settled() {
		if c := t.clone(); !r.knows(owner, id) {
			r.add(&c)
			return
		}
	}
	r.changed(owner, id)
}

// heardBell is told of changes in other processes.
func (r *Runner) heardBell(m *nats.Msg) {
	owner, id, ok := strings.Cut(string(m.Data), "/")
	if !ok || !r.owns(partition(owner)) {
		return
	}
	r.changed(owner, id)
}

// Load is how many transfers this instance holds, by what they do at the moment.
type Load struct {
	Queued  int            // wait for one of their account's places
	Ready   int            // are due and wait for their turn
	Working int            // are in a step
	Resting int            // wait for their next look at Microsoft
	Waiting map[Reason]int // are put aside
}

// Load counts what the runner holds.
func (r *Runner) Load() Load {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := Load{Waiting: map[Reason]int{}}
	for _, a := range r.accounts {
		for _, n := range a.runs {
			switch n.state {
			case queued:
				l.Queued++
			case ready:
				l.Ready++
			case stepping, held:
				l.Working++
			case timed:
				l.Resting++
			case parked:
				l.Waiting[n.reason]++
			}
		}
	}
	return l
}

// wakeSubject carries wake calls to all instances.
const wakeSubject = "skylift.wake"

type wakeCall struct {
	Owner   string   `json:"owner"`
	Reasons []Reason `json:"reasons"`
}

// Wake lets owner's transfers that wait for one of reasons go on at once, on whatever instance they
// are; without reasons all that wait.
func (r *Runner) Wake(owner string, reasons ...Reason) {
	r.wake(owner, reasons)
	if data, err := json.Marshal(wakeCall{owner, reasons}); err == nil {
		_ = r.store.events.Publish(wakeSubject, data) // if it is lost, their own timers wake them
	}
}

func (r *Runner) heardWake(m *nats.Msg) {
	var w wakeCall
	if json.Unmarshal(m.Data, &w) == nil {
		r.wake(w.Owner, w.Reasons)
	}
}

// hostOf is whom a relay of t reads from.
func hostOf(t *Transfer) string {
	u, err := url.Parse(t.SourceURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
