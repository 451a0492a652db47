package transfer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

func TestASlowReaderSkipsStepsButGetsTheLatest(t *testing.T) {
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{}).store
	tr := submit(t, s, robin, picture(1), "")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	events, last := 0, uint64(0)
	for e, err := range s.Watch(ctx, robin, 0) {
		if err != nil || e.ID <= last {
			t.Fatalf("event %d after %d, %v", e.ID, last, err)
		}
		last = e.ID
		if events++; events == 1 { // the reader is busy while a lot happens
			for i := range 100 {
				tr.Name = fmt.Sprintf("%d.jpg", i)
				if err := s.Update(t.Context(), &tr); err != nil {
					t.Fatal(err)
				}
			}
		}
		if e.Transfer.Name == "99.jpg" {
			break
		}
	}
	if ctx.Err() != nil || events > 60 {
		t.Errorf("%d events, %v; want the latest after few", events, ctx.Err())
	}
}

// TestResumingMissesNothing breaks a stream again and again while transfers change, end and go.
func TestResumingMissesNothing(t *testing.T) {
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{}).store
	begin := submit(t, s, robin, picture(0), "") // what ends before a stream begins is not told
	want := sync.Map{}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 40 {
				tr, _, err := s.Submit(context.Background(), robin, picture(w*100+i), "")
				for step := range 3 {
					if err != nil {
						t.Error(err)
						return
					}
					tr.Name = fmt.Sprint(step)
					if step == 2 {
						tr.State = []transfer.State{transfer.Completed, transfer.Failed, transfer.InProgress}[i%3]
					}
					err = s.Update(context.Background(), &tr)
				}
				want.Store(tr.ID, string(tr.State))
				if i%6 == 0 {
					if err := s.Delete(context.Background(), robin, tr.ID); err != nil {
						t.Error(err)
						return
					}
					want.Store(tr.ID, "deleted")
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()

	got, last := map[string]string{}, begin.EventID()
	complete := func() bool {
		select {
		case <-written:
		default:
			return false
		}
		same := true
		want.Range(func(id, state any) bool {
			same = got[id.(string)] == state
			return same
		})
		return same
	}
	deadline := time.Now().Add(20 * time.Second)
	for !complete() {
		if time.Now().After(deadline) {
			want.Range(func(id, state any) bool {
				if got[id.(string)] != state {
					t.Errorf("%s was last seen as %q, is %q", id, got[id.(string)], state)
				}
				return true
			})
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		left, previous := rand.IntN(120)+1, last
		for e, err := range s.Watch(ctx, robin, last) {
			if err != nil || e.ID <= previous || e.Transfer.Owner != robin {
				t.Fatalf("event %d of %s after %d: %v", e.ID, e.Transfer.Owner, previous, err)
			}
			previous, last = e.ID, e.ID
			if got[e.Transfer.ID] = string(e.Transfer.State); e.Deleted {
				got[e.Transfer.ID] = "deleted"
			}
			if left--; left == 0 {
				break
			}
		}
		cancel()
	}
}

// TestAStreamMissesNothingWhenItsConnectionBreaks breaks the line between the store and its streams
// while much is written: what was sent meanwhile is read again.
func TestAStreamMissesNothingWhenItsConnectionBreaks(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	first := submit(t, e.store, robin, picture(0), "")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	want := map[string]bool{}
	for ev, err := range e.store.Watch(ctx, robin, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Transfer.ID == first.ID { // the stream stands
			for range 3 {
				if err := e.node.Conn().ForceReconnect(); err != nil {
					t.Fatal(err)
				}
				for i := range 20 {
					want[submit(t, e.store, robin, picture(i), "").ID] = true
				}
			}
		}
		if delete(want, ev.Transfer.ID); len(want) == 0 {
			return
		}
	}
	t.Errorf("%d of 60 were never told", len(want))
}
