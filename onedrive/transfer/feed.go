package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

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

// watched reports whether somebody follows the feed: lists need no events.
func (f *feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers) > 0
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
		time.AfterFunc(firstCheck, func() { _ = f.compare(context.WithoutCancel(ctx)) })
	}
	return nil
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

// errComparing: another comparison of the feed runs, or it is not open yet.
var errComparing = errors.New("the feed is being compared")

// compare reads what was stored since the last comparison, in case that messages were lost: one can
// be although a later one came. An error is of the records, or errComparing.
func (f *feed) compare(ctx context.Context) error {
	f.mu.Lock()
	if f.checking {
		f.mu.Unlock()
		return errComparing
	}
	losses, sure := f.mayHaveLost()
	if sure && losses == f.losses {
		f.forget(f.checked)
		f.checked = f.seq
		f.mu.Unlock()
		return nil
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
	return err
}

// forget lets go of revisions up to seq: nothing older than those is still on its way. f.mu is held.
func (f *feed) forget(seq uint64) {
	maps.DeleteFunc(f.recent, func(_ rowID, at uint64) bool { return at <= seq })
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
