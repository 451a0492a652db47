package transfer

import (
	"context"
	"iter"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/transfer/natsd"
)

const robinOwner = "robin"

// alike runs test with a feed that lives on what the committer tells, and with one as on a cluster.
func alike(t *testing.T, test func(t *testing.T, shared bool)) {
	t.Run("alone", func(t *testing.T) { test(t, false) })
	t.Run("shared", func(t *testing.T) { test(t, true) })
}

// openFeed is a store of its own, and one transfer in it.
func openFeed(t *testing.T, shared bool, at func(point string)) (*Store, *Transfer) {
	t.Helper()
	node, err := natsd.Start(natsd.Options{Dir: natsd.Memory})
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(context.Background(), node.JetStream(), node.Conn(), StoreOptions{at: at, shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); _ = node.Close(context.Background()) })
	return s, s.another(t)
}

// another is a new transfer. It opens no feed, as Submit would to see what its owner has.
func (s *Store) another(t *testing.T) *Transfer {
	t.Helper()
	fresh, err := s.accept(robinOwner, Request{SourceURL: "https://images.example/1.jpg", ConflictBehavior: onedrive.Rename}, &share{1, 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	tr, _, err := s.create(t.Context(), fresh, "")
	if err != nil {
		t.Fatal(err)
	}
	return &tr
}

func (s *Store) becomes(t *testing.T, tr *Transfer, state State) {
	t.Helper()
	tr.State = state
	if err := s.Update(t.Context(), tr); err != nil {
		t.Fatal(err)
	}
}

// TestProgressThatComesLateIsDropped: progress goes another way than records and can be overtaken.
func TestProgressThatComesLateIsDropped(t *testing.T) { alike(t, progressThatComesLate) }

func progressThatComesLate(t *testing.T, shared bool) {
	for _, state := range []State{Waiting, Completed} {
		t.Run(string(state), func(t *testing.T) {
			s, tr := openFeed(t, shared, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			next, stop := iter.Pull2(s.Watch(ctx, robinOwner, 0))
			defer stop()
			until := func(id string, state State) (last State) { // of tr
				for {
					e, err, ok := next()
					if err != nil || !ok {
						t.Fatalf("the stream ended: %v", err)
					}
					if e.Transfer.ID == tr.ID {
						last = e.Transfer.State
					}
					if e.Transfer.ID == id && e.Transfer.State == state {
						return last
					}
				}
			}
			until(tr.ID, NotStarted)
			late := *tr
			late.State = InProgress
			s.publish(&late)
			until(tr.ID, InProgress)

			s.becomes(t, tr, state)
			until(tr.ID, state)
			s.publish(&late)
			if err := s.events.Flush(); err != nil {
				t.Fatal(err)
			}
			if last := until(s.another(t).ID, NotStarted); last != "" {
				t.Errorf("after %s the stream showed %s", state, last)
			}
		})
	}
}

// TestProgressDoesNotHideTheSnapshot: a stream's first look can be ahead of the feed, which then still
// has progress from before.
func TestProgressDoesNotHideTheSnapshot(t *testing.T) {
	s, tr := openFeed(t, true, nil)
	w := &watcher{pending: map[string]*Event{}, signal: make(chan struct{}, 1)}
	f, base, err := s.hub.attach(t.Context(), robinOwner, w)
	if err != nil {
		t.Fatal(err)
	}
	defer s.hub.detach(f, w)
	if _, err := s.List(t.Context(), robinOwner, ListOptions{}); err != nil { // makes the index
		t.Fatal(err)
	}
	f.mu.Lock() // the feed is slow
	late := *tr
	late.State = InProgress
	s.publish(&late)
	if err := s.events.Flush(); err != nil {
		t.Fatal(err)
	}
	s.becomes(t, tr, Completed)
	err = s.catchUp(t.Context(), w, robinOwner, base, base)
	f.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		seen := f.seq
		f.mu.Unlock()
		if seen >= tr.Revision {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the feed does not go on")
		}
	}
	if es := w.take(); len(es) != 1 || es[0].Transfer.State != Completed {
		t.Errorf("the stream shows %d events, the first %+v; want that it is completed", len(es), es)
	}
}

// TestWhatIsStoredWhileAFeedOpensIsOnTheList although no later message leads to it.
func TestWhatIsStoredWhileAFeedOpensIsOnTheList(t *testing.T) { alike(t, whatIsStoredWhileAFeedOpens) }

func whatIsStoredWhileAFeedOpens(t *testing.T, shared bool) {
	meanwhile := func() {}
	s, tr := openFeed(t, shared, func(point string) {
		if point == "watch.opening" {
			meanwhile()
		}
	})
	var second *Transfer
	meanwhile = func() {
		second = s.another(t)
		s.becomes(t, second, Completed)
	}
	next, stop := iter.Pull2(s.Watch(t.Context(), robinOwner, 0))
	defer stop()
	if e, err, ok := next(); !ok || err != nil || e.Transfer.ID != tr.ID {
		t.Fatalf("the stream began with %+v, %v", e, err)
	}
	p, err := s.List(t.Context(), robinOwner, ListOptions{})
	if err != nil || len(p.Value) != 2 || p.Value[0].ID != second.ID {
		t.Errorf("the list has %d, %v; want both", len(p.Value), err)
	}
}

// A reader that goes away while the feed opens takes it from nobody else.
func TestAReaderThatLeavesSpoilsNoOther(t *testing.T) { alike(t, aReaderThatLeaves) }

func aReaderThatLeaves(t *testing.T, shared bool) {
	leave := func() {}
	s, tr := openFeed(t, shared, func(point string) {
		if point == "watch.opening" {
			leave()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	opening, first := make(chan struct{}), make(chan struct{})
	leave = func() {
		cancel()
		close(opening)
		for s.hub.readers(robinOwner) < 2 { // the second waits for the same feed
			time.Sleep(time.Millisecond)
		}
	}
	go func() {
		defer close(first)
		for range s.Watch(ctx, robinOwner, 0) {
		}
	}()
	<-opening
	next, stop := iter.Pull2(s.Watch(t.Context(), robinOwner, 0))
	defer stop()
	if e, err, ok := next(); !ok || err != nil || e.Transfer.ID != tr.ID {
		t.Errorf("the second reader got %+v, %v", e, err)
	}
	<-first
}

// readers counts the streams of owner.
func (h *hub) readers(owner string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[owner]
	if f == nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers)
}
