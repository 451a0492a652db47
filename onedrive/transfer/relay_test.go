package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// dropAt serves content and drops the connection at a byte, the first time.
func (w *web) dropAt(path string, content []byte, at int, then chan<- struct{}) *atomic.Int64 {
	var fetched atomic.Int64
	var once sync.Once
	w.mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("ETag", `"v1"`)
		out := &counted{ResponseWriter: rw, add: func(n int) { fetched.Add(int64(n)) }}
		drop := false
		if r.Method == http.MethodGet {
			once.Do(func() { drop = true })
		}
		if !drop {
			http.ServeContent(out, r, path, time.Time{}, bytes.NewReader(content))
			return
		}
		rw.Header().Set("Content-Length", fmt.Sprint(len(content)))
		out.Write(content[:at])
		http.NewResponseController(rw).Flush()
		if then != nil {
			close(then)
			<-r.Context().Done() // the reader goes away
		}
		panic(http.ErrAbortHandler)
	})
	return &fetched
}

func TestSourceThatDropsAt60Percent(t *testing.T) {
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 4 << 20 })
	content := noise(9, 20<<20)
	fetched := w.web.dropAt("/drop.bin", content, len(content)*6/10, nil)
	tr := w.drive(t, w.ask(t, kim, Request{SourceURL: "/drop.bin"}))
	w.check(t, tr, "drop.bin", content)
	again := fetched.Load() - int64(len(content))
	if again > onedrive.FragmentUnit {
		t.Errorf("fetched %d bytes again; want less than the smallest fragment", again)
	}
	t.Logf("fetched again: %d bytes", again)
}

// The process dies at 60 %: what goes on from the record fetches at most one fragment again.
func TestRestartAt60Percent(t *testing.T) {
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 4 << 20 })
	content := noise(10, 20<<20)
	stopped := make(chan struct{})
	fetched := w.web.dropAt("/kill.bin", content, len(content)*6/10, stopped)
	tr := w.ask(t, kim, Request{SourceURL: "/kill.bin"})
	var stored *Transfer
	keep := func() error { stored = reload(t, tr); return nil }
	w.saver.Step(t.Context(), tr, keep, func() {}) // choose
	ctx, kill := context.WithCancel(t.Context())
	arrived := make(chan struct{})
	once := sync.Once{}
	go func() { <-stopped; <-arrived; kill() }()
	w.saver.Step(ctx, tr, keep, func() {
		if tr.BytesTransferred != nil && *tr.BytesTransferred >= int64(len(content))/2 {
			once.Do(func() { close(arrived) })
		}
	})
	w.restart(t)
	tr = w.drive(t, stored)
	w.check(t, tr, "kill.bin", content)
	again := fetched.Load() - int64(len(content))
	if limit := w.opt.Buffers; again > limit { // one transfer has all of it: two pieces that make a fragment
		t.Errorf("fetched %d bytes again; want at most one fragment, %d", again, limit)
	}
	t.Logf("fetched again: %d bytes", again)
}

// A source that changed between two looks is begun anew, never patched together.
func TestSourceThatChanges(t *testing.T) {
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 4 << 20 })
	first, second := noise(11, 9<<20), noise(12, 9<<20)
	n := 0
	w.web.mux.HandleFunc("/changing.bin", func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			n++
		}
		if n <= 1 {
			rw.Header().Set("ETag", `"a"`)
			rw.Header().Set("Content-Length", fmt.Sprint(len(first)))
			rw.Write(first[:6<<20])
			panic(http.ErrAbortHandler)
		}
		rw.Header().Set("ETag", `"b"`)
		http.ServeContent(rw, r, "changing.bin", time.Time{}, bytes.NewReader(second))
	})
	tr := w.drive(t, w.ask(t, kim, Request{SourceURL: "/changing.bin"}))
	w.check(t, tr, "changing.bin", second)
}

// One name, taken: what becomes of it is the same on each route.
func TestConflictsMeanTheSameOnEachRoute(t *testing.T) {
	for _, route := range []struct {
		login, path, name string
		content           []byte
	}{
		{robin, "/tabby.jpg", "tabby.jpg", tabby}, {kim, "/tabby.jpg", "tabby.jpg", tabby}, {kim, "/large.bin", "large.bin", large},
	} {
		for _, tt := range []struct {
			behavior onedrive.ConflictBehavior
			name     string
			code     string
			old      bool // the older file is still there
		}{
			{onedrive.Rename, strings.Replace(route.name, ".", " 3.", 1), "", true},
			{onedrive.Fail, "", "nameAlreadyExists", true},
			{onedrive.Replace, route.name, "", false},
		} {
			w := newWorld(t)
			older := []byte("older")
			w.ms.PutFile(route.login, "/"+route.name, older)
			w.ms.PutFile(route.login, "/"+strings.ToUpper(strings.Replace(route.name, ".", " 2.", 1)), []byte("second"))
			tr := w.drive(t, w.ask(t, route.login, Request{SourceURL: route.path, ConflictBehavior: tt.behavior}))
			if tt.code != "" {
				if tr.State != Failed || tr.Failure.Code != tt.code {
					t.Errorf("%s %s: %s %+v; want %s", route.path, tt.behavior, tr.State, tr.Failure, tt.code)
				}
			} else {
				w.check(t, tr, tt.name, route.content)
			}
			got, ok := w.ms.Content(route.login, "/"+route.name)
			if still := ok && bytes.Equal(got, older); still != tt.old {
				t.Errorf("%s %s: the older file is there: %v; want %v", route.path, tt.behavior, still, tt.old)
			}
			err := w.saver.Undo(t.Context(), *tr)
			if tt.behavior == onedrive.Rename && err != nil || tt.behavior != onedrive.Rename && !errors.Is(err, ErrNotUndoable) {
				t.Errorf("%s %s: undo: %v", route.path, tt.behavior, err)
			}
			if n := w.count(route.login, route.content); tt.behavior == onedrive.Rename && n != 0 {
				t.Errorf("%s: the file is there after undo", route.path)
			}
		}
	}
}

// Undo takes nothing that somebody has worked on since; what OneDrive itself has worked on it does take.
func TestUndoSparesWhatChanged(t *testing.T) {
	retouched := bytes.Clone(tabby)
	retouched[len(retouched)-3] ^= 1
	for _, tt := range []struct {
		what   string
		change func(w *world, login string)
		want   error
	}{
		{"nobody", func(*world, string) {}, nil},
		{"somebody, as long as before", func(w *world, login string) { w.ms.PutFile(login, "/tabby.jpg", retouched) }, onedrive.ErrModified},
		{"somebody, its size too", func(w *world, login string) { w.ms.PutFile(login, "/tabby.jpg", []byte("retouched")) }, onedrive.ErrModified},
		{"somebody, its name", func(w *world, login string) { w.ms.Rename(login, "/tabby.jpg", "cat.jpg") }, onedrive.ErrModified},
		{"somebody who took it away", func(w *world, login string) { w.ms.Remove(login, "/tabby.jpg") }, onedrive.ErrNotFound},
	} {
		for _, login := range []string{robin, kim, alex} {
			for _, late := range []time.Duration{0, 30 * time.Second} {
				w := newWorldWith(t, fakegraph.Options{Empty: true})
				tr := w.drive(t, w.ask(t, login, Request{SourceURL: "/tabby.jpg"}))
				w.check(t, tr, "tabby.jpg", tabby)
				tt.change(w, login)
				w.pass(late)
				if err := w.saver.Undo(t.Context(), *tr); !errors.Is(err, tt.want) {
					t.Errorf("changed by %s, %s after %v: undo: %v; want %v", tt.what, login, late, err, tt.want)
				}
				if files := w.ms.Files(login); (len(files) == 1) != (tt.want == onedrive.ErrModified) {
					t.Errorf("changed by %s, %s after %v: left %v", tt.what, login, late, files)
				}
			}
		}
	}
}

// The file that was to be replaced is not taken for the one that replaces it, although OneDrive has
// given it another eTag meanwhile.
func TestTheOldFileIsNotTakenForTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil)
		older := bytes.Clone(tabby)
		older[len(older)-3] ^= 1
		w.ms.PutFile(robin, "/tabby.jpg", older)
		w.ms.SetConduct(robin, func(c *fakegraph.Conduct) { c.Stuck = true })
		tr := w.drive(t, w.ask(t, robin, Request{SourceURL: "/tabby.jpg", ConflictBehavior: onedrive.Replace}))
		w.check(t, tr, "tabby.jpg", tabby)
	})
}

// Two transfers of one name at the same time get two names, and nothing is lost.
func TestSameNameAtOnce(t *testing.T) {
	for _, login := range []string{robin, kim} {
		w := newWorld(t)
		names := map[string]bool{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 8 {
			tr := w.ask(t, login, Request{SourceURL: "/tabby.jpg"})
			wg.Go(func() {
				w.drive(t, tr)
				w.check(t, tr, "", tabby)
				mu.Lock()
				defer mu.Unlock()
				names[tr.Name] = true
			})
		}
		wg.Wait()
		if n := w.count(login, tabby); n != 8 || len(names) != 8 {
			t.Errorf("%s: %d files, %d names; want 8", login, n, len(names))
		}
	}
}

// After a crash in any phase there is one file, not two.
func TestCrashAfterEachStore(t *testing.T) {
	for _, tt := range []struct{ login, path string }{{robin, "/tabby.jpg"}, {kim, "/tabby.jpg"}, {kim, "/large.bin"}, {alex, "/chunked.bin"}} {
		for crash := 1; crash <= 4; crash++ {
			for _, before := range []bool{true, false} { // of what follows the store
				w := newWorld(t)
				tr := w.ask(t, tt.login, Request{SourceURL: tt.path})
				stored, kept := reload(t, tr), 0
				keep := func() error {
					if kept++; before && kept > crash {
						return io.ErrClosedPipe
					}
					stored = reload(t, tr)
					return nil
				}
				for step := 0; step < 40 && !tr.State.Final() && kept < crash; step++ {
					next, err := w.saver.Step(t.Context(), tr, keep, func() {})
					if err == nil && kept < crash {
						stored = reload(t, tr)
					}
					w.pass(max(next.After, next.Throttled))
				}
				w.restart(t)
				tr = w.drive(t, stored)
				content := map[string][]byte{"/tabby.jpg": tabby, "/large.bin": large, "/chunked.bin": middle}[tt.path]
				w.check(t, tr, "", content)
				if n := w.count(tt.login, content); n != 1 {
					t.Errorf("%s of %s, crash at %d: %d files", tt.path, tt.login, crash, n)
				}
			}
		}
	}
}

// A native job that wakes up after the relay has taken over makes no second file.
func TestLateNativeMakesNoSecondFile(t *testing.T) {
	for _, behavior := range []string{"replace", "fail", "honour"} {
		w := newWorld(t)
		w.ms.SetConduct(robin, func(c *fakegraph.Conduct) { c.Stuck, c.NativeConflict = true, behavior })
		tr := w.drive(t, w.ask(t, robin, Request{SourceURL: "/tabby.jpg"}))
		w.check(t, tr, "tabby.jpg", tabby)
		if tr.Route != Relay || tr.RouteReason != reasonStalled {
			t.Errorf("by %s (%s)", tr.Route, tr.RouteReason)
		}
		w.ms.SetConduct(robin, func(c *fakegraph.Conduct) { c.Stuck = false })
		for range 20 {
			w.pass(50 * time.Millisecond)
		}
		if n := w.count(robin, tabby); n != 1 {
			t.Errorf("%s: %d files", behavior, n)
		}
	}
}

func TestRefusedAccountIsRememberedForADay(t *testing.T) {
	w := newWorld(t)
	for i, want := range []int{1, 1, 2} {
		if i == 2 {
			w.shift.Add(int64(25 * time.Hour))
		}
		w.drive(t, w.ask(t, kim, Request{SourceURL: "/tabby.jpg"}))
		if got := w.ms.Counts()["postSourceUrl"]; got != want {
			t.Errorf("after transfer %d: %d native calls; want %d", i+1, got, want)
		}
	}
}

func TestQuotaIsAskedBeforeALargeRelay(t *testing.T) {
	w := newWorld(t)
	w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.Quota = 8 << 20 })
	tr := w.drive(t, w.ask(t, kim, Request{SourceURL: "/larger.bin"}))
	if tr.State != Waiting || tr.Reason != OneDriveFull || tr.Due.IsZero() {
		t.Fatalf("%s %s %+v; want waiting for room", tr.State, tr.Reason, tr.Failure)
	}
	w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.Quota = 0 })
	w.check(t, w.drive(t, tr), "larger.bin", larger)
}

func TestSignedOutParksAndGoesOn(t *testing.T) {
	out := true
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) {
		in := o.Client
		o.Client = func(ctx context.Context, owner string) (*onedrive.Client, error) {
			if out {
				return nil, fmt.Errorf("%w: refresh token gone", onedrive.ErrUnauthenticated)
			}
			return in(ctx, owner)
		}
	})
	tr := w.drive(t, w.ask(t, kim, Request{SourceURL: "/tabby.jpg"}))
	if tr.State != Waiting || tr.Reason != SignInRequired {
		t.Fatalf("%s %s", tr.State, tr.Reason)
	}
	out = false
	w.check(t, w.drive(t, tr), "tabby.jpg", tabby)
}

func TestDataURL(t *testing.T) {
	w := newWorld(t)
	r := Request{SourceURL: "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}
	tr := w.ask(t, robin, r)
	content := tr.Work.Inline
	w.drive(t, tr)
	w.check(t, tr, "", content)
	if !strings.HasSuffix(tr.Name, ".png") || tr.SourceURL != "data:image/png" {
		t.Errorf("named %q from %q", tr.Name, tr.SourceURL)
	}
}

func TestCancelDeletesTheSession(t *testing.T) {
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
	tr := w.ask(t, kim, Request{SourceURL: "/larger.bin"})
	w.saver.Step(t.Context(), tr, func() error { return nil }, func() {})
	ctx, cancel := context.WithCancel(t.Context())
	w.saver.Step(ctx, tr, func() error { return nil }, cancel)
	u := tr.Work.UploadURL
	if u == "" {
		t.Fatal("no session")
	}
	if _, err := w.saver.Abandon(t.Context(), tr, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ms.Client(t, kim).UploadStatus(t.Context(), u); !errors.Is(err, onedrive.ErrSessionGone) {
		t.Errorf("the session: %v; want gone", err)
	}
}

// The Referer of the page goes to the first origin only, and none of ours goes with a redirect.
func TestReferer(t *testing.T) {
	w := newWorld(t)
	other := newWeb(t)
	w.src.Allow = append(w.src.Allow, other.host())
	w.restart(t)
	w.web.mux.HandleFunc("/away", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, other.URL+"/tabby.jpg", http.StatusFound)
	})
	tr := w.drive(t, w.ask(t, kim, Request{SourceURL: "/away?signature=secret", PageURL: w.web.URL + "/page?x=1"}))
	w.check(t, tr, "", tabby)
	for _, h := range other.headers {
		if h.Get("Referer") != "" || h.Get("Cookie") != "" || h.Get("Authorization") != "" {
			t.Errorf("told to the second origin: %v", h)
		}
	}
	if h := w.web.headers[len(w.web.headers)-1]; h.Get("Referer") != w.web.URL+"/page?x=1" {
		t.Errorf("told to the first origin: %v", h)
	}
	for _, tt := range []struct{ page, source, want string }{
		{"https://a.example/p?q=1#f", "https://a.example/i.jpg", "https://a.example/p?q=1"}, {"https://a.example/p", "https://b.example/i.jpg", "https://a.example/"},
		{"https://a.example/p", "http://a.example/i.jpg", ""}, {"", "http://a.example/i.jpg", ""},
	} {
		u, _ := ParseSourceURL(tt.source)
		if got := refererFor(tt.page, u); got != tt.want {
			t.Errorf("refererFor(%s, %s) = %q; want %q", tt.page, tt.source, got, tt.want)
		}
	}
}

// hostile sources: slow, endless, stalled, lying, with headers without end.
func hostile(w *web) {
	w.mux.HandleFunc("/evil/slow.bin", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "5000000")
		if r.Method == http.MethodHead {
			return
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := rw.Write([]byte("x")); err != nil {
				return
			}
			http.NewResponseController(rw).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	w.mux.HandleFunc("/evil/stalled.bin", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "5000000")
		if r.Method == http.MethodHead {
			return
		}
		rw.Write(large[:4_950_000])
		http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	w.mux.HandleFunc("/evil/silent.bin", func(rw http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.mux.HandleFunc("/evil/endless.bin", func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		chunk := make([]byte, 64<<10)
		for {
			if _, err := rw.Write(chunk); err != nil {
				return
			}
		}
	})
	w.mux.HandleFunc("/evil/headers.bin", func(rw http.ResponseWriter, r *http.Request) {
		for i := range 200 {
			rw.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("h", 5000))
		}
		rw.Write([]byte("x"))
	})
	w.mux.HandleFunc("/evil/huge.bin", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "99999999999")
		rw.Write([]byte("x"))
	})
	w.mux.HandleFunc("/evil/round.bin", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) })
	w.mux.HandleFunc("/evil/short.bin", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "50000")
		rw.Write([]byte("x"))
	})
}

// watchMemory gives the largest resident size that was seen, in bytes.
func watchMemory(t *testing.T) func() int64 {
	var peak atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), resident()))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() int64 { stop(); <-done; return peak.Load() }
}

// resident is the process's memory in bytes; 0 where the system does not say.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var all, pages int64
	fmt.Sscan(string(b), &all, &pages)
	return pages * int64(os.Getpagesize())
}
