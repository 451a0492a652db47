package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
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

// feed is what one person's streams and lists share.
type feed struct {
	hub   *hub
	owner string
	index atomic.Pointer[index] // of the lists; nil: none was asked for lately; set under hub.mu
	open  sync.Once
	sub   *nats.Subscription
	err   error // of opening

	mu       sync.Mutex
	seq      uint64           // every revision up to this was seen, or was there before the feed
	last     uint64           // the last event's id
	checked  uint64           // every revision up to this was compared with the records, or was there before
	checking bool             // a comparison runs, or the feed is not open yet
	losses   int              // as of the last comparison, or when the feed was opened
	recent   map[rowID]uint64 // revisions by transfer seen since, and for one comparison longer
	watchers map[*watcher]struct{}
}

// watcher is one stream. What its reader has not taken yet is replaced by what is newer.
type watcher struct {
	mu      sync.Mutex
	top     uint64            // revisions up to this were in the snapshot
	pending map[string]*Event // by transfer; watchers share them
	signal  chan struct{}     // holds one
}

func newHub(ctx context.Context, s *Store) *hub {
	h := &hub{store: s, direct: s.alone(), ended: make(chan struct{}), feeds: map[string]*feed{}}
	if !h.direct {
		h.in = make(chan *nats.Msg, hubQueue)
	}
	go h.run(ctx) // ends with ctx
	return h
}

// catchUp compares all feeds after the connection was lost: at once, and again when the subscriptions
// have reached all servers and the cluster has found a leader.
func (h *hub) catchUp(ctx context.Context) {
	for _, wait := range []time.Duration{0, firstCheck, 2 * firstCheck} {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		h.compareAll(ctx)
	}
}

func (h *hub) compareAll(ctx context.Context) {
	for _, f := range h.all() {
		f.compare(ctx)
	}
}

func (h *hub) run(ctx context.Context) {
	defer close(h.ended)
	tick := time.NewTicker(resync)
	defer tick.Stop()
	back := h.store.events.StatusChanged(nats.CONNECTED)
	defer h.store.events.RemoveStatusListener(back)
	for {
		select {
		case m := <-h.in:
			h.take(m)
		case <-back: // what was sent meanwhile is lost
			h.tasks.Go(func() { h.catchUp(ctx) }) // ends with ctx
		case <-tick.C:
			h.tidy()
			h.tasks.Go(func() { h.compareAll(ctx) }) // ends with ctx
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
	h.tasks.Go(func() { h.compareAll(h.store.ctx) }) // ends with the store
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

// watched reports whether somebody follows the feed: lists need no events.
func (f *feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers) > 0
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

// subscribe listens, and then notes where the records stand: what is stored in between is in both.
func (f *feed) subscribe(ctx context.Context) error {
	s := f.hub.store
	if !f.hub.direct {
		sub, err := s.events.ChanSubscribe(eventPrefix+ownerKey("*", f.owner)+".>", f.hub.in)
		if err != nil {
			return fmt.Errorf("%w: watch: %w", ErrUnavailable, err)
		}
		f.mu.Lock()
		f.sub = sub
		f.mu.Unlock()
		if err := s.events.FlushTimeout(readTimeout); err != nil {
			return fmt.Errorf("%w: watch: %w", ErrUnavailable, err)
		}
	}
	f.mu.Lock()
	f.losses, _ = f.mayHaveLost()
	f.mu.Unlock()
	s.commit.pass("watch.opening")
	last, err := lastOf(ctx, s.nc, ownerKey("*", f.owner)+".>")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	f.mu.Lock()
	f.seq, f.checked, f.checking = max(f.seq, last.seq), last.seq, false
	f.mu.Unlock()
	if s.opt.Replicas > 1 {
		time.AfterFunc(firstCheck, func() { f.compare(context.WithoutCancel(ctx)) })
	}
	return nil
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

// apply turns a stored message into an event for all watchers, unless it was seen already. e is that
// event without its place, where it is known.
func (f *feed) apply(m stored, e *Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.seq > f.seq {
		f.seq = m.seq
		f.see(m, e)
	}
}

func (f *feed) see(m stored, e *Event) {
	f.last = max(f.last, m.seq<<progressBits)
	id := idOf(m.key)
	if id == "" {
		return
	}
	f.recent[idKey(id)] = m.seq
	if x := f.index.Load(); x != nil {
		x.apply(m.key, m.ending, m.deleted, len(m.data), m.seq)
	}
	if len(f.watchers) == 0 || m.same {
		return // the lists need no more than the key, and the streams have been told
	}
	if e != nil {
		e.ID, e.Transfer.Revision = m.seq<<progressBits, m.seq
	} else {
		var ok bool
		if e, ok = f.hub.store.event(f.owner, m); !ok {
			return
		}
	}
	for w := range f.watchers {
		w.put(e, m.seq)
	}
}

// show passes on progress, unless what was stored after it has come before it.
func (f *feed) show(t Transfer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := max(f.last+1, f.seq<<progressBits)
	if t.Revision < f.recent[idKey(t.ID)] || id >= (f.seq+1)<<progressBits { // after a million steps, wait for a stored one
		return
	}
	f.last = id
	e := &Event{ID: id, Transfer: t}
	for w := range f.watchers {
		w.put(e, f.seq+1)
	}
}

// mayHaveLost counts the times at which something may have been lost, and reports whether that count
// tells all: messages are lost with a connection, for want of room, or on their way between servers;
// what the committer tells is not. f.mu is held.
func (f *feed) mayHaveLost() (times int, sure bool) {
	times = int(f.hub.missed.Load())
	if f.hub.direct {
		return times, true
	}
	dropped, _ := f.sub.Dropped()
	return times + dropped + int(f.hub.store.events.Stats().Reconnects), false
}

// compare reads what was stored since the last comparison, in case that messages were lost: one can
// be although a later one came.
func (f *feed) compare(ctx context.Context) {
	f.mu.Lock()
	if f.checking {
		f.mu.Unlock()
		return
	}
	losses, sure := f.mayHaveLost()
	if sure && losses == f.losses {
		f.forget(f.checked)
		f.checked = f.seq
		f.mu.Unlock()
		return
	}
	f.checking = true
	from, upTo := f.checked, f.seq
	f.mu.Unlock()

	var found []stored
	reached, err := f.hub.store.scanPast(ctx, ownerKey("*", f.owner)+".>", from+1, upTo, func(m stored) { found = append(found, m) })

	f.mu.Lock()
	defer f.mu.Unlock()
	f.checking = false
	for _, m := range found {
		if m.seq > f.recent[idKey(idOf(m.key))] {
			f.seq = max(f.seq, m.seq)
			f.see(m, nil)
		}
	}
	if err == nil && reached { // else what is missing comes next time
		f.checked, f.losses = upTo, losses
		f.forget(from)
	}
}

// forget lets go of revisions up to seq: nothing older than those is still on its way. f.mu is held.
func (f *feed) forget(seq uint64) {
	maps.DeleteFunc(f.recent, func(_ rowID, at uint64) bool { return at <= seq })
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

// put adds an event, unless the snapshot has what came after it. seq is the revision behind it; of
// progress, which has none, the one after all that the feed has seen.
func (w *watcher) put(e *Event, seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq <= w.top {
		return
	}
	w.pending[e.Transfer.ID] = e
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// take is all that waits, in the order of the ids.
func (w *watcher) take() []*Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	es := make([]*Event, 0, len(w.pending))
	for _, e := range w.pending {
		es = append(es, e)
	}
	clear(w.pending)
	slices.SortFunc(es, func(a, b *Event) int { return cmp.Compare(a.ID, b.ID) })
	return es
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
