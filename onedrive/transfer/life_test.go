package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// script is a Mover that does what a sequence drew for each source.
type script struct {
	mu    sync.Mutex
	plays map[string][]string // by source: what each step does; the last one for ever
	posts map[string]int      // by transfer and attempt
}

func (m *script) Step(_ context.Context, t *transfer.Transfer, keep func() error, progress func()) (transfer.Next, error) {
	m.mu.Lock()
	play := m.plays[t.SourceURL]
	act := play[min(t.Work.Errors, len(play)-1)] // the play's position is stored: a field that this Mover has no other use for
	m.mu.Unlock()
	t.Work.Errors++
	if t.State != transfer.InProgress {
		t.State, t.Reason = transfer.InProgress, ""
	}
	switch act {
	case "post":
		t.Route, t.Work.Phase, t.Work.PostedAt = transfer.Native, transfer.Polling, time.Now()
		t.Work.Monitor = "https://monitor.example/job" // once tried again, it goes on with that
		if err := keep(); err != nil {
			return transfer.Next{}, err
		}
		m.mu.Lock()
		m.posts[fmt.Sprint(t.ID, " ", t.Attempts)]++
		m.mu.Unlock()
	case "show":
		percent := float64(t.Work.Errors)
		t.Percent = &percent
		progress()
	case "relay":
		t.Route = transfer.Relay
	case "throttled":
		return transfer.Next{Throttled: time.Millisecond}, nil
	case "park":
		t.State, t.Reason = transfer.Waiting, transfer.SignInRequired
		return transfer.Next{Park: true}, nil
	case "fail":
		t.State, t.Failure = transfer.Failed, &transfer.Failure{Code: "sourceNotFound"}
	case "complete":
		t.State, t.Item = transfer.Completed, &transfer.Item{ID: "i"}
	}
	return transfer.Next{}, nil
}

func (m *script) Abandon(_ context.Context, t *transfer.Transfer, keep func() error) (transfer.Next, error) {
	if t.Work.Looks++; t.Work.Looks%2 == 1 {
		return transfer.Next{After: time.Millisecond}, nil
	}
	return transfer.Next{}, keep()
}

// TestLife draws what people and OneDrive may do to transfers, and holds the engine against a model.
// Two thousand sequences: go test ./onedrive/transfer -run TestLife -rapid.checks 2000
func TestLife(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	m := &script{plays: map[string][]string{}, posts: map[string]int{}}
	r := e.run(t, m, transfer.RunnerOptions{PerAccount: 2})
	sequence := 0
	rapid.Check(t, func(t *rapid.T) {
		sequence++
		l := &life{t: t, e: e, m: m, r: r, owner: fmt.Sprintf("owner-%d", sequence), known: map[string]*fate{}}
		l.watch()
		defer l.cancel()
		t.Repeat(map[string]func(*rapid.T){
			"submit": l.submit, "cancel": l.cancelOne, "retry": l.retry, "delete": l.remove, "retryFailed": l.retryFailed,
			"wake": func(*rapid.T) { r.Wake(l.owner, transfer.SignInRequired) },
		})
		l.settle()
	})
}

// fate is what the model knows of a transfer.
type fate struct {
	end       transfer.State // of its play
	key       string
	cancelled bool
}

type life struct {
	t      *rapid.T
	e      *engine
	m      *script
	r      *transfer.Runner
	owner  string
	known  map[string]*fate
	cancel func()

	mu   sync.Mutex
	seen map[string]transfer.State
	bad  string
}

// watch follows the owner's stream: ids grow and nothing of anybody else comes.
func (l *life) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	l.cancel, l.seen = func() { cancel(); <-ended }, map[string]transfer.State{}
	go func() {
		defer close(ended)
		last := uint64(0)
		// From the first revision: a stream that begins later is not told of what ended before it.
		for ev, err := range l.e.store.Watch(ctx, l.owner, 1<<20) {
			l.mu.Lock()
			if err != nil || ev.ID <= last || ev.Transfer.Owner != l.owner {
				l.bad = fmt.Sprintf("event %d of %s after %d: %v", ev.ID, ev.Transfer.Owner, last, err)
			}
			last = ev.ID
			if l.seen[ev.Transfer.ID] = ev.Transfer.State; ev.Deleted {
				delete(l.seen, ev.Transfer.ID)
			}
			l.mu.Unlock()
		}
	}()
}

func (l *life) submit(t *rapid.T) {
	steps := rapid.SliceOfN(rapid.SampledFrom([]string{"post", "show", "relay", "throttled", "park", "again"}), 0, 5).Draw(t, "steps")
	f := &fate{end: transfer.Completed, key: fmt.Sprintf("key-%d", rapid.IntRange(0, 5).Draw(t, "key"))}
	last := "complete"
	if rapid.Bool().Draw(t, "fails") {
		f.end, last = transfer.Failed, "fail"
	}
	request := transfer.Request{SourceURL: fmt.Sprintf("https://%s.example/%s", l.owner, f.key)}
	l.m.mu.Lock()
	if l.m.plays[request.SourceURL] == nil {
		l.m.plays[request.SourceURL] = append(steps, last)
	}
	l.m.mu.Unlock()
	got, isNew, err := l.e.store.Submit(context.Background(), l.owner, request, f.key)
	if err != nil {
		t.Fatal(err)
	}
	for id, other := range l.known {
		if other.key == f.key && (id != got.ID || isNew) {
			t.Fatalf("key %s gave %s and %s, new %v", f.key, id, got.ID, isNew)
		}
	}
	if isNew {
		if end := l.m.plays[request.SourceURL]; end[len(end)-1] == "fail" {
			f.end = transfer.Failed
		} else {
			f.end = transfer.Completed
		}
		l.known[got.ID] = f
	}
}

func (l *life) pick(t *rapid.T) string {
	if len(l.known) == 0 {
		t.Skip("none yet")
	}
	ids := slices.Sorted(maps.Keys(l.known)) // in the order of their making, so that a seed draws the same life again
	return ids[rapid.IntRange(0, 5).Draw(t, "which")%len(ids)]
}

func (l *life) cancelOne(t *rapid.T) {
	id := l.pick(t)
	got, err := l.r.Cancel(context.Background(), l.owner, id)
	switch {
	case err == nil && got.State == transfer.Cancelled:
		l.known[id].cancelled = true
	case errors.Is(err, transfer.ErrNotPossible) && got.State.Final():
	default:
		t.Fatalf("cancel: %s, %v", got.State, err)
	}
}

func (l *life) retry(t *rapid.T) {
	id := l.pick(t)
	_, err := l.r.Retry(context.Background(), l.owner, id)
	if err == nil {
		if got, _ := l.e.store.Get(context.Background(), l.owner, id); got.Attempts > 1 {
			l.known[id].cancelled = false
		}
	} else if !errors.Is(err, transfer.ErrNotPossible) {
		t.Fatalf("retry: %v", err)
	}
	if again, err := l.e.store.Get(context.Background(), l.owner, id); err == nil && again.State == transfer.Cancelled {
		l.known[id].cancelled = true
	}
}

func (l *life) retryFailed(t *rapid.T) {
	if _, err := l.r.RetryFailed(context.Background(), l.owner); err != nil {
		t.Fatalf("retry failed: %v", err)
	}
}

func (l *life) remove(t *rapid.T) {
	id := l.pick(t)
	err := l.e.store.Delete(context.Background(), l.owner, id)
	if err == nil {
		delete(l.known, id)
	} else if !errors.Is(err, transfer.ErrNotPossible) {
		t.Fatalf("delete: %v", err)
	}
}

// settle wakes all until each has its end, and compares the list, the stream and the model.
func (l *life) settle() {
	deadline := time.Now().Add(5 * time.Second)
	for {
		l.r.Wake(l.owner)
		problem := l.problem()
		if problem == "" {
			break
		}
		if time.Now().After(deadline) {
			l.t.Fatal(problem)
		}
		time.Sleep(time.Millisecond)
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	for id := range l.known {
		for key, n := range l.m.posts {
			if len(key) > 26 && key[:26] == id && n > 5 {
				l.t.Fatalf("%s was posted %d times", key, n)
			}
		}
	}
}

func (l *life) problem() string {
	p, err := l.e.store.List(context.Background(), l.owner, transfer.ListOptions{Top: 200})
	if err != nil || len(p.Value) != len(l.known) {
		return fmt.Sprintf("%d on the list, want %d, %v", len(p.Value), len(l.known), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bad != "" {
		return l.bad
	}
	for _, got := range p.Value {
		f := l.known[got.ID]
		if f == nil {
			return "an unknown transfer " + got.ID
		}
		want := f.end
		if f.cancelled {
			want = transfer.Cancelled
		}
		if got.State != want || l.seen[got.ID] != want {
			return fmt.Sprintf("%s is %s and was seen as %s, want %s", got.ID, got.State, l.seen[got.ID], want)
		}
	}
	return ""
}
