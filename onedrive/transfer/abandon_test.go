package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// scene is one transfer of robin's from "/tabby.jpg", with a whole engine and a OneDrive that waits for a
// sign before it goes on.
type scene struct {
	*testing.T
	w      *world
	store  *Store
	runner *Runner
	id     string // of the transfer
	onward func() // lets OneDrive go on
	during func() // what happens while the transfer is being cancelled; may be nil
	shared bool   // another transfer has used its name

	instance string // of the runner
}

const (
	sceneOwner = "robin"
	sceneStall = 1200 * time.Millisecond
)

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, onward: func() {}}
	s.w = newWorldWith(t, fakegraph.Options{Empty: true}, func(o *SaverOptions, _ *SourceOptions) { o.Stall = sceneStall })
	client := s.w.ms.Client(t, robin)
	s.w.opt.Client = func(context.Context, string) (*onedrive.Client, error) { return client, nil }
	s.store = openTestStore(t)
	t.Cleanup(s.stop)
	return s
}

func (s *scene) submit(b onedrive.ConflictBehavior) string {
	s.Helper()
	tr, _, err := s.store.Submit(s.Context(), sceneOwner, Request{SourceURL: s.w.web.URL + "/tabby.jpg", ConflictBehavior: b}, "")
	if err != nil {
		s.Fatal(err)
	}
	return tr.ID
}

// start is a new process on the records.
func (s *scene) start() {
	s.Helper()
	s.w.restart(s)
	s.runner = NewRunner(s.store, s.w.saver, RunnerOptions{Instance: s.instance, Now: s.w.now, Grace: time.Millisecond}.ShortLease(time.Second))
	if err := s.runner.Start(s.Context()); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) stop() {
	if s.runner != nil {
		_ = s.runner.Stop(context.Background())
		s.runner = nil
	}
}

// eventually waits until ok.
func (s *scene) eventually(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			tr, err := s.store.begun(s.Context(), sceneOwner, s.id)
			s.Fatalf("not within 30 s: %s; %s %q %s %+v %v", what, tr.State, tr.Leftover, tr.Work.Phase, tr.Failure, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// at begins the transfer and waits until it has come to a phase.
func (s *scene) at(p Phase) {
	s.Helper()
	s.id = s.submit(onedrive.Rename)
	s.start()
	s.until(p)
}

func (s *scene) until(p Phase) {
	s.Helper()
	s.eventually("phase "+string(p), func() bool {
		tr, err := s.store.load(s.Context(), sceneOwner, s.id)
		return err == nil && tr.Work.Phase == p
	})
}

// order spoils requests, and gives what takes the order back.
func (s *scene) order(f fakegraph.Fault) *fakegraph.Order { return s.w.ms.Faults().Add(f) }

// held stalls OneDrive's own fetch of the source.
func (s *scene) held() {
	s.onward = s.order(fakegraph.Fault{Phase: fakegraph.PhaseSource, Action: fakegraph.Stall}).Release
}

func (s *scene) conduct(change func(*fakegraph.Conduct)) { s.w.ms.SetConduct(robin, change) }

// sourceFails lets the source refuse OneDrive, and nobody else.
func (s *scene) sourceFails() {
	s.w.web.mu.Lock()
	defer s.w.web.mu.Unlock()
	s.w.web.spoil = func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.UserAgent(), "OneDrive") {
			rw.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	}
}

func (s *scene) cancel() {
	s.Helper()
	if s.during != nil {
		go s.during() // ends at once
	}
	if tr, err := s.runner.Cancel(s.Context(), sceneOwner, s.id); err != nil || tr.State != Cancelled {
		s.Fatalf("cancel: %s, %v", tr.State, err)
	}
}

func (s *scene) retry() {
	s.Helper()
	if _, err := s.runner.Retry(s.Context(), sceneOwner, s.id); err != nil {
		s.Fatalf("retry: %v", err)
	}
}

// remove takes the transfer off the list, as DELETE does after a cancel.
func (s *scene) remove() {
	s.Helper()
	if err := s.store.Delete(s.Context(), sceneOwner, s.id); err != nil {
		s.Fatalf("delete: %v", err)
	}
	if _, err := s.store.Get(s.Context(), sceneOwner, s.id); !errors.Is(err, ErrNotFound) {
		s.Errorf("after a delete: %v", err)
	}
}

// settled waits until nobody has anything to do, and gives the transfer; gone when it is off the list.
func (s *scene) settled() (tr Transfer, gone bool) {
	s.Helper()
	s.eventually("settled", func() bool {
		err := error(nil)
		tr, err = s.store.begun(s.Context(), sceneOwner, s.id)
		gone = errors.Is(err, ErrNotFound)
		return gone || err == nil && tr.settled()
	})
	s.eventually("nothing runs", func() bool {
		l := s.runner.Load()
		return l.Queued+l.Ready+l.Working+l.Resting+len(l.Waiting) == 0
	})
	return tr, gone
}

func (s *scene) files() (names []string) {
	for _, f := range s.w.ms.Files(robin) {
		names = append(names, fmt.Sprintf("%s (%d bytes)", f.Name, f.Size))
	}
	return names
}

// watch notes what streams are told of.
func (s *scene) watch() (told func() []Event) {
	var mu sync.Mutex
	var events []Event
	ctx, stop := context.WithCancel(context.Background())
	ended, open := make(chan struct{}), make(chan struct{})
	go func() { // ends with the test
		defer close(ended)
		opened := sync.OnceFunc(func() { close(open) })
		for e, err := range s.store.Watch(ctx, sceneOwner, 0) {
			if err != nil {
				return
			}
			mu.Lock()
			events = append(events, e)
			mu.Unlock()
			opened() // it begins with what is not final
		}
	}()
	s.Cleanup(func() { stop(); <-ended })
	<-open
	return func() []Event {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(events)
	}
}

// moments are how far a transfer is when it is cancelled, and what OneDrive does then.
var moments = []struct {
	what  string
	begin func(*scene)
	made  bool // OneDrive makes the file in the end
}{
	{"before anything was done", func(s *scene) { s.id = s.submit(onedrive.Rename); s.start(); s.stop(); s.start() }, true},
	{"while the POST is on its way", func(s *scene) {
		post := s.order(fakegraph.Fault{Phase: fakegraph.PhaseNative, Action: fakegraph.Stall})
		s.held()
		s.id = s.submit(onedrive.Rename)
		s.start()
		<-post.Hit()
		s.during = post.Release
	}, true},
	{"when nobody heard the answer to the POST", func(s *scene) {
		s.order(fakegraph.Fault{Phase: fakegraph.PhaseNative, Action: fakegraph.Reset, After: true})
		s.held()
		s.at(Posting)
	}, true},
	{"while OneDrive fetches", func(s *scene) { s.held(); s.at(Polling) }, true},
	{"when OneDrive has finished and nobody asked", func(s *scene) {
		s.held()
		s.at(Polling)
		mute := s.order(fakegraph.Fault{Phase: fakegraph.PhaseMonitor, Status: 503, Times: -1})
		s.onward()
		s.eventually("the file", func() bool { return len(s.files()) == 1 })
		s.onward = mute.Remove
	}, true},
	{"when OneDrive will fail", func(s *scene) { s.held(); s.at(Polling); s.sourceFails() }, false},
	{"when the job will be lost", func(s *scene) {
		s.conduct(func(c *fakegraph.Conduct) { c.Stuck = true })
		s.at(Polling)
		s.onward = func() { s.conduct(func(c *fakegraph.Conduct) { c.MonitorLost, c.Stuck = true, false }) }
	}, false},
	{"when the monitor is lost and the file comes", func(s *scene) {
		s.held()
		s.at(Polling)
		s.order(fakegraph.Fault{Phase: fakegraph.PhaseMonitor, Status: 404, Times: -1})
	}, true},
	{"when the monitor stalls", func(s *scene) {
		s.held()
		s.at(Polling)
		s.order(fakegraph.Fault{Phase: fakegraph.PhaseMonitor, Action: fakegraph.Reset, Times: 3})
	}, true},
	{"when the first tries to remove the file fail", func(s *scene) {
		s.held()
		s.at(Polling)
		s.order(fakegraph.Fault{Phase: fakegraph.PhaseDelete, Status: 503})
		s.order(fakegraph.Fault{Phase: fakegraph.PhaseDelete, Status: 412, Code: "resourceModified"})
		s.order(fakegraph.Fault{Phase: fakegraph.PhaseDelete, Action: fakegraph.Reset, After: true})
	}, true},
	{"when the relay has it", func(s *scene) {
		s.conduct(func(c *fakegraph.Conduct) { c.Stuck = true })
		relay := s.order(fakegraph.Fault{Phase: fakegraph.PhasePut, Action: fakegraph.Stall})
		s.id = s.submit(onedrive.Rename)
		s.start()
		<-relay.Hit()
		relay.Remove()
		s.onward = func() { s.conduct(func(c *fakegraph.Conduct) { c.Stuck = false }) }
	}, true},
}

// acts are what a person does, with how many files the rows promise in the end.
var acts = []struct {
	what  string
	do    func(*scene)
	files int
}{
	{"cancel", func(s *scene) { s.cancel(); s.onward() }, 0},
	{"cancel, and OneDrive goes on first", func(s *scene) { s.during = both(s.during, s.onward); s.cancel(); s.onward() }, 0},
	{"cancel and restart", func(s *scene) { s.cancel(); s.stop(); s.onward(); s.start() }, 0},
	{"cancel and retry", func(s *scene) { s.cancel(); s.retry(); s.onward() }, 1},
	{"cancel and retry, and OneDrive goes on between", func(s *scene) { s.cancel(); s.onward(); s.retry() }, 1},
	{"cancel, retry and restart", func(s *scene) { s.cancel(); s.retry(); s.stop(); s.onward(); s.start() }, 1},
	{"cancel, restart and retry", func(s *scene) { s.cancel(); s.stop(); s.start(); s.retry(); s.onward() }, 1},
	{"cancel, and retry when all is over", func(s *scene) { s.cancel(); s.onward(); s.settled(); s.retry() }, 1},
	{"cancel, retry and cancel", func(s *scene) {
		s.cancel()
		s.retry()
		s.cancel()
		s.onward()
	}, 0},
	{"cancel and delete", func(s *scene) { s.cancel(); s.remove(); s.onward() }, 0},
	{"cancel, delete and restart", func(s *scene) { s.cancel(); s.remove(); s.stop(); s.onward(); s.start() }, 0},
	{"cancel and ask anew", func(s *scene) { s.cancel(); s.another(onedrive.Rename) }, 1},
	{"cancel, restart and ask anew", func(s *scene) { s.cancel(); s.stop(); s.start(); s.another(onedrive.Rename) }, 1},
	{"cancel, and ask to replace it", func(s *scene) { s.cancel(); s.another(onedrive.Replace) }, 1},
}

// another saves the same once more, while OneDrive goes on.
func (s *scene) another(b onedrive.ConflictBehavior) {
	s.Helper()
	first := s.id
	s.id = s.submit(b)
	s.onward()
	tr, _ := s.settled()
	s.w.check(s, &Transfer{SourceURL: tr.SourceURL, Owner: robin, State: tr.State, Item: tr.Item, Name: tr.Name}, "", tabby)
	s.id, s.shared = first, b == onedrive.Replace
}

func both(a, b func()) func() {
	return func() {
		if a != nil {
			a()
		}
		b()
	}
}

// TestTheDriveHoldsWhatTheRowsPromise after a cancel at every moment of a native transfer, whatever follows.
func TestTheDriveHoldsWhatTheRowsPromise(t *testing.T) {
	var g errgroup.Group
	g.SetLimit(8) // they mostly wait
	n := 0
	for _, m := range moments {
		for _, a := range acts {
			if n++; testing.Short() && n%5 != 0 {
				continue
			}
			g.Go(func() error {
				t.Run(m.what+"/"+a.what, func(t *testing.T) {
					s := newScene(t)
					m.begin(s)
					var once sync.Once
					onward := s.onward
					s.onward = func() { once.Do(onward) }
					a.do(s)
					s.check(m.made, a.files)
				})
				return nil
			})
		}
	}
	_ = g.Wait()
}

// TestTheRowTellsWhatBecomesOfTheFile, and streams are told of it.
func TestTheRowTellsWhatBecomesOfTheFile(t *testing.T) {
	s := newScene(t)
	var ended atomic.Int64
	s.store.opt.Ended = func(Transfer) { ended.Add(1) }
	s.held()
	s.at(Polling)
	told := s.watch()
	s.cancel()
	s.onward()
	s.check(true, 0)
	if n := ended.Load(); n != 1 {
		t.Errorf("it ended %d times", n)
	}
	want := []Leftover{MayArrive, Recycled}
	s.eventually("the stream tells", func() bool {
		var got []Leftover
		for _, e := range told() {
			if l := e.Transfer.Leftover; e.Transfer.State == Cancelled && (len(got) == 0 || got[len(got)-1] != l) {
				got = append(got, l)
			}
		}
		return slices.Equal(got, want)
	})
}

// TestAFileThatTookAnothersPlaceStays: what was replaced would be lost.
func TestAFileThatTookAnothersPlaceStays(t *testing.T) {
	s := newScene(t)
	s.w.ms.PutFile(robin, "/tabby.jpg", whisker)
	s.held()
	s.id = s.submit(onedrive.Replace)
	s.start()
	s.until(Polling)
	s.cancel()
	s.onward()
	if tr, _ := s.settled(); tr.Leftover != Kept || len(s.files()) != 1 || s.w.count(robin, tabby) != 1 {
		t.Errorf("the row says %s %q, the drive holds %v", tr.State, tr.Leftover, s.files())
	}
}

// TestAJobThatNeverEndsIsLeft after a while, and the row goes on to say what may come. Tried again, the
// file is saved once.
func TestAJobThatNeverEndsIsLeft(t *testing.T) {
	s := newScene(t)
	s.conduct(func(c *fakegraph.Conduct) { c.Stuck = true })
	s.at(Polling)
	s.cancel()
	s.w.shift.Add(int64(abandonTime + time.Minute))
	if tr, _ := s.settled(); tr.Leftover != MayArrive {
		t.Errorf("the row says %s %q", tr.State, tr.Leftover)
	}
	s.retry()
	s.check(true, 1)
	s.conduct(func(c *fakegraph.Conduct) { c.Stuck = false })
	s.eventually("OneDrive finishes late", func() bool {
		s.w.web.mu.Lock()
		defer s.w.web.mu.Unlock()
		return s.w.web.sent["/tabby.jpg"] >= 2*int64(len(tabby))
	})
	s.check(true, 1)
}

// TestARetryKeepsTheFileThatIsLookedFor by the cleaning up.
func TestARetryKeepsTheFileThatIsLookedFor(t *testing.T) {
	s := newScene(t)
	s.held()
	s.at(Polling)
	look := s.order(fakegraph.Fault{Phase: fakegraph.PhaseItem, Action: fakegraph.Stall})
	removal := s.order(fakegraph.Fault{Phase: fakegraph.PhaseDelete, Status: 500})
	s.cancel()
	s.onward()
	<-look.Hit()
	s.retry()
	look.Release()
	s.check(true, 1)
	if removal.Hits() > 0 {
		t.Error("it was removed")
	}
}

// TestARetryWhileTheFileIsBeingRemoved saves it once more, also where OneDrive shows it for a while yet, and
// OneDrive does it again. A removal that fails leaves the file to the retry.
func TestARetryWhileTheFileIsBeingRemoved(t *testing.T) {
	for _, tt := range []struct {
		what      string
		meanwhile func(*fakegraph.Conduct)
		jobs      int
	}{
		{"at once", func(*fakegraph.Conduct) {}, 2},
		{"seen late", func(c *fakegraph.Conduct) { c.Lag = time.Second }, 2},
		{"in vain", func(c *fakegraph.Conduct) { c.Locked = "tabby.jpg" }, 1},
	} {
		s := newScene(t)
		s.held()
		s.at(Polling)
		removal := s.order(fakegraph.Fault{Phase: fakegraph.PhaseDelete, Action: fakegraph.Stall})
		s.cancel()
		s.onward()
		<-removal.Hit()
		s.conduct(tt.meanwhile)
		s.retry()
		removal.Release()
		tr, _ := s.settled()
		s.w.check(s, &Transfer{SourceURL: tr.SourceURL, Owner: robin, State: tr.State, Item: tr.Item, Name: tr.Name}, "", tabby)
		if n := s.w.ms.Counts()["postSourceUrl"]; tr.Route != Native || len(s.files()) != 1 || n != tt.jobs {
			t.Errorf("%s: by %s (%s) with %d jobs, want %d; the drive holds %v", tt.what, tr.Route, tr.RouteReason, n, tt.jobs, s.files())
		}
	}
}

// TestADeletedTransferIsGoneAtOnce for people, although it is cleaned up after: streams are told once.
func TestADeletedTransferIsGoneAtOnce(t *testing.T) {
	s := newScene(t)
	s.held()
	s.at(Polling)
	told := s.watch()
	s.cancel()
	s.remove()
	if p, err := s.store.List(t.Context(), sceneOwner, ListOptions{}); err != nil || len(p.Value) != 0 {
		t.Errorf("on the list: %d, %v", len(p.Value), err)
	}
	if _, err := s.runner.Retry(t.Context(), sceneOwner, s.id); !errors.Is(err, ErrNotFound) {
		t.Errorf("a retry of it: %v", err)
	}
	if err := s.store.Delete(t.Context(), sceneOwner, s.id); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted once more: %v", err)
	}
	s.onward()
	s.check(true, 0)
	next := s.submit(onedrive.Rename) // the stream is told of this after all that came before
	s.eventually("the stream tells", func() bool {
		events := told()
		return len(events) > 0 && events[len(events)-1].Transfer.ID == next
	})
	deleted := 0
	for _, e := range told() {
		if e.Deleted {
			deleted++
		}
	}
	if deleted != 1 {
		t.Errorf("streams were told %d times that it is gone", deleted)
	}
}

// TestDeletingAllEndsTheCleaningUp.
func TestDeletingAllEndsTheCleaningUp(t *testing.T) {
	for _, remove := range []bool{false, true} {
		s := newScene(t)
		s.held()
		s.at(Polling)
		s.cancel()
		if remove {
			s.remove()
		}
		if err := s.store.DeleteAll(t.Context(), sceneOwner); err != nil {
			t.Fatal(err)
		}
		s.onward()
		if _, gone := s.settled(); !gone {
			t.Error("a record is left")
		}
	}
}

// TestACancelAtAnotherInstance reaches OneDrive's job, also when its monitor came at the same time.
func TestACancelAtAnotherInstance(t *testing.T) {
	for _, again := range []bool{false, true} {
		s := newScene(t)
		s.instance = "one"
		other := NewRunner(s.store, s.w.saver, RunnerOptions{Instance: "two"}) // it owns nothing
		post := s.order(fakegraph.Fault{Phase: fakegraph.PhaseNative, Action: fakegraph.Stall})
		s.held()
		s.id = s.submit(onedrive.Rename)
		s.start()
		<-post.Hit()
		if _, err := other.Cancel(t.Context(), sceneOwner, s.id); err != nil {
			t.Fatal(err)
		}
		want := 0
		if again {
			want = 1
			if _, err := other.Retry(t.Context(), sceneOwner, s.id); err != nil {
				t.Fatal(err)
			}
		}
		post.Release()
		s.eventually("the monitor is stored", func() bool {
			tr, err := s.store.load(t.Context(), sceneOwner, s.id)
			return err == nil && tr.Work.Monitor != ""
		})
		s.onward()
		s.check(true, want)
	}
}

// check holds the rows against the drive when all is over.
func (s *scene) check(made bool, want int) {
	s.Helper()
	tr, gone := s.settled()
	files := s.files()
	if len(files) != want {
		s.Errorf("the drive holds %v, want %d; the row says %s %q", files, want, tr.State, tr.Leftover)
	}
	switch {
	case gone:
	case tr.State == Completed:
		s.w.check(s, &Transfer{SourceURL: tr.SourceURL, Owner: robin, State: tr.State, Item: tr.Item, Name: tr.Name}, "tabby.jpg", tabby)
	case tr.State == Cancelled && tr.Leftover == Kept && s.shared:
	case tr.State != Cancelled || tr.Leftover != "" && (tr.Leftover != Recycled || !made):
		s.Errorf("the row says %s %q", tr.State, tr.Leftover)
	}
}
