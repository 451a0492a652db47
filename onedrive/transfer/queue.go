package transfer

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// lane is a kind of step with its own limit, so that long streams never delay short polls.
type lane int

const (
	polls lane = iota
	streams
	lanes
)

// laneState is who may use a lane next. Accounts take turns.
type laneState struct {
	max, busy int
	ring      ring
	back      []*run // steps that wait to go on after a write
}

// ring is the accounts with something ready, in turn. They are linked through themselves: whoever
// allocates while a lock is held can be made to work for the garbage collector, and all wait.
type ring struct {
	lane        lane
	n           int
	first, last *account
}

func (q *ring) push(a *account) {
	a.behind[q.lane] = nil
	if q.n++; q.first == nil {
		q.first = a
	} else {
		q.last.behind[q.lane] = a
	}
	q.last = a
}

func (q *ring) pop() *account {
	a := q.first
	q.first, a.behind[q.lane] = a.behind[q.lane], nil
	q.n--
	return a
}

// runState is where a transfer is inside the runner.
type runState int

const (
	queued   runState = iota // waits for one of its account's slots
	ready                    // due, waits for its lane
	stepping                 // a worker has it
	timed                    // waits for its timer
	parked                   // waits for its reason to go
	held                     // somebody cancels it
	gone
)

// run is a transfer in the runner. Its fields are guarded by Runner.mu, except that the worker that
// steps it owns t and what is below it.
type run struct {
	r      *Runner
	a      *account
	id     string
	state  runState
	lane   lane
	host   string // of a relay
	slot   bool   // holds one of the account's slots
	stream bool   // counts among the relays of its account and its host
	holds  bool   // gave that place away for a write, with the file in memory, and will want it back
	rests  bool   // gave its places away for the last write
	yields bool   // is interrupted because others wait for its place
	again  bool   // was changed by somebody else while it was stepping
	woken  bool   // was to be woken while it was stepping: what it was refused for may be gone
	reason Reason // parked for
	order  order
	timer  *time.Timer
	cancel context.CancelCauseFunc
	turn   chan struct{} // closed when a step may go on after a write
	since  time.Time     // when its step began
	had    int64         // bytes that were moved then
	moved  atomic.Int64  // bytes that are
	ended  chan struct{} // closed when the step that was running when it was made has ended

	t       *Transfer // nil: read it from the store first; order and lane stay
	kept    *Transfer // t as it was stored last; nil while it rests: t is as it was stored
	unsaved bool      // t is newer than the record: store it before anything else
	errs    int       // failed steps in a row
	shown   time.Time // when progress was published last
	foreign bool      // another instance wrote the record while this one worked on it
}

// order is who comes first in an account's queue: batches in turn, small ones first inside each.
type order struct {
	batch string
	size  int64
	id    string
}

func orderOf(t *Transfer) order {
	o := order{batch: cmp.Or(t.Batch, t.ID), size: 1 << 20, id: t.ID} // a size that nobody knows counts as a photo's
	if t.Size != nil {
		o.size = *t.Size
	}
	return o
}

func (o order) compare(p order) int {
	return cmp.Or(cmp.Compare(o.batch, p.batch), cmp.Compare(o.size, p.size), cmp.Compare(o.id, p.id))
}

// runHeap is a heap.Interface.
type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return h[i].order.compare(h[j].order) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return x
}

// account is one person's share of the runner.
type account struct {
	r         *Runner
	owner     string
	runs      map[string]*run
	queue     runHeap
	ready     [lanes][]*run
	inRing    [lanes]bool
	behind    [lanes]*account // the next in the ring
	slots     int             // in use
	streaming int             // relays that run
	holding   int             // steps that hold a file while they write
	resting   int             // steps that are over but for a write
	gate      gate
}

// account finds or makes owner's. r.mu is held.
func (r *Runner) account(owner string) *account {
	a := r.accounts[owner]
	if a == nil {
		a = &account{r: r, owner: owner, runs: map[string]*run{}}
		a.gate.waits = r.adopting[partition(owner)]
		r.accounts[owner] = a
	}
	return a
}

// recall tells a Recaller of t.
func (r *Runner) recall(t *Transfer) {
	if m, ok := r.mover.(Recaller); ok {
		m.Recall(t)
	}
}

// add takes up a transfer that is not here yet.
func (r *Runner) add(t *Transfer) {
	r.recall(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := partition(t.Owner); r.stopping || !r.owns(p) || r.leases != nil && r.leases.leaving[p].Load() {
		return
	}
	a := r.account(t.Owner)
	if a.runs[t.ID] != nil {
		return
	}
	n := &run{r: r, a: a, id: t.ID, t: t, order: orderOf(t)}
	a.runs[t.ID] = n
	switch {
	case t.State == Waiting:
		signIn := t.Reason == SignInRequired
		if r.park(n); signIn {
			r.arm(n, jitter(time.Second)) // whoever signed in while nobody had it woke nothing
		}
	case r.leases != nil && t.Work.Phase == Posting: // a former owner's POST gets time to show
		n.state = timed
		r.arm(n, max(r.opt.lease.foreign-r.opt.Now().Sub(t.Work.PostedAt), 0))
	case n.waitsForSlot():
		a.line(n)
	default: // it is on its way already
		if n.slot = t.Route == Native && !t.State.Final(); n.slot {
			a.slots++
		}
		r.enqueue(n)
	}
}

// waitsForSlot reports whether the next step would begin something at Microsoft.
func (n *run) waitsForSlot() bool {
	return n.t.Work.Phase == Choosing && n.t.Route != Upload && n.t.Route != Relay && !n.t.State.Final()
}

// relays reports whether the next step streams.
func (t *Transfer) relays() bool { return t.Route == Relay && !t.State.Final() }

// line makes n wait for one of the account's slots. r.mu is held.
func (a *account) line(n *run) {
	n.state = queued
	n.lighten()
	heap.Push(&a.queue, n)
	a.admit()
}

// lighten lets go of a record that holds a file's bytes: thousands may wait, and the step reads it again.
func (n *run) lighten() {
	if n.t != nil && len(n.t.Work.Inline) > 0 && !n.unsaved && n.kept == nil {
		n.t = nil
	}
}

// admit starts what is queued while there are slots.
func (a *account) admit() {
	for len(a.queue) > 0 && a.slots < a.r.opt.PerAccount && !a.r.stopping {
		n := heap.Pop(&a.queue).(*run)
		if n.state != queued {
			continue // it was cancelled meanwhile
		}
		n.slot = true
		a.slots++
		a.r.enqueue(n)
	}
}

// free gives n's slot to the next in the queue.
func (a *account) free(n *run) {
	if n.slot {
		n.slot = false
		a.slots--
		a.admit()
	}
}

// enqueue makes n wait for its lane. r.mu is held.
func (r *Runner) enqueue(n *run) {
	if !r.stopping {
		r.queueUp(n)
		r.dispatch(n.lane)
	}
}

func (r *Runner) queueUp(n *run) {
	n.state, n.lane = ready, polls
	if n.t != nil && n.t.relays() {
		n.lane, n.host = streams, hostOf(n.t)
	}
	n.lighten()
	a := n.a
	a.ready[n.lane] = append(a.ready[n.lane], n)
	r.join(a, n.lane)
}

func (r *Runner) join(a *account, l lane) {
	if !a.inRing[l] {
		a.inRing[l] = true
		r.lanes[l].ring.push(a)
	}
}

// dispatch starts workers while there is something ready and room in the lane.
func (r *Runner) dispatch(l lane) {
	for s := &r.lanes[l]; s.busy < s.max; s.busy++ {
		if r.goOn(l) {
			continue
		}
		n := r.next(l)
		if n == nil {
			return
		}
		r.tasks.Go(func() { r.work(n, l) }) // ends when nothing is ready
	}
	if l == streams && r.lanes[l].ring.n > 0 {
		r.watchTurns()
	}
}

// work steps n and then whatever is next in the lane.
func (r *Runner) work(n *run, l lane) {
	for n != nil {
		after := r.step(n)
		n.shed()
		r.mu.Lock()
		r.settle(n, after)
		if n = nil; !r.goOn(l) {
			if n = r.next(l); n == nil {
				r.lanes[l].busy--
			}
		}
		r.mu.Unlock()
	}
}

// goOn gives the caller's place in the lane to a step that has written and goes on. r.mu is held.
func (r *Runner) goOn(l lane) bool {
	s := &r.lanes[l]
	for i, n := range s.back {
		if n.holds && !n.mayStream() {
			continue
		}
		if n.holds {
			n.holds = false
			n.a.holding--
			n.beginStream()
		}
		s.back = slices.Delete(s.back, i, i+1)
		close(n.turn)
		return true
	}
	return false
}

// How many steps of an account may wait for a write while others have their places, so that many
// writes share a sync: such as hold a small file's bytes, and such as are over but for the write.
const (
	maxHolding = 16
	maxResting = 64
)

// leave gives up n's place in its lane for as long as the store takes to write; if the file is in
// memory, with nothing of its source held, also its place among the relays.
func (r *Runner) leave(n *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n.stream && n.t.Work.UploadURL == "" && n.a.holding < maxHolding {
		n.holds = true
		n.a.holding++
		n.endStream()
	}
	r.lanes[n.lane].busy--
	r.dispatch(n.lane)
}

// enter takes the places again, before anything new does.
func (r *Runner) enter(n *run) {
	turn := make(chan struct{})
	r.mu.Lock()
	n.turn = turn
	r.lanes[n.lane].back = append(r.lanes[n.lane].back, n)
	r.dispatch(n.lane)
	r.mu.Unlock()
	<-turn // every place is handed on when its step ends
}

// next takes the run whose account's turn it is; nil when none may start. r.mu is held.
func (r *Runner) next(l lane) *run {
	s := &r.lanes[l]
	for range s.ring.n {
		a := s.ring.pop()
		n := a.pick(l)
		if a.inRing[l] = len(a.ready[l]) > 0 && !a.gate.shut(r.opt.Now()); a.inRing[l] {
			s.ring.push(a)
		}
		if n != nil {
			n.begin()
			return n
		}
	}
	return nil
}

// pick takes the first ready run that the account's and its source host's limits allow.
func (a *account) pick(l lane) *run {
	if len(a.ready[l]) == 0 || a.gate.closed(a, a.r.opt.Now()) {
		return nil
	}
	if l == streams && a.streaming >= a.r.opt.PerAccount {
		return nil // no need to look
	}
	a.ready[l] = slices.DeleteFunc(a.ready[l], func(n *run) bool { return n.state != ready })
	for i, n := range a.ready[l] {
		if l == streams && !n.mayStream() {
			continue
		}
		a.ready[l] = slices.Delete(a.ready[l], i, i+1)
		return n
	}
	return nil
}

// begin counts n in. r.mu is held.
func (n *run) begin() {
	n.state, n.woken = stepping, false
	n.a.gate.enter()
	if n.lane == streams {
		n.beginStream()
	}
}

// mayStream reports whether n's account and source host may have one more relay. What came in its address
// has no host. r.mu is held.
func (n *run) mayStream() bool {
	return n.a.streaming < n.r.opt.PerAccount && (n.host == "" || n.r.hosts[n.host] < n.r.opt.PerHost)
}

func (n *run) beginStream() {
	n.stream = true
	n.r.relays[n] = struct{}{}
	n.a.streaming++
	n.r.hosts[n.host]++
}

// endStream counts n out of the relays. r.mu is held.
func (n *run) endStream() {
	if !n.stream {
		return
	}
	n.stream = false
	delete(n.r.relays, n)
	n.a.streaming--
	if n.r.hosts[n.host]--; n.r.hosts[n.host] <= 0 {
		delete(n.r.hosts, n.host)
	}
}

// rest gives away what n held of its account and its source: its step is over but for the write.
func (n *run) rest() {
	n.r.mu.Lock()
	defer n.r.mu.Unlock()
	if n.a.resting >= maxResting {
		return
	}
	n.rests = true
	n.a.resting++
	n.endStream()
	if n.t.Route == Relay {
		n.a.free(n)
	}
}

// finish counts n out. r.mu is held.
func (n *run) finish() {
	n.a.gate.leave()
	n.endStream()
	n.yields = false
	if n.rests {
		n.rests = false
		n.a.resting--
	}
	if n.ended != nil {
		close(n.ended)
		n.ended = nil
	}
	n.cancel = nil
}

// drop forgets n. r.mu is held.
func (r *Runner) drop(n *run) {
	n.state, n.t = gone, nil
	if n.timer != nil {
		n.timer.Stop()
	}
	a := n.a
	delete(a.runs, n.id)
	a.free(n)
	if len(a.runs) == 0 && !a.gate.shut(r.opt.Now()) && !a.inRing[polls] && !a.inRing[streams] {
		delete(r.accounts, a.owner)
	}
}

// stop ends the account's timers and interrupts its relays. r.mu is held.
func (a *account) stop() {
	a.ready = [lanes][]*run{}
	a.gate.stop()
	for _, n := range a.runs {
		if n.timer != nil {
			n.timer.Stop()
		}
		if n.state == stepping && n.lane == streams && n.cancel != nil {
			n.cancel(ErrStopping)
		}
	}
}
