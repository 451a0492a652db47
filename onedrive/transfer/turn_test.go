package transfer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// relays is a Mover whose relays last until they are let go or interrupted.
type relays struct {
	bytes       int64 // that each has moved when it begins to wait
	hold        string
	running     atomic.Int64
	letGo       chan struct{}
	mu          sync.Mutex
	interrupted []time.Duration // how long each had its place
}

func (m *relays) Step(ctx context.Context, t *transfer.Transfer, _ func() error, progress func()) (transfer.Next, error) {
	if t.Route == "" {
		t.Route, t.State = transfer.Relay, transfer.InProgress
		return transfer.Next{}, nil
	}
	if t.Owner != m.hold {
		began := time.Now()
		moved := m.bytes
		if t.BytesTransferred != nil {
			moved += *t.BytesTransferred
		}
		t.BytesTransferred = &moved
		progress()
		m.running.Add(1)
		defer m.running.Add(-1)
		select {
		case <-m.letGo:
		case <-ctx.Done():
			m.mu.Lock()
			defer m.mu.Unlock()
			m.interrupted = append(m.interrupted, time.Since(began))
			return transfer.Next{}, ctx.Err()
		}
	}
	t.State, t.Item = transfer.Completed, &transfer.Item{ID: t.ID, Size: 1}
	return transfer.Next{}, nil
}

func (m *relays) Abandon(context.Context, *transfer.Transfer, func() error) (transfer.Next, error) {
	return transfer.Next{}, nil
}

func (m *relays) turns() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Duration(nil), m.interrupted...)
}

// TestSlowRelaysTakeTurns: six accounts with sources that drip have all places; another account's relay
// gets one when a turn is over, and what was interrupted for it goes on afterwards. One that is fast keeps
// its place for longer. While nobody waits nobody is interrupted.
func TestSlowRelaysTakeTurns(t *testing.T) {
	const slow, long = 200 * time.Millisecond, time.Second
	for _, tt := range []struct {
		name  string
		bytes int64
		turn  time.Duration
	}{
		{"that drip", 9 << 10, slow},
		{"that are fast and long", 1 << 30, long},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
			m := &relays{bytes: tt.bytes, hold: kim, letGo: make(chan struct{})}
			e.run(t, m, transfer.RunnerOptions{}.ShortTurns(slow, long))
			relay := func(owner string, n int) transfer.Transfer {
				return submit(t, e.store, owner, transfer.Request{SourceURL: fmt.Sprintf("https://%s%d.example/film", owner, n), ConflictBehavior: onedrive.Rename}, "")
			}
			var all []transfer.Transfer
			for a := range 6 {
				for n := range 3 {
					if len(all) < 16 {
						all = append(all, relay(fmt.Sprint("drip", a), n))
					}
				}
			}
			eventually(t, "all places are taken", func() bool { return m.running.Load() == 16 })
			timer := time.NewTimer(tt.turn + slow)
			<-timer.C
			if n := len(m.turns()); n > 0 {
				t.Errorf("%d interrupted while nobody waits", n)
			}
			began := time.Now()
			one := relay(kim, 0)
			eventually(t, "the other account's relay is done", func() bool {
				got, err := e.store.Get(t.Context(), kim, one.ID)
				return err == nil && got.State == transfer.Completed
			})
			t.Logf("done after %v; interrupted after %v", time.Since(began), m.turns())
			for _, held := range m.turns() {
				if held < tt.turn {
					t.Errorf("interrupted after %v, before its turn was over", held)
				}
			}
			close(m.letGo)
			for _, tr := range all {
				eventually(t, "what was interrupted is done", func() bool {
					got, err := e.store.Get(t.Context(), tr.Owner, tr.ID)
					return err == nil && got.State == transfer.Completed
				})
			}
		})
	}
}

// TestNobodyYieldsToWhoHasAsMany: an account with its own relays running waits for one of them, or for
// somebody who has more.
func TestNobodyYieldsToWhoHasAsMany(t *testing.T) {
	const turn = 100 * time.Millisecond
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	m := &relays{bytes: 9 << 10, letGo: make(chan struct{})}
	e.run(t, m, transfer.RunnerOptions{MaxStreams: 2}.ShortTurns(turn, turn))
	for n, owner := range []string{robin, kim, robin, kim} {
		submit(t, e.store, owner, transfer.Request{SourceURL: fmt.Sprintf("https://%d.example/film", n), ConflictBehavior: onedrive.Rename}, "")
		eventually(t, "the places are taken", func() bool { return m.running.Load() == int64(min(n+1, 2)) })
	}
	timer := time.NewTimer(4 * turn)
	<-timer.C
	if turns := m.turns(); len(turns) > 0 {
		t.Errorf("interrupted after %v for somebody who has as many", turns)
	}
	close(m.letGo)
}

// TestSmallPicturesOfOthersAreNoNeighbours: what came in its address shares no host with anybody's.
func TestSmallPicturesOfOthersAreNoNeighbours(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	m := &relays{letGo: make(chan struct{})}
	e.run(t, m, transfer.RunnerOptions{PerHost: 2})
	for a := range 6 {
		submit(t, e.store, fmt.Sprint("user", a), inline(100), "")
	}
	eventually(t, "all of them are saved at once", func() bool { return m.running.Load() == 6 })
	close(m.letGo)
}
