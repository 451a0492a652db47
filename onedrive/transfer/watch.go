package transfer

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Event is one change of a transfer as a person may see it. ID grows within a stream, and a stream
// that begins at an ID misses nothing that came after it.
type Event struct {
	ID       uint64
	Transfer Transfer // only ID and Owner when Deleted
	Deleted  bool
}

const hdrRevision = "Skylift-Revision" // of progress: the record that it goes on from

// An event's id is the record's revision and, for progress, which nobody stores, a count behind it.
const progressBits = 20

const (
	hubQueue   = 1 << 15          // messages that wait for the hub
	resync     = 30 * time.Second // events can be lost on the way: this often the hub compares with the records
	firstCheck = 2 * time.Second  // a new subscription needs a moment to reach all servers of a cluster
	recheck    = time.Second      // after a comparison that failed
)

// hub is the one watch of an instance: it feeds all streams of all people. On a cluster it lives on the
// messages that JetStream republishes, for they tell the order of all instances' writes. Alone there is
// no other writer, and it takes each write from the committer as it was meant.
type hub struct {
	store  *Store
	direct bool           // the committer tells of every write
	missed atomic.Int64   // writes that the committer told of too late
	in     chan *nats.Msg // nil when direct
	ended  chan struct{}
	tasks  sync.WaitGroup

	mu    sync.Mutex
	feeds map[string]*feed
}

func newHub(ctx context.Context, s *Store) *hub {
	h := &hub{store: s, direct: s.alone(), ended: make(chan struct{}), feeds: map[string]*feed{}}
	if !h.direct {
		h.in = make(chan *nats.Msg, hubQueue)
	}
	go h.run(ctx) // ends with ctx
	return h
}

// catching is the newest catchUp of a hub: one that begins ends the one before.
type catching struct {
	hub  *hub
	stop context.CancelFunc
	done chan struct{}
}

// begin ends when ctx does, or with the next.
func (c *catching) begin(ctx context.Context, waits ...time.Duration) {
	c.end()
	before, done := c.done, make(chan struct{})
	ctx, c.stop = context.WithCancel(ctx)
	c.done = done
	c.hub.tasks.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		c.hub.catchUp(ctx, waits...)
	})
}

func (c *catching) end() {
	if c.stop != nil {
		c.stop()
	}
}

// idle reports whether none runs.
func (c *catching) idle() bool {
	select {
	case <-c.done:
		return true
	default:
		return c.done == nil
	}
}

// catchUp compares all feeds until that has succeeded after each of the waits.
func (h *hub) catchUp(ctx context.Context, waits ...time.Duration) {
	for _, wait := range waits {
		for again := wait; ; again = recheck {
			select {
			case <-time.After(again):
			case <-ctx.Done():
				return
			}
			if h.compareAll(ctx) == nil {
				break
			}
		}
	}
}

// compareAll ends with the first feed whose records do not answer: the others' would not either.
func (h *hub) compareAll(ctx context.Context) error {
	var busy error
	for _, f := range h.all() {
		err := f.compare(ctx)
		switch {
		case errors.Is(err, errComparing):
			busy = err
		case err != nil:
			return err
		}
	}
	return busy
}

// run ends with ctx. After a connection was lost it compares at once, and again when the subscriptions
// have reached all servers and the cluster has found a leader. Records and messages come over
// connections of their own, and a comparison that began before either was back would wait in vain.
func (h *hub) run(ctx context.Context) {
	defer close(h.ended)
	tick := time.NewTicker(resync)
	defer tick.Stop()
	events, records := h.store.events.StatusChanged(nats.CONNECTED), h.store.nc.StatusChanged(nats.CONNECTED)
	defer h.store.events.RemoveStatusListener(events)
	defer h.store.nc.RemoveStatusListener(records)
	c := catching{hub: h}
	defer c.end()
	for {
		select {
		case m := <-h.in:
			h.take(m)
		case <-events: // what was sent meanwhile is lost
			c.begin(ctx, 0, firstCheck, 2*firstCheck)
		case <-records:
			c.begin(ctx, 0, firstCheck, 2*firstCheck)
		case <-tick.C:
			if h.tidy(); c.idle() {
				c.begin(ctx, 0)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (h *hub) all() []*feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	fs := make([]*feed, 0, len(h.feeds))
	for _, f := range h.feeds {
		fs = append(fs, f)
	}
	return fs
}

// take passes a republished record or somebody's progress to the feed that it belongs to.
func (h *hub) take(m *nats.Msg) {
	tokens := strings.SplitN(m.Subject, ".", 5) // ev.<kind>.<pp>.<owner>.…
	if len(tokens) < 5 || tokens[1] == kindKey {
		return
	}
	f := h.feedOf(tokens[3])
	if f == nil {
		return
	}
	if tokens[1] == kindShow {
		if t, err := h.store.codec.decode(f.owner, tokens[4], m.Data); err == nil {
			t.Revision, _ = strconv.ParseUint(header(m, hdrRevision), 10, 64)
			f.show(t)
		}
		return
	}
	f.apply(readMsg(m), nil)
}

func (h *hub) feedOf(owner string) *feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.feeds[owner]
}

// attach subscribes w to owner's feed, which the first watcher opens, and returns the revision
// after which w gets every event.
func (h *hub) attach(ctx context.Context, owner string, w *watcher) (*feed, uint64, error) {
	h.mu.Lock()
	f := h.feed(owner)
	f.mu.Lock()
	f.watchers[w] = struct{}{}
	f.mu.Unlock()
	h.mu.Unlock()

	// Others wait for the same feed: it is not the first reader's to break off.
	f.open.Do(func() { f.err = f.subscribe(context.WithoutCancel(ctx)) })
	if f.err != nil {
		h.detach(f, w)
		return nil, 0, f.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f, f.seq, nil
}

// feed finds or makes owner's. h.mu is held.
func (h *hub) feed(owner string) *feed {
	f := h.feeds[owner]
	if f == nil {
		f = &feed{hub: h, owner: owner, checking: true, recent: map[rowID]uint64{}, watchers: map[*watcher]struct{}{}}
		h.feeds[owner] = f
	}
	return f
}

// wrote takes what this process has stored, in the order of the revisions and before the writer is
// told, so that its next list has it.
func (h *hub) wrote(r record, seq uint64) {
	f := h.feedOf(ownerOf(r.key))
	if f == nil {
		return
	}
	if h.direct {
		f.apply(stored{key: r.key, seq: seq, data: r.value, ending: r.ending, deleted: r.remove, same: r.same}, r.event)
		return
	}
	if x := f.index.Load(); x != nil {
		x.apply(r.key, r.ending, r.remove, len(r.value), seq)
	}
}

// miss makes all feeds look at the records: a write was stored whose turn to be told of has passed.
func (h *hub) miss() {
	h.missed.Add(1)
	h.tasks.Go(func() { h.catchUp(h.store.ctx, 0) }) // ends with the store
}

// event is what streams show of t once it is stored; nil when nobody here follows its owner, or the
// stored message tells.
func (h *hub) event(t *Transfer) *Event {
	if f := h.feedOf(t.Owner); !h.direct || f == nil || !f.watched() {
		return nil
	}
	e := &Event{Transfer: *t} // steps replace what t points at and never write to it
	e.Transfer.Work.Inline = nil
	return e
}

// tidy lets go of indexes that nobody has asked for a while.
func (h *hub) tidy() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.feeds {
		if x := f.index.Load(); x != nil && time.Since(x.used) > idleIndex {
			f.index.Store(nil)
			h.leave(f)
		}
	}
}

func (h *hub) detach(f *feed, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.mu.Lock()
	delete(f.watchers, w)
	f.mu.Unlock()
	h.leave(f)
}

// leave ends a feed that could not be opened or that nobody uses. h.mu is held.
func (h *hub) leave(f *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if (len(f.watchers) == 0 && f.index.Load() == nil || f.err != nil) && h.feeds[f.owner] == f {
		if f.sub != nil {
			_ = f.sub.Unsubscribe()
		}
		delete(h.feeds, f.owner)
	}
}

// event is what people see of a stored message; false for what says nothing to them.
func (s *Store) event(owner string, m stored) (*Event, bool) {
	id := idOf(m.key)
	e := &Event{ID: m.seq << progressBits}
	switch {
	case id == "":
		return nil, false
	case m.deleted:
		e.Deleted, e.Transfer = true, Transfer{ID: id, Owner: owner}
		return e, true
	}
	var err error
	e.Transfer, err = s.open(owner, m)
	e.Transfer.Work.Inline = nil // thousands may wait for a reader
	return e, err == nil
}

// Watch follows owner's transfers: first those that are not final and those that changed since the
// event lastID, then every change until ctx ends or the reader stops. A slow reader skips steps,
// never the latest state. An error ends the sequence; the caller may watch again from the last id.
func (s *Store) Watch(ctx context.Context, owner string, lastID uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if !validOwner(owner) {
			return
		}
		w := &watcher{pending: map[string]*Event{}, signal: make(chan struct{}, 1)}
		f, base, err := s.hub.attach(ctx, owner, w)
		if err != nil {
			if ctx.Err() == nil {
				yield(Event{}, err)
			}
			return
		}
		defer s.hub.detach(f, w)
		since := lastID >> progressBits
		if since > base && since > s.newestOf(ctx, owner) { // the feed may be behind what was told
			lastID = 0 // of another life of the data
		}
		if lastID == 0 {
			since = base
		}
		if err := s.catchUp(ctx, w, owner, base, since); err != nil {
			if ctx.Err() == nil {
				yield(Event{}, err)
			}
			return
		}
		for sent := lastID; ; { // what has not changed since lastID comes once more, with ids behind it
			for _, next := range w.take() {
				e := *next
				e.ID = max(e.ID, sent+1)
				sent = e.ID
				if !yield(e, nil) {
					return
				}
			}
			select {
			case <-w.signal:
			case <-ctx.Done():
				return
			case <-s.hub.ended:
				return
			}
		}
	}
}

// catchUp puts the snapshot in front of what was sent to w since it was attached. The snapshot also
// holds everything after base, the revision at which w was attached: it may have overtaken
// events that are still on their way, and an id must not come before a smaller one.
func (s *Store) catchUp(ctx context.Context, w *watcher, owner string, base, since uint64) error {
	snapshot := map[string]*Event{}
	add := func(m stored) {
		e, ok := s.event(owner, m)
		if !ok {
			return
		}
		if old := snapshot[e.Transfer.ID]; old == nil || old.ID < e.ID {
			snapshot[e.Transfer.ID] = e
		}
	}
	if err := s.active(ctx, owner, add); err != nil {
		return err
	}
	top := max(base, since)
	_, err := s.scanPast(ctx, ownerKey("*", owner)+".>", since+1, base, func(m stored) {
		top = max(top, m.seq)
		add(m)
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.top = top
	for id, e := range snapshot {
		if newer, ok := w.pending[id]; !ok || newer.ID < e.ID {
			w.pending[id] = e
		}
	}
	return nil
}

// newestOf is the revision of the newest record of owner; 0: there is none, or it cannot be read.
func (s *Store) newestOf(ctx context.Context, owner string) uint64 {
	last, _ := lastOf(ctx, s.nc, ownerKey("*", owner)+".>")
	return last.seq
}

// active gives the records of owner's transfers that are not final.
func (s *Store) active(ctx context.Context, owner string, each func(stored)) error {
	_, rows, err := s.rows(ctx, owner, "", func(r row) bool { return r.ends[0] == 0 }, math.MaxInt)
	for some := range slices.Chunk(rows, readAtOnce) {
		if err == nil {
			err = s.records(ctx, owner, some, func(m stored) {
				if m.ending == "" {
					each(m)
				}
			})
		}
	}
	return err
}

// publish shows a transfer's progress to whoever watches, on any instance.
func (s *Store) publish(t *Transfer) {
	c := *t
	c.Work = Work{} // nobody's business
	if s.hub.direct {
		if f := s.hub.feedOf(t.Owner); f != nil {
			f.show(c)
		}
		return
	}
	if data, err := s.codec.encode(&c); err == nil {
		m := &nats.Msg{Subject: eventPrefix + ownerKey(kindShow, t.Owner) + "." + t.ID, Data: data, Header: make(nats.Header, 1)}
		m.Header[hdrRevision] = []string{strconv.FormatUint(t.Revision, 10)}
		_ = s.events.PublishMsg(m)
	}
}
