package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer/natsd"
)

// receiving is a store with one upload of kim's whose bytes are to come.
func receiving(t *testing.T, w *world, r Request) (*Store, string) {
	t.Helper()
	return receivingFor(t, ownerKim, r)
}

func receivingFor(t *testing.T, owner string, r Request) (*Store, string) {
	t.Helper()
	store := openTestStore(t)
	r.Route = Upload
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	tr, _, err := store.Submit(t.Context(), owner, r, "")
	if err != nil {
		t.Fatal(err)
	}
	return store, tr.ID
}

func TestReceiveInOneGo(t *testing.T) {
	for _, tt := range []struct {
		what    string
		content []byte
		want    string
	}{{"a picture", tabby, "pasted.jpg"}, {"a large file", large, "pasted"}} {
		w := newWorld(t)
		store, id := receiving(t, w, Request{Name: "pasted"})
		tr, err := w.saver.Receive(t.Context(), store, ownerKim, id, Content{Total: int64(len(tt.content)), Body: bytes.NewReader(tt.content)})
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		w.check(t, &tr, tt.want, tt.content)
		if _, err := w.saver.Receive(t.Context(), store, ownerKim, id, Content{Total: 1, Body: bytes.NewReader([]byte("x"))}); !errors.Is(err, ErrNotPossible) {
			t.Errorf("%s, once more: %v", tt.what, err)
		}
	}
}

// Pieces of any size, over restarts: what the record holds is enough to go on.
func TestReceiveInPieces(t *testing.T) {
	for _, piece := range []int{100 << 10, 1 << 20, 3<<20 + 11} {
		w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
		store, id := receiving(t, w, Request{Name: "film.bin"})
		for at := 0; at < len(large); at += piece {
			end := min(at+piece, len(large))
			tr, err := w.saver.Receive(t.Context(), store, ownerKim, id, Content{
				Offset: int64(at), Length: int64(end - at), Total: int64(len(large)), Body: bytes.NewReader(large[at:end])})
			if err != nil {
				t.Fatalf("piece at %d: %v", at, err)
			}
			if end == len(large) {
				w.check(t, &tr, "film.bin", large)
				break
			}
			if tr.BytesTransferred == nil || *tr.BytesTransferred != int64(end) || tr.State != Waiting || tr.Reason != ClientBytes {
				t.Fatalf("after %d bytes: %+v", end, tr)
			}
			_, err = w.saver.Receive(t.Context(), store, ownerKim, id, Content{
				Offset: int64(end + 1), Length: 1, Total: int64(len(large)), Body: bytes.NewReader(large[:1])})
			var gap *RangeError
			if !errors.As(err, &gap) || gap.Next != int64(end) {
				t.Fatalf("a gap: %v", err)
			}
			if rand.N(3) == 0 {
				w.restart(t)
			}
		}
	}
}

// The client goes away in the middle and comes back.
func TestReceiveAfterTheClientWentAway(t *testing.T) {
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
	store, id := receiving(t, w, Request{Name: "film.bin"})
	broken := io.MultiReader(bytes.NewReader(large[:3_500_000]), iotest.ErrReader(io.ErrUnexpectedEOF))
	_, err := w.saver.Receive(t.Context(), store, ownerKim, id, Content{Total: int64(len(large)), Body: broken})
	if !errors.Is(err, ErrClientGone) {
		t.Fatalf("broken: %v", err)
	}
	tr, err := store.Get(t.Context(), ownerKim, id)
	if err != nil || tr.BytesTransferred == nil || *tr.BytesTransferred == 0 {
		t.Fatalf("%+v, %v", tr, err)
	}
	at := *tr.BytesTransferred
	t.Logf("goes on at %d of 3500000", at)
	tr, err = w.saver.Receive(t.Context(), store, ownerKim, id, Content{Offset: at, Total: int64(len(large)), Body: bytes.NewReader(large[at:])})
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, &tr, "film.bin", large)
}

func TestReceiveRefuses(t *testing.T) {
	w := newWorld(t)
	store, id := receiving(t, w, Request{Name: "a.bin"})
	for _, c := range []Content{
		{Total: 0}, {Total: -1}, {Total: 5, Offset: 6}, {Total: 5, Offset: -1}, {Total: 5, Length: 6}, {Total: 11 << 30},
	} {
		c.Body = bytes.NewReader(nil)
		var bad *RequestError
		if _, err := w.saver.Receive(t.Context(), store, ownerKim, id, c); !errors.As(err, &bad) {
			t.Errorf("%+v: %v; want a RequestError", c, err)
		}
	}
	if _, err := w.saver.Receive(t.Context(), store, "somebodyelse", id, Content{Total: 1, Body: bytes.NewReader([]byte("x"))}); !errors.Is(err, ErrNotFound) {
		t.Errorf("somebody else: %v", err)
	}
}

// The faults that OneDrive has while the client sends: the file arrives, or the client hears where to go on.
func TestReceiveWithFaults(t *testing.T) {
	for _, phase := range []fakegraph.Phase{fakegraph.PhaseFragmentFirst, fakegraph.PhaseFragmentMiddle, fakegraph.PhaseFragmentLast, fakegraph.PhaseComplete} {
		for _, name := range []string{"500", "reset", "answer lost", "429 fraction", "404", "truncate"} {
			if testing.Short() && name != "reset" && name != "answer lost" {
				continue
			}
			w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
			store, id := receiving(t, w, Request{Name: "film.bin"})
			fault := fakegraph.Matrix()[name]
			fault.Phase = phase
			w.ms.Faults().Add(fault)
			var tr Transfer
			at := int64(0)
			for range 5 {
				var err error
				tr, err = w.saver.Receive(t.Context(), store, ownerKim, id, Content{Offset: at, Total: int64(len(large)), Body: bytes.NewReader(large[at:])})
				if err != nil {
					t.Fatalf("%s at %s: %v", name, phase, err)
				}
				if tr.State.Final() {
					break
				}
				at = *tr.BytesTransferred
			}
			w.check(t, &tr, "film.bin", large)
			if n := w.count(kim, large); n != 1 {
				t.Errorf("%s at %s: %d files", name, phase, n)
			}
		}
	}
}

// send saves content by the relay from its address, or as a client's upload; a client begins again
// where it is told to.
func (w *world) send(t *testing.T, login string, route Route, path string, content []byte) *Transfer {
	t.Helper()
	if route == Relay {
		return w.drive(t, w.ask(t, login, Request{SourceURL: path}))
	}
	tr := w.ask(t, login, Request{Route: Upload, Name: path[1:]})
	size := int64(len(content))
	tr.Size = &size
	for range 8 {
		client, err := w.opt.Client(t.Context(), login)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(0)
		if tr.BytesTransferred != nil {
			at = *tr.BytesTransferred
		}
		r := &saving{s: w.saver, t: tr, client: client, keep: func() error { return nil }, progress: func() {}}
		if err := r.receive(t.Context(), Content{Offset: at, Length: size - at, Total: size, Body: bytes.NewReader(content[at:])}); err != nil {
			t.Fatal(err)
		}
		if w.drive(t, tr).State.Final() {
			break
		}
	}
	return tr
}

// The owners as the store knows them.
const (
	ownerKim  = "kim"
	ownerAlex = "alex"
)

func openTestStore(t *testing.T) *Store {
	t.Helper()
	node, err := natsd.Start(natsd.Options{Dir: ":memory:"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(context.Background(), node.JetStream(), node.Conn(), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); node.Close(context.Background()) })
	return s
}

// Retry gives an old transfer all the time that it had at first: for the client's bytes, for a lock
// and for a OneDrive that is away.
func TestRetryBeginsANewClock(t *testing.T) {
	w := newWorld(t)
	gone := fakegraph.Fault{Phase: fakegraph.PhaseGraph, Status: 503, Times: -1}
	for _, tt := range []struct {
		what   string
		r      Request
		order  func() func()
		code   string
		reason Reason
	}{
		{"an upload", Request{Route: Upload, Name: "a.jpg"}, func() func() { return func() {} }, codeTimedOut, ClientBytes},
		{"OneDrive away", Request{SourceURL: "/tabby.jpg"}, func() func() { return w.ms.Faults().Add(gone).Remove }, codeTimedOut, Offline},
		{"a lock", Request{SourceURL: "/tabby.jpg", ConflictBehavior: onedrive.Replace}, func() func() {
			return w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhasePut, Status: 423, Times: -1}).Remove
		}, "resourceLocked", Locked},
	} {
		tr := w.ask(t, kim, tt.r)
		undo := tt.order()
		until := func(ok func() bool) {
			for range 100 {
				if next, err := w.saver.Step(t.Context(), tr, func() error { return nil }, func() {}); err != nil {
					t.Fatalf("%s: %v", tt.what, err)
				} else if ok() {
					return
				} else {
					w.pass(next.After)
				}
			}
		}
		w.shift.Add(int64(3 * maxAge))
		if until(tr.State.Final); tr.State != Failed || tr.Failure.Code != tt.code {
			t.Errorf("%s after %v: %s %+v", tt.what, 3*maxAge, tr.State, tr.Failure)
		}
		tr.restart(w.now())
		if until(func() bool { return tr.State.Final() || tr.State == Waiting }); tr.State != Waiting || tr.Reason != tt.reason {
			t.Errorf("%s, begun anew: %s %s %+v", tt.what, tr.State, tr.Reason, tr.Failure)
		}
		undo()
	}
}
