package transfer_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// inline is a request whose address holds bytes.
func inline(n int) transfer.Request {
	data := bytes.Repeat([]byte{1}, n)
	return transfer.Request{SourceURL: "data:image/png;base64," + base64.StdEncoding.EncodeToString(data), ConflictBehavior: onedrive.Rename}
}

// heap is what is in use, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// holdsLittle waits until no more than most bytes are in use beyond before: what was read goes by and by.
func holdsLittle(t *testing.T, what string, before, most int64) {
	t.Helper()
	held := heap() - before
	for deadline := time.Now().Add(5 * time.Second); held > most && time.Now().Before(deadline); held = heap() - before {
		time.Sleep(50 * time.Millisecond)
	}
	if held > most {
		t.Errorf("%s: %d KiB are held, want %d", what, held>>10, most>>10)
	}
}

// TestWhatWaitsHoldsNoBytes: a busy OneDrive lets one account's small pictures wait by the hundred, and
// their bytes rest in the records; also in those of another life, and while somebody watches.
func TestWhatWaitsHoldsNoBytes(t *testing.T) {
	const n, size, most = 200, 128 << 10, 16 << 20
	dir := t.TempDir()
	var busy atomic.Bool
	var done atomic.Int64
	busy.Store(true)
	m := newMicrosoft()
	m.step = func(_ context.Context, tr *transfer.Transfer) (transfer.Next, error, bool) {
		switch {
		case busy.Load() && tr.Route == "": // one of them waits as a relay, the others for their turn
			tr.Route, tr.State, tr.Work.Phase = transfer.Relay, transfer.InProgress, transfer.Sending
			return transfer.Next{}, nil, true
		case busy.Load():
			return transfer.Next{After: time.Second, Throttled: time.Hour}, nil, true
		case len(tr.Work.Inline) != size:
			t.Errorf("%s has %d bytes", tr.ID, len(tr.Work.Inline))
		}
		done.Add(1)
		tr.State, tr.Route, tr.Item = transfer.Completed, transfer.Relay, &transfer.Item{ID: tr.ID, Size: 1}
		return transfer.Next{}, nil, true
	}
	before := heap()
	e := openEngine(t, dir, transfer.StoreOptions{})
	r := e.run(t, m, transfer.RunnerOptions{})
	for range n {
		submit(t, e.store, robin, inline(size), "")
	}
	holdsLittle(t, "what waits", before, most)
	_ = r.Stop(t.Context())
	e.close()

	e = openEngine(t, dir, transfer.StoreOptions{})
	r = e.run(t, m, transfer.RunnerOptions{})
	eventually(t, "all are taken up", func() bool { l := r.Load(); return l.Queued+l.Ready+l.Resting+l.Working >= n })
	holdsLittle(t, "what waits after a restart", before, most)
	watched, stop := context.WithCancel(t.Context())
	defer stop()
	seen := 0
	for _, err := range e.store.Watch(watched, robin, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 1 {
			holdsLittle(t, "a stream of them", before, most)
		}
		if seen == n {
			stop()
		}
	}
	p, err := e.store.List(t.Context(), robin, transfer.ListOptions{Top: 200})
	if err != nil || len(p.Value) != n {
		t.Errorf("a list of %d: %v", len(p.Value), err)
	}
	holdsLittle(t, "a list of them", before, most)
	runtime.KeepAlive(p)
	_ = r.Stop(t.Context())
	e.close()

	busy.Store(false)
	e = openEngine(t, dir, transfer.StoreOptions{})
	e.run(t, m, transfer.RunnerOptions{})
	for last := int64(0); last < n; last++ { // with the race detector it takes a while
		eventually(t, "one more is saved", func() bool { return done.Load() > last })
	}
	eventually(t, "all completed", func() bool {
		p, err := e.store.List(t.Context(), robin, transfer.ListOptions{State: transfer.Completed, Top: 200})
		return err == nil && len(p.Value) == n
	})
}
