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

// engine is a store on a server of its own, and what a test may need to open another.
type engine struct {
	node  *natsd.Node
	store *transfer.Store
}

func openEngine(t testing.TB, dir string, o transfer.StoreOptions) *engine {
	t.Helper()
	node, err := natsd.Start(natsd.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := transfer.OpenStore(context.Background(), node.JetStream(), node.Conn(), o)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{node, s}
	t.Cleanup(e.close)
	return e
}

func (e *engine) close() {
	e.store.Close()
	_ = e.node.Close(context.Background())
}

func (e *engine) run(t testing.TB, m transfer.Mover, o transfer.RunnerOptions) *transfer.Runner {
	t.Helper()
	r := transfer.NewRunner(e.store, m, o)
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r
}

func picture(n int) transfer.Request {
	return transfer.Request{SourceURL: fmt.Sprintf("https://images.example/%d.jpg?sig=verysecretsignature", n), ConflictBehavior: onedrive.Rename}
}

func submit(t testing.TB, s *transfer.Store, owner string, r transfer.Request, key string) transfer.Transfer {
	t.Helper()
	got, _, err := s.Submit(t.Context(), owner, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually waits until ok, which is asked each time something may have changed.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// microsoft is the truth of a fake Mover: which files there are, and how often each was asked for.
type microsoft struct {
	mu        sync.Mutex
	posts     map[string]int // by transfer
	files     map[string]int
	abandoned map[string]int
	polls     int
	step      func(ctx context.Context, t *transfer.Transfer) (transfer.Next, error, bool) // a test's own behaviour first
	delay     time.Duration
}

func newMicrosoft() *microsoft {
	return &microsoft{posts: map[string]int{}, files: map[string]int{}, abandoned: map[string]int{}}
}

func (m *microsoft) Step(ctx context.Context, t *transfer.Transfer, keep func() error, progress func()) (transfer.Next, error) {
	if m.step != nil {
		if next, err, done := m.step(ctx, t); done {
			return next, err
		}
	}
	switch t.Work.Phase {
	case transfer.Choosing:
		t.Route, t.State, t.Work.Phase, t.Work.PostedAt = transfer.Native, transfer.InProgress, transfer.Posting, time.Now()
		if err := keep(); err != nil {
			return transfer.Next{}, err
		}
		m.post(t.ID)
		t.Work.Monitor, t.Work.Phase = onedrive.SecretURL("https://monitor.example/?token=averysecretmonitor"+t.ID), transfer.Polling
		return transfer.Next{After: transfer.Adaptive}, keep()
	case transfer.Posting: // the answer was lost: look
		m.mu.Lock()
		found := m.posts[t.ID] > 0
		m.mu.Unlock()
		if !found {
			m.post(t.ID)
		}
		t.Work.Monitor, t.Work.Phase = onedrive.SecretURL("https://monitor.example/?token=averysecretmonitor"+t.ID), transfer.Polling
		return transfer.Next{After: transfer.Adaptive}, keep()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.polls++
	if time.Since(t.Work.PostedAt) < m.delay {
		percent := float64(time.Since(t.Work.PostedAt)) / float64(m.delay) * 100
		t.Percent = &percent
		return transfer.Next{After: transfer.Adaptive}, nil
	}
	t.State, t.Item = transfer.Completed, &transfer.Item{ID: "item-" + t.ID, Size: 1}
	return transfer.Next{}, nil
}

func (m *microsoft) post(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posts[id]++
	m.files[id]++
}

func (m *microsoft) Abandon(_ context.Context, t *transfer.Transfer, _ func() error) (transfer.Next, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.abandoned[t.ID]++
	return transfer.Next{}, nil
}

// memoryful is a Mover that counts what it was told of before the first step.
type memoryful struct {
	*microsoft
	recalled atomic.Int64
	early    atomic.Int64 // steps before all was recalled
	all      int64
}

func (m *memoryful) Recall(*transfer.Transfer) { m.recalled.Add(1) }

func (m *memoryful) Step(ctx context.Context, t *transfer.Transfer, keep func() error, progress func()) (transfer.Next, error) {
	if m.recalled.Load() < m.all {
		m.early.Add(1)
	}
	return m.microsoft.Step(ctx, t, keep, progress)
}

// TestNothingGoesOnBeforeAllIsKnown: a step must see what the account's other transfers have begun.
func TestNothingGoesOnBeforeAllIsKnown(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	m := &memoryful{microsoft: newMicrosoft(), all: 300}
	for i := range int(m.all) {
		submit(t, e.store, "robin", picture(i), "")
	}
	e.run(t, m, transfer.RunnerOptions{PerAccount: 300})
	eventually(t, "all completed", func() bool {
		p, err := e.store.List(t.Context(), "robin", transfer.ListOptions{State: transfer.Completed, Top: 200})
		return err == nil && len(p.Value) == 200
	})
	if n := m.early.Load(); n > 0 {
		t.Errorf("%d steps before all was known", n)
	}
}
