package transfer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// sender is a Mover whose relays stream, and which counts who does.
type sender struct {
	twice bool // streams, writes and streams again
	start chan struct{}

	mu              sync.Mutex
	now, most, sent int
}

func (m *sender) Step(_ context.Context, t *transfer.Transfer, keep func() error, _ func()) (transfer.Next, error) {
	if t.Route != transfer.Relay {
		t.State, t.Route = transfer.InProgress, transfer.Relay
		return transfer.Next{}, nil
	}
	<-m.start
	m.stream()
	if m.twice {
		t.Work.Errors++ // something to write
		if err := keep(); err != nil {
			return transfer.Next{}, err
		}
		m.stream()
	}
	t.State, t.Item = transfer.Completed, &transfer.Item{ID: "i"}
	return transfer.Next{}, nil
}

func (m *sender) Abandon(context.Context, *transfer.Transfer, func() error) (transfer.Next, error) {
	return transfer.Next{}, nil
}

func (m *sender) stream() {
	m.mu.Lock()
	m.now++
	m.most = max(m.most, m.now)
	m.mu.Unlock()
	for range 100 {
		runtime.Gosched() // let others in who may
	}
	m.mu.Lock()
	m.now--
	m.sent++
	m.mu.Unlock()
}

func (m *sender) count() (sent, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent, m.most
}

// While relays wait for the disk others of their account have their places: so many of them, and not
// one too many streams at any time.
func TestRelaysThatWriteLeaveTheirPlaces(t *testing.T) {
	t.Parallel()
	const all, atOnce = 40, 2
	for _, row := range []struct {
		name        string
		twice       bool
		shut, whole int // parts streamed while nothing can be written, and altogether
	}{
		{"holding their files", true, 16 + atOnce, 2 * all},
		{"at their end", false, all, all},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var disk sync.RWMutex
			e := openEngine(t, natsd.Memory, transfer.StoreOptions{}.At(func(point string) {
				if point == "write.before" {
					disk.RLock()
					defer disk.RUnlock()
				}
			}))
			ended := func(state transfer.State) func() bool {
				return func() bool {
					p, err := e.store.List(t.Context(), robin, transfer.ListOptions{State: state, Top: all})
					return err == nil && len(p.Value) == all
				}
			}
			m := &sender{twice: row.twice, start: make(chan struct{})}
			e.run(t, m, transfer.RunnerOptions{PerAccount: atOnce, PerHost: 100})
			for i := range all {
				submit(t, e.store, robin, picture(i), fmt.Sprint(i))
			}
			eventually(t, "all are relays", ended(transfer.InProgress))
			disk.Lock()
			free := sync.OnceFunc(disk.Unlock)
			t.Cleanup(free)
			close(m.start)
			eventually(t, "others stream while some write", func() bool { sent, _ := m.count(); return sent == row.shut })
			free()
			eventually(t, "all completed", ended(transfer.Completed))
			if sent, most := m.count(); sent != row.whole || most > atOnce {
				t.Errorf("%d parts sent, %d at once; want %d, %d", sent, most, row.whole, atOnce)
			}
		})
	}
}

// failing is a Mover whose steps fail.
type failing struct{ steps atomic.Int32 }

func (m *failing) Step(_ context.Context, t *transfer.Transfer, _ func() error, _ func()) (transfer.Next, error) {
	m.steps.Add(1)
	t.State, t.Failure = transfer.Failed, &transfer.Failure{Code: "sourceNotFound"}
	return transfer.Next{}, nil
}

func (m *failing) Abandon(context.Context, *transfer.Transfer, func() error) (transfer.Next, error) {
	return transfer.Next{}, nil
}

// A person may retry as soon as the failure is stored, before the runner has put the transfer away.
func TestRetryInTheMomentOfFailing(t *testing.T) {
	t.Parallel()
	var r *transfer.Runner
	var got transfer.Transfer
	var once sync.Once
	known := make(chan struct{})
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{}.At(func(point string) {
		if point == "final.after" {
			once.Do(func() {
				<-known
				if _, err := r.Retry(context.Background(), robin, got.ID); err != nil {
					t.Errorf("retry: %v", err)
				}
			})
		}
	}))
	m := &failing{}
	r = e.run(t, m, transfer.RunnerOptions{})
	got = submit(t, e.store, robin, picture(1), "")
	close(known)
	eventually(t, "it failed once more", func() bool {
		now, err := e.store.Get(t.Context(), robin, got.ID)
		return err == nil && now.State == transfer.Failed && now.Attempts == 2
	})
}

// TestWakeInTheMomentOfParking: who signs in while a transfer is being refused for the lack of it is
// not made to wait until it looks again by itself.
func TestWakeInTheMomentOfParking(t *testing.T) {
	t.Parallel()
	m := &refused{stepping: make(chan struct{}), answer: make(chan struct{})}
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	r := e.run(t, m, transfer.RunnerOptions{})
	submit(t, e.store, robin, picture(1), "")
	<-m.stepping
	r.WakeHere(robin, transfer.SignInRequired)
	m.answer <- struct{}{}
	select {
	case <-m.stepping:
		m.answer <- struct{}{}
	case <-time.After(10 * time.Second):
		t.Error("it was put aside")
	}
}

// A sign-in that came while no runner had the transfer is noticed by the next one.
func TestASignInWhileNobodyRuns(t *testing.T) {
	t.Parallel()
	m := &refused{stepping: make(chan struct{}), answer: make(chan struct{})}
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	first := e.run(t, m, transfer.RunnerOptions{})
	got := submit(t, e.store, robin, picture(1), "")
	stopped := make(chan struct{})
	var steps sync.WaitGroup
	steps.Go(func() {
		for {
			select {
			case <-m.stepping:
				m.answer <- struct{}{}
			case <-stopped:
				return
			}
		}
	})
	eventually(t, "it is put aside", func() bool {
		now, err := e.store.Get(t.Context(), robin, got.ID)
		return err == nil && now.Reason == transfer.SignInRequired && !first.Busy(robin, got.ID)
	})
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(stopped)
	steps.Wait()
	e.run(t, m, transfer.RunnerOptions{})
	select {
	case <-m.stepping:
		m.answer <- struct{}{}
	case <-time.After(10 * time.Second):
		t.Error("it is not looked at")
	}
}

// refused is a Mover that parks, when it is let.
type refused struct{ stepping, answer chan struct{} }

func (m *refused) Step(ctx context.Context, t *transfer.Transfer, _ func() error, _ func()) (transfer.Next, error) {
	select {
	case m.stepping <- struct{}{}:
	case <-ctx.Done():
		return transfer.Next{}, ctx.Err()
	}
	<-m.answer
	t.State, t.Reason = transfer.Waiting, transfer.SignInRequired
	return transfer.Next{Park: true}, nil
}

func (m *refused) Abandon(context.Context, *transfer.Transfer, func() error) (transfer.Next, error) {
	return transfer.Next{}, nil
}

// busy is a Mover whose account is throttled; the third step ends its transfer with that answer.
type busy struct {
	r     *transfer.Runner
	both  sync.WaitGroup // the first two steps run at once
	steps atomic.Int32
}

func (m *busy) Step(_ context.Context, t *transfer.Transfer, _ func() error, _ func()) (transfer.Next, error) {
	const wait = 20 * time.Millisecond
	switch m.steps.Add(1) {
	case 1, 2:
		m.both.Done()
		m.both.Wait()
		return transfer.Next{Throttled: wait, After: wait}, nil
	case 3:
		for m.r.Load().Ready == 0 { // the other waits for what becomes of this one
			time.Sleep(time.Millisecond)
		}
		t.State, t.Failure = transfer.Failed, &transfer.Failure{Code: "timedOut"}
		return transfer.Next{Throttled: wait}, nil
	}
	t.State, t.Item = transfer.Completed, &transfer.Item{ID: "i"}
	return transfer.Next{}, nil
}

func (m *busy) Abandon(context.Context, *transfer.Transfer, func() error) (transfer.Next, error) {
	return transfer.Next{}, nil
}

// The account's others go on when the time of a throttled answer is over, although whoever had it ended.
func TestAThrottledStepThatEndsLetsTheOthersGoOn(t *testing.T) {
	t.Parallel()
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	m := &busy{}
	m.both.Add(2)
	m.r = transfer.NewRunner(e.store, m, transfer.RunnerOptions{})
	if err := m.r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.r.Stop(context.Background()) })
	submit(t, e.store, robin, picture(1), "")
	submit(t, e.store, robin, picture(2), "")
	eventually(t, "the other completed", func() bool {
		p, err := e.store.List(t.Context(), robin, transfer.ListOptions{State: transfer.Completed})
		return err == nil && len(p.Value) == 1
	})
}
