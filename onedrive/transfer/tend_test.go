package transfer_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive/transfer"
)

// ring is a Sealer with several keys, the newest first, as the app's is.
type ring []byte

func (r ring) of(key byte) gcm {
	return gcm{must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(bytes.Repeat([]byte{key}, 32)))))}
}

func (r ring) Seal(purpose, binding string, plain []byte) []byte {
	return append([]byte{r[0]}, r.of(r[0]).Seal(purpose, binding, plain)...)
}

func (r ring) Open(purpose, binding string, sealed []byte) ([]byte, error) {
	if !bytes.Contains(r, sealed[:1]) {
		return nil, errors.New("no such key")
	}
	return r.of(sealed[0]).Open(purpose, binding, sealed[1:])
}

func (r ring) Stale(sealed []byte) bool { return sealed[0] != r[0] }

// TestAKeyCanBeDroppedOnceAllIsTended: what an older key sealed is sealed anew, of running and ended
// transfers. A step that goes on meanwhile loses nothing, no stream is told, and nothing stays longer.
func TestAKeyCanBeDroppedOnceAllIsTended(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, transfer.StoreOptions{Sealer: ring{1}})
	want := map[string]transfer.State{}
	for i, state := range []transfer.State{transfer.Completed, transfer.Failed, transfer.Cancelled} {
		tr := end(t, e.store, submit(t, e.store, robin, picture(i), ""), state)
		want[tr.ID] = state
	}
	running := submit(t, e.store, robin, picture(9), "")
	want[running.ID] = transfer.InProgress
	e.close()

	var days atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) }
	e = openEngine(t, dir, transfer.StoreOptions{Sealer: ring{2, 1}, Now: now})
	m := newMicrosoft()
	m.delay = time.Hour
	posting, tended := make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(tended) })
	m.step = func(_ context.Context, tr *transfer.Transfer) (transfer.Next, error, bool) {
		if tr.Work.Phase == transfer.Choosing {
			close(posting)
			<-tended
		}
		return transfer.Next{}, nil, false
	}
	r := e.run(t, m, transfer.RunnerOptions{})
	t.Cleanup(goOn)
	<-posting
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, began := make(chan transfer.Event, 64), make(chan struct{})
	go func() { // ends with the watch
		defer close(events)
		for ev := range e.store.Watch(ctx, robin, 0) {
			select {
			case <-began:
			default:
				close(began)
			}
			events <- ev
		}
	}()
	<-began
	days.Store(10)
	if n, err := e.store.Tend(t.Context()); n != len(want) || err != nil {
		t.Fatalf("%d written again, %v; want %d", n, err, len(want))
	}
	if n, err := e.store.Tend(t.Context()); n != 0 || err != nil {
		t.Errorf("%d written twice, %v", n, err)
	}
	goOn()
	eventually(t, "the step goes on", func() bool {
		got, err := e.store.Get(t.Context(), robin, running.ID)
		return err == nil && got.Work.Phase == transfer.Polling
	})
	if m.posts[running.ID] != 1 {
		t.Errorf("posted %d times", m.posts[running.ID])
	}
	cancel()
	for ev := range events {
		if ev.Transfer.ID != running.ID {
			t.Errorf("told of %s, which only was sealed anew", ev.Transfer.State)
		}
	}
	st := must(e.node.JetStream().Stream(t.Context(), "KV_transfers"))
	for id, state := range want {
		p, err := st.GetLastMsgForSubject(t.Context(), "$KV.transfers."+transfer.Key(robin, id))
		if err != nil {
			t.Fatal(err)
		}
		ttl, _ := time.ParseDuration(p.Header.Get("Nats-TTL"))
		if left := 20 * 24 * time.Hour; state.Final() && (ttl > left || ttl < left-time.Minute) || !state.Final() && ttl != 0 {
			t.Errorf("%s goes after %v more", state, ttl)
		}
	}
	_ = r.Stop(t.Context())
	e.close()

	e = openEngine(t, dir, transfer.StoreOptions{Sealer: ring{2}})
	p, err := e.store.List(t.Context(), robin, transfer.ListOptions{})
	if err != nil || len(p.Value) != len(want) {
		t.Errorf("with the newest key alone: %d, %v; want %d", len(p.Value), err, len(want))
	}
	for _, tr := range p.Value {
		if tr.State != want[tr.ID] {
			t.Errorf("%s, want %s", tr.State, want[tr.ID])
		}
	}
}

// TestAFailedTransferKeepsItsBytesForADay to be tried again with.
func TestAFailedTransferKeepsItsBytesForADay(t *testing.T) {
	var hours atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(hours.Load()) * time.Hour) }
	e := openEngine(t, t.TempDir(), transfer.StoreOptions{Now: now})
	r := transfer.NewRunner(e.store, newMicrosoft(), transfer.RunnerOptions{}) // nothing runs
	tr := end(t, e.store, submit(t, e.store, robin, inline(64<<10), ""), transfer.Failed)
	for _, tt := range []struct {
		hours int64
		wrote int
		bytes int
	}{{23, 0, 64 << 10}, {25, 1, 0}, {49, 0, 0}} {
		hours.Store(tt.hours)
		if n, err := e.store.Tend(t.Context()); n != tt.wrote || err != nil {
			t.Errorf("after %d hours %d are written, %v; want %d", tt.hours, n, err, tt.wrote)
		}
		if got, err := e.store.Get(t.Context(), robin, tr.ID); err != nil || got.State != transfer.Failed || len(got.Work.Inline) != tt.bytes {
			t.Errorf("after %d hours: %s with %d bytes, %v", tt.hours, got.State, len(got.Work.Inline), err)
		}
	}
	if _, err := r.Retry(t.Context(), robin, tr.ID); !errors.Is(err, transfer.ErrNotPossible) {
		t.Errorf("tried again without bytes: %v", err)
	}
}
