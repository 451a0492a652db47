package transfer

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// Whatever shape Microsoft gives an answer (microsoft.md §2 and §4.4), the file arrives once and whole.
func TestEveryShapeOfMicrosoftsAnswers(t *testing.T) {
	type conduct = func(*fakegraph.Conduct)
	shapes := map[string]conduct{
		"a session that dies early":    func(c *fakegraph.Conduct) { c.UploadExpires = time.Second },
		"a key that dies early":        func(c *fakegraph.Conduct) { c.TokenExpires = time.Second },
		"a small limit for simple PUT": func(c *fakegraph.Conduct) { c.PutLimit = 4 << 20 },
		"native honours the conflict":  func(c *fakegraph.Conduct) { c.NativeConflict = "honour" },
		"native fails on a conflict":   func(c *fakegraph.Conduct) { c.NativeConflict = "fail" },
	}
	for _, s := range fakegraph.Completions {
		shapes["completed as "+s] = func(c *fakegraph.Conduct) { c.Completion = s }
	}
	for _, s := range fakegraph.Failures {
		shapes["failed as "+s] = func(c *fakegraph.Conduct) { c.Temper, c.Failure = "retired202", s }
	}
	for _, s := range fakegraph.Alives {
		shapes["alive as "+s] = func(c *fakegraph.Conduct) { c.Slow, c.Alive = 64<<10, s }
	}
	for _, s := range fakegraph.Missings {
		shapes["missing as "+s] = func(c *fakegraph.Conduct) { c.Missing = s }
	}
	for name, change := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, login := range []string{robin, kim, alex} {
				for _, path := range []string{"/tabby.jpg", "/large.bin", "/drops.bin"} {
					c := cell{kind: kindOfPath(path), temper: temper{login: login, change: func(c *fakegraph.Conduct) { change(c) }}}
					if login != robin && strings.HasPrefix(name, "failed") {
						continue // its temper is retired or work already
					}
					synctest.Test(t, func(t *testing.T) {
						r := c.run(t)
						if r.check(t, c); r.tr.State != Completed {
							t.Errorf("%s of %s: %s %+v", path, login, r.end(), r.tr.Failure)
						}
					})
				}
			}
		})
	}
}

// A name that is taken between our look and the upload is refused when the session is made, at the
// first fragment or at the last: what becomes of it is the same.
func TestANameThatIsTakenMeanwhile(t *testing.T) {
	for _, login := range []string{kim, alex} {
		for _, at := range fakegraph.Conflicts {
			for _, behavior := range []onedrive.ConflictBehavior{onedrive.Rename, onedrive.Replace, onedrive.Fail} {
				t.Run(strings.Join([]string{login, at, string(behavior)}, " "), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var w *world
						taken := false
						w = newWorldInABubble(t, func(r *http.Request) error {
							if !taken && phaseOf(r) == fakegraph.PhaseSession {
								taken = true
								w.ms.PutFile(login, "/large.bin", []byte("other"))
							}
							return nil
						})
						w.ms.SetConduct(login, func(c *fakegraph.Conduct) { c.Conflict = at })
						tr := w.drive(t, w.ask(t, login, Request{SourceURL: "/large.bin", ConflictBehavior: behavior}))
						other, _ := w.ms.Content(login, "/large.bin")
						switch behavior {
						case onedrive.Rename:
							w.savedOnce(t, tr, "large 2.bin", large)
						case onedrive.Replace:
							w.savedOnce(t, tr, "large.bin", large)
						default:
							if tr.State != Failed || tr.Failure.Code != "nameAlreadyExists" {
								t.Errorf("%s %+v", tr.State, tr.Failure)
							}
						}
						if kept := string(other) == "other"; kept != (behavior != onedrive.Replace) || w.ms.Uploads(login) != 0 {
							t.Errorf("the other file is there: %v; %d sessions are left", kept, w.ms.Uploads(login))
						}
					})
				})
			}
		}
	}
}

// OneDrive may cut off what it fetches and say that it is done. Where the size is known that is noticed;
// where nobody knows it, OneDrive is not asked.
func TestWhatOneDriveCutsOff(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 60<<16)
	for path, tt := range map[string]struct {
		content []byte
		cut     int64
		why     string
	}{
		"/tabby.jpg": {tabby, 1000, reasonMismatch}, "/chunked60.bin": {big, 50 << 20, reasonUnsized}, "/nolength.jpg": {tabby, 0, ""},
	} {
		w := newWorldWith(t, fakegraph.Options{Discard: true, Empty: true})
		w.web.chunked("/chunked60.bin", big)
		w.web.mux.HandleFunc("/nolength.jpg", func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				rw.Header().Set("Content-Type", "image/jpeg")
				http.NewResponseController(rw).Flush() // without a length
				return
			}
			w.web.serve(rw, r, tabby)
		})
		w.ms.SetConduct(robin, func(c *fakegraph.Conduct) { c.NativeCut = tt.cut })
		tr := w.drive(t, w.ask(t, robin, Request{SourceURL: path}))
		if w.check(t, tr, path[1:], tt.content); tr.RouteReason != tt.why {
			t.Errorf("%s: by %s (%s); want %s", path, tr.Route, tr.RouteReason, tt.why)
		}
	}
}

// What SKYLIFT_NATIVE says is done: always asks a OneDrive that has refused again, never asks none.
func TestNativeAlwaysAndNever(t *testing.T) {
	for _, tt := range []struct {
		mode, login string
		asked       int // of three transfers
		route       Route
		why         string
	}{
		{"auto", robin, 3, Native, ""}, {"always", robin, 3, Native, ""}, {"never", robin, 0, Relay, reasonNever},
		{"auto", kim, 1, Relay, reasonRefused}, {"always", kim, 3, Relay, reasonRefused}, {"never", kim, 0, Relay, reasonNever},
		{"always", alex, 0, Relay, reasonWork},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.Native = tt.mode })
			for range 3 {
				tr := w.drive(t, w.ask(t, tt.login, Request{SourceURL: "/tabby.jpg"}))
				if w.check(t, tr, "", tabby); tr.Route != tt.route || tr.RouteReason != tt.why {
					t.Errorf("%s of %s: by %s (%s)", tt.mode, tt.login, tr.Route, tr.RouteReason)
				}
			}
			if got := w.ms.Counts()["postSourceUrl"]; got != tt.asked {
				t.Errorf("%s of %s: asked %d times; want %d", tt.mode, tt.login, got, tt.asked)
			}
		})
	}
}

// SKYLIFT_MAX_BYTES bounds what this server carries, not what OneDrive fetches by itself.
func TestTheLargestFileIsTheRelays(t *testing.T) {
	for _, tt := range []struct {
		login string
		mode  string
		code  string
	}{{robin, "auto", ""}, {robin, "always", ""}, {robin, "never", codeSourceTooLarge}, {kim, "auto", codeSourceTooLarge}, {alex, "auto", codeSourceTooLarge}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldInABubble(t, nil, func(o *SaverOptions, src *SourceOptions) { o.Native, o.MaxBytes, src.MaxBytes = tt.mode, 1<<20, 1<<20 })
			tr := w.drive(t, w.ask(t, tt.login, Request{SourceURL: "/large.bin"}))
			if tt.code == "" {
				if w.check(t, tr, "large.bin", large); tr.Route != Native {
					t.Errorf("%s of %s: by %s (%s)", tt.mode, tt.login, tr.Route, tr.RouteReason)
				}
			} else if tr.State != Failed || tr.Failure.Code != tt.code {
				t.Errorf("%s of %s: %s %+v; want %s", tt.mode, tt.login, tr.State, tr.Failure, tt.code)
			}
		})
	}
}

// A byte that turns on its way to OneDrive is noticed by the hash, and the wrong file does not stay.
func TestATurnedByteIsNoticed(t *testing.T) {
	for _, path := range []string{"/tabby.jpg", "/large.bin"} {
		synctest.Test(t, func(t *testing.T) {
			turn := func(r *http.Request) error {
				if phase := phaseOf(r); phase == fakegraph.PhasePut || phase == fakegraph.PhaseFragmentMiddle {
					body, _ := io.ReadAll(r.Body)
					body[len(body)/2] ^= 1
					r.Body = io.NopCloser(bytes.NewReader(body))
				}
				return nil
			}
			w := newWorldInABubble(t, turn, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
			tr := w.drive(t, w.ask(t, kim, Request{SourceURL: path}))
			if tr.State != Failed || tr.Failure.Code != codeSizeMismatch {
				t.Errorf("%s: %s %+v", path, tr.State, tr.Failure)
			}
			if files := w.ms.Files(kim); len(files) != 0 {
				t.Errorf("%s: left %v", path, files)
			}
		})
	}
}

// Spool files have a bound together; what can never fit is said to be too large, not tried for ever.
func TestSpoolingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.MaxSpool = 12 << 20 })
		var all sync.WaitGroup
		for range 3 { // each alone fits
			tr := w.ask(t, kim, Request{SourceURL: "/chunkedlarge.bin"})
			all.Go(func() { w.drive(t, tr); w.check(t, tr, "", large) })
		}
		all.Wait()
		if n := w.saver.spooled.total; n != 0 {
			t.Errorf("%d bytes are still counted", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.MaxSpool = 2 << 20 })
		tr := w.drive(t, w.ask(t, kim, Request{SourceURL: "/chunkedlarge.bin"}))
		if tr.State != Failed || tr.Failure.Code != codeSourceTooLarge {
			t.Errorf("%s %s %+v", tr.State, tr.Reason, tr.Failure)
		}
	})
}

// No host is asked for more than its share at once, and no user has more than theirs.
func TestStreamsAreSharedFairly(t *testing.T) {
	for _, tt := range []struct {
		what   string
		change func(*SourceOptions)
		most   int64
	}{
		{"a host", func(o *SourceOptions) { o.PerHost, o.PerUser = 2, 100 }, 2},
		{"a user", func(o *SourceOptions) { o.PerHost, o.PerUser = 100, 3 }, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldInABubble(t, nil, func(_ *SaverOptions, o *SourceOptions) { tt.change(o) })
			var now, most atomic.Int64
			w.web.mux.HandleFunc("/leisurely.bin", func(rw http.ResponseWriter, r *http.Request) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second)
				now.Add(-1)
				w.web.serve(rw, r, middle)
			})
			var all sync.WaitGroup
			for range 12 {
				tr := w.ask(t, kim, Request{SourceURL: "/leisurely.bin"})
				all.Go(func() { w.drive(t, tr); w.check(t, tr, "", middle) })
			}
			all.Wait()
			if got := most.Load(); got != tt.most {
				t.Errorf("%s: %d at once; want %d", tt.what, got, tt.most)
			}
		})
	}
}

// Folders of other drives are targets like one's own: a shared folder behind a shortcut, and a
// library, which is a drive that is named.
func TestOtherDrivesAreTargets(t *testing.T) {
	for _, path := range []string{"/tabby.jpg", "/large.bin"} {
		content := kindOfPath(path).content
		w := newWorld(t)
		for child, err := range w.ms.Client(t, kim).Children(t.Context(), onedrive.Ref{}) {
			if err != nil {
				t.Fatal(err)
			}
			if child.RemoteItem == nil {
				continue
			}
			r := Request{SourceURL: path, Folder: FolderOf(child)}
			tr := w.drive(t, w.ask(t, kim, r))
			if tr.State != Completed || w.count(robin, content) != 1 || w.count(kim, content) != 0 {
				t.Errorf("%s into a shared folder: %s %+v", path, tr.State, tr.Failure)
			}
			if err := w.saver.Undo(t.Context(), *tr); err != nil || w.count(robin, content) != 0 {
				t.Errorf("undo there: %v", err)
			}
		}
		client := w.ms.Client(t, alex)
		drive, err := client.Drive(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		made, _, err := client.CreateFolder(t.Context(), onedrive.Ref{DriveID: drive.ID}, "Library")
		if err != nil {
			t.Fatal(err)
		}
		tr := w.drive(t, w.ask(t, alex, Request{SourceURL: path, FolderID: made.ID, DriveID: drive.ID}))
		w.check(t, tr, path[1:], content)
		if _, ok := w.ms.Content(alex, "/Library"+path); !ok {
			t.Errorf("%s is not in the library's folder", path)
		}
	}
}

// A client's bytes go the same way whichever instance takes them, and two that bring the same piece
// at once make one file.
func TestReceiveOverTwoInstances(t *testing.T) {
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
	store, id := receiving(t, w, Request{Name: "film.bin"})
	first := w.saver
	w.restart(t)
	savers := []*Saver{first, w.saver}
	const piece = 1 << 20
	var tr Transfer
	for at := 0; at < len(large); at += piece {
		end := min(at+piece, len(large))
		send := func(s *Saver) (Transfer, error) {
			return s.Receive(t.Context(), store, ownerKim, id, Content{
				Offset: int64(at), Length: int64(end - at), Total: int64(len(large)), Body: bytes.NewReader(large[at:end])})
		}
		if at/piece == 2 { // both at once
			var wg sync.WaitGroup
			for _, s := range savers {
				wg.Go(func() {
					var misplaced *RangeError
					if _, err := send(s); err != nil && !errors.As(err, &misplaced) && !errors.Is(err, ErrNotPossible) && !errors.Is(err, ErrConflict) {
						t.Errorf("both at once: %v", err)
					}
				})
			}
			wg.Wait()
			now, err := store.Get(t.Context(), ownerKim, id)
			if err != nil {
				t.Fatal(err)
			}
			if *now.BytesTransferred != int64(end) {
				t.Fatalf("after both: %d bytes; want %d", *now.BytesTransferred, end)
			}
			continue
		}
		var err error
		if tr, err = send(savers[at/piece%2]); err != nil {
			t.Fatalf("piece at %d: %v", at, err)
		}
	}
	w.check(t, &tr, "film.bin", large)
	if n := w.count(kim, large); n != 1 {
		t.Errorf("%d files", n)
	}
}

// Two requests that bring a whole file at once, each to another instance, make one file.
func TestTwoInstancesGetTheSameFileAtOnce(t *testing.T) {
	for _, content := range [][]byte{tabby, large} {
		w := newWorld(t)
		store, id := receiving(t, w, Request{Name: "film.bin"})
		savers := []*Saver{w.saver, nil}
		w.restart(t)
		savers[1] = w.saver
		savers[0].opt.Instance, savers[1].opt.Instance = "one", "other"
		var all sync.WaitGroup
		var taken atomic.Int64
		for _, s := range savers {
			all.Go(func() {
				_, err := s.Receive(t.Context(), store, ownerKim, id, Content{Total: int64(len(content)), Body: bytes.NewReader(content)})
				switch {
				case err == nil:
					taken.Add(1)
				case !errors.Is(err, ErrNotPossible) && !errors.Is(err, ErrTaken):
					t.Errorf("both at once: %v", err)
				}
			})
		}
		all.Wait()
		tr, err := store.Get(t.Context(), ownerKim, id)
		if err != nil {
			t.Fatal(err)
		}
		w.check(t, &tr, "", content)
		if n := w.count(kim, content); n != 1 || w.ms.Uploads(kim) != 0 {
			t.Errorf("%d files, %d sessions; %d were taken", n, w.ms.Uploads(kim), taken.Load())
		}
	}
}

// What one instance is being sent no other takes, until the request has ended or shown no sign of life
// for a minute.
func TestARequestAtAnotherInstanceIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	store, id := receiving(t, w, Request{Name: "film.bin"})
	one := w.saver
	w.restart(t)
	other := w.saver
	one.opt.Instance, other.opt.Instance = "one", "other"
	bring := func(s *Saver, body io.Reader) error {
		_, err := s.Receive(t.Context(), store, ownerKim, id, Content{Total: int64(len(tabby)), Body: body})
		return err
	}
	r, send := io.Pipe()
	ended := make(chan error)
	go func() { ended <- bring(one, r) }()
	if _, err := send.Write(tabby[:100]); err != nil {
		t.Fatal(err)
	}
	if err := bring(other, bytes.NewReader(tabby)); !errors.Is(err, ErrTaken) {
		t.Errorf("beside the first request: %v", err)
	}
	send.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-ended; !errors.Is(err, ErrClientGone) {
		t.Errorf("the first request ends as %v", err)
	}
	tr, err := store.Get(t.Context(), ownerKim, id)
	if err != nil || tr.Work.Taker != "" {
		t.Fatalf("%v: still taken by %q", err, tr.Work.Taker)
	}
	tr.Work.Taker, tr.Work.Taken = "one", time.Now().Add(takenFor) // as a crash leaves it
	if err := store.Update(t.Context(), &tr); err != nil {
		t.Fatal(err)
	}
	if err := bring(other, bytes.NewReader(tabby)); !errors.Is(err, ErrTaken) {
		t.Errorf("right after a crash: %v", err)
	}
	other.opt.Now = func() time.Time { return time.Now().Add(takenFor) }
	if err := bring(other, bytes.NewReader(tabby)); err != nil || w.count(kim, tabby) != 1 {
		t.Errorf("a minute later: %v, %d files", err, w.count(kim, tabby))
	}
}

// What becomes of a taken name is the same for a client's bytes as on the other routes.
func TestConflictsOfAClientsBytes(t *testing.T) {
	for _, content := range [][]byte{tabby, large} {
		for behavior, want := range map[onedrive.ConflictBehavior]string{onedrive.Rename: "a 2.bin", onedrive.Replace: "a.bin", onedrive.Fail: ""} {
			w := newWorld(t)
			w.ms.PutFile(kim, "/a.bin", []byte("older"))
			store, id := receiving(t, w, Request{Name: "a.bin", ConflictBehavior: behavior})
			tr, err := w.saver.Receive(t.Context(), store, ownerKim, id, Content{Total: int64(len(content)), Body: bytes.NewReader(content)})
			if err != nil {
				t.Fatal(err)
			}
			old, _ := w.ms.Content(kim, "/a.bin")
			if want == "" {
				if tr.State != Failed || tr.Failure.Code != "nameAlreadyExists" || string(old) != "older" {
					t.Errorf("%s: %s %+v", behavior, tr.State, tr.Failure)
				}
				continue
			}
			if w.check(t, &tr, want, content); behavior == onedrive.Rename && string(old) != "older" {
				t.Errorf("%s: the older file is gone", behavior)
			}
		}
	}
}

// A quota that is kept from apps, in whatever way, is not a full drive.
func TestAHiddenQuotaIsNoFullDrive(t *testing.T) {
	for _, hidden := range fakegraph.HiddenQuotas {
		for _, login := range []string{kim, alex} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldInABubble(t, nil)
				w.ms.SetConduct(login, func(c *fakegraph.Conduct) { c.HideQuota = hidden })
				w.check(t, w.drive(t, w.ask(t, login, Request{SourceURL: "/larger.bin"})), "", larger)
			})
		}
	}
}

// A folder that lies so deep that its path leaves no room for a long name gets a short one, unless the
// person chose the name.
func TestADeepFolderGetsAShortName(t *testing.T) {
	deep := "/" + strings.Repeat("d", 200) + "/" + strings.Repeat("e", 128) // 330
	long := "/a-very-long-name-of-a-picture-such-as-cameras-and-shops-give-them-these-days"
	for _, tt := range []struct {
		login, path string
		content     []byte
		given       bool
	}{
		{robin, long + ".jpg", tabby, false}, {kim, long + ".jpg", tabby, false}, {alex, long + ".jpg", tabby, false},
		{kim, long + ".bin", large, false}, {alex, long + ".bin", large, false}, {kim, long + ".jpg", tabby, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldInABubble(t, nil)
			w.web.file(long+".jpg", tabby, nil)
			w.web.file(long+".bin", large, nil)
			w.ms.PutFolder(tt.login, deep)
			client, err := w.opt.Client(t.Context(), tt.login)
			if err != nil {
				t.Fatal(err)
			}
			var folder onedrive.DriveItem
			for _, name := range strings.Split(deep[1:], "/") {
				if folder, err = client.Child(t.Context(), folder.Ref(), name); err != nil {
					t.Fatal(err)
				}
			}
			r := Request{SourceURL: tt.path, Folder: FolderOf(folder)}
			if tt.given {
				r.Name = tt.path[1:]
			}
			tr := w.drive(t, w.ask(t, tt.login, r))
			if tt.given {
				if tr.State != Failed || tr.Failure.Code != "pathIsTooLong" {
					t.Errorf("a name that was given: %s %+v; want pathIsTooLong", tr.State, tr.Failure)
				}
				return
			}
			w.check(t, tr, "a-very-long-name-of-"+path.Ext(tt.path), tt.content)
		})
	}
}

// A file that is open elsewhere (423) is waited for and then replaced, on each route.
func TestALockedFileIsWaitedFor(t *testing.T) {
	for _, tt := range []struct{ login, path string }{{robin, "/tabby.jpg"}, {kim, "/tabby.jpg"}, {kim, "/large.bin"}, {alex, "/large.bin"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldInABubble(t, nil)
			w.ms.PutFile(tt.login, tt.path, []byte("older"))
			w.ms.SetConduct(tt.login, func(c *fakegraph.Conduct) { c.Locked = tt.path[1:] })
			waited := false
			time.AfterFunc(10*time.Minute, func() { w.ms.SetConduct(tt.login, func(c *fakegraph.Conduct) { c.Locked = "" }) })
			tr := w.ask(t, tt.login, Request{SourceURL: tt.path, ConflictBehavior: onedrive.Replace})
			w.driveWith(t, tr, func() error { return nil }, func() { waited = waited || tr.Reason == Locked })
			if w.check(t, tr, tt.path[1:], kindOfPath(tt.path).content); !waited {
				t.Errorf("%s of %s did not wait", tt.path, tt.login)
			}
		})
	}
}

// What another request has brought on is not taken back; what the runner changed meanwhile does not matter.
func TestOnlyOneRequestBringsTheBytesOn(t *testing.T) {
	w := newWorld(t)
	store, id := receiving(t, w, Request{Name: "film.bin"})
	read := func() (Transfer, mark) {
		tr, err := store.Get(t.Context(), ownerKim, id)
		if err != nil {
			t.Fatal(err)
		}
		return tr, standing(&tr)
	}
	one, at := read()
	other, late := read()
	parked, _ := read()
	parked.State, parked.Reason = Waiting, ClientBytes
	if err := store.Update(t.Context(), &parked); err != nil {
		t.Fatal(err)
	}
	three, two := int64(3<<20), int64(2<<20)
	one.BytesTransferred, other.BytesTransferred = &three, &two
	if err := store.overtake(t.Context(), &one, &at); err != nil {
		t.Errorf("the first, after the runner: %v", err)
	}
	if err := store.overtake(t.Context(), &other, &late); !errors.Is(err, ErrNotPossible) {
		t.Errorf("the other: %v; want ErrNotPossible", err)
	}
	if now, _ := read(); *now.BytesTransferred != three {
		t.Errorf("%d bytes are left of %d", *now.BytesTransferred, three)
	}
}
