package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

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
// where and when it is told to.
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
		w.pass(w.saver.Paused(login))
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
		{"an upload", Request{Route: Upload, Name: "a.jpg"}, func() func() { return func() {} }, codeClientBytesMissing, ClientBytes},
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

// bring is one request of a client's that brings content from where the transfer is on.
func (w *world) bring(ctx context.Context, t *testing.T, tr *Transfer, content []byte, once bool) error {
	t.Helper()
	client, err := w.opt.Client(ctx, tr.Owner)
	if err != nil {
		t.Fatal(err)
	}
	at, size := moved(tr), int64(len(content))
	c := Content{Offset: at, Length: size - at, Total: size, Body: bytes.NewReader(content[at:]), Once: once}
	if err := w.saver.admissible(tr, &c); err != nil {
		return err
	}
	tr.Size = &size
	r := &saving{s: w.saver, t: tr, client: client, keep: func() error { return nil }, progress: func() {}, once: once}
	return r.receive(ctx, c)
}

// The ways in which OneDrive turns a client's bytes away, at each request that they need.
var turnedAway = []struct {
	phase   fakegraph.Phase
	content []byte
	kept    bool // what came before stays
}{{fakegraph.PhasePut, tabby, false}, {fakegraph.PhaseSession, large, false}, {fakegraph.PhaseFragmentMiddle, large, true}}

// What OneDrive gets over soon the client hears nothing of. A long pause it is told of: what has arrived is
// kept, and nothing is asked of OneDrive before it is over.
func TestAClientsBytesThatAreTurnedAway(t *testing.T) {
	for _, at := range turnedAway {
		for _, tt := range []struct {
			what  string
			fault fakegraph.Fault
			long  bool
		}{
			{"429, shortly", fakegraph.Fault{Status: 429, Header: map[string]string{"Retry-After": "5"}}, false},
			{"429 without a word, twice", fakegraph.Fault{Status: 429, Times: 2}, false},
			{"503 for a moment", fakegraph.Fault{Status: 503}, false},
			{"429, for long", fakegraph.Fault{Status: 429, Header: map[string]string{"Retry-After": "300"}}, true},
			{"503, for long", fakegraph.Fault{Status: 503, Header: map[string]string{"Retry-After": "300"}}, true},
		} {
			t.Run(fmt.Sprintf("%s at %s", tt.what, at.phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					asked, sessions := 0, 0
					w := newWorldInABubble(t, func(r *http.Request) error {
						if asked++; phaseOf(r) == fakegraph.PhaseSession {
							sessions++
						}
						return nil
					}, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
					tt.fault.Phase = at.phase
					w.ms.Faults().Add(tt.fault)
					tr := w.ask(t, kim, Request{Route: Upload, Name: "film.bin"})
					if err := w.bring(t.Context(), t, tr, at.content, false); err != nil {
						t.Fatal(err)
					}
					if tt.long {
						if tr.State != Waiting || tr.Reason != ClientBytes || (moved(tr) > 0) != at.kept || tr.BytesTransferred == nil {
							t.Errorf("%s for %s with %d bytes", tr.State, tr.Reason, moved(tr))
						}
						before := asked
						var pause *PausedError
						if err := w.bring(t.Context(), t, tr, at.content, false); !errors.As(err, &pause) || pause.Wait != 300*time.Second || asked != before {
							t.Errorf("at once: %v, OneDrive was asked %d times", err, asked-before)
						}
						time.Sleep(300 * time.Second)
						if err := w.bring(t.Context(), t, tr, at.content, false); err != nil {
							t.Fatal(err)
						}
					}
					w.check(t, w.drive(t, tr), "", at.content)
					if n := w.count(kim, at.content); n != 1 || at.kept && sessions != 1 {
						t.Errorf("%d files, %d sessions", n, sessions)
					}
				})
			})
		}
	}
}

// Bytes that nobody can send again are not waited for: the transfer fails and says why.
func TestBytesThatComeOnceAreNotWaitedFor(t *testing.T) {
	long := map[string]string{"Retry-After": "300"}
	for _, at := range turnedAway {
		for _, tt := range []struct {
			what, code string
			fault      fakegraph.Fault
		}{
			{"a short pause", "", fakegraph.Fault{Status: 429, Header: map[string]string{"Retry-After": "5"}}},
			{"a long pause", "activityLimitReached", fakegraph.Fault{Status: 429, Header: long}},
			{"a full OneDrive", "quotaLimitReached", fakegraph.Fault{Status: 507, Times: -1}},
			{"a lock", "resourceLocked", fakegraph.Fault{Status: 423, Times: -1}},
			{"a OneDrive that is away", "serviceNotAvailable", fakegraph.Fault{Status: 503, Times: -1}},
			{"somebody who leaves", codeClientBytesMissing, fakegraph.Fault{Action: fakegraph.Stall}},
		} {
			t.Run(fmt.Sprintf("%s at %s", tt.what, at.phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
					tt.fault.Phase = at.phase
					order := w.ms.Faults().Add(tt.fault)
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					if tt.fault.Action == fakegraph.Stall {
						go func() { <-order.Hit(); leave() }() // ends with the fault
					}
					tr := w.ask(t, kim, Request{Route: Upload, Name: "film.bin"})
					if err := w.bring(ctx, t, tr, at.content, true); err != nil {
						t.Fatal(err)
					}
					order.Remove()
					if tt.code == "" {
						w.check(t, w.drive(t, tr), "", at.content)
						return
					}
					if tr.State != Failed || tr.Failure.Code != tt.code {
						t.Errorf("%s %s %+v; want %s", tr.State, tr.Reason, tr.Failure, tt.code)
					}
					if tt.code != "activityLimitReached" {
						return
					}
					next := w.ask(t, kim, Request{Route: Upload, Name: "next.bin"})
					if err := w.bring(ctx, t, next, tabby, true); err != nil || next.State != Failed || next.Failure.Code != tt.code {
						t.Errorf("the next: %v, %s %+v", err, next.State, next.Failure)
					}
					if n := w.ms.Uploads(kim); n != 0 {
						t.Errorf("%d upload sessions are left", n)
					}
				})
			})
		}
	}
}
