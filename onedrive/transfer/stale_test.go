package transfer

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// OneDrive's own view may be seconds behind: what it shows just after an upload is no reason to take
// the file away, to send it again or to call it failed.
func TestReadsThatLagBehind(t *testing.T) {
	lag := func(c *fakegraph.Conduct) { c.Lag = 5 * time.Second }
	for _, login := range []string{robin, kim, alex} {
		for _, path := range []string{"/tabby.jpg", "/large.bin", "/chunked.bin"} {
			for _, behavior := range []onedrive.ConflictBehavior{onedrive.Rename, onedrive.Replace, onedrive.Fail} {
				for what, fault := range map[string]fakegraph.Fault{
					"": {}, "the answer is lost": {Phase: fakegraph.PhaseComplete, Action: fakegraph.Reset, After: true},
					"the job is lost": {Phase: fakegraph.PhaseMonitor, Status: 404},
				} {
					t.Run(fmt.Sprintf("%s%s %s %s", login, path, behavior, what), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							w := newWorldInABubble(t, nil)
							if behavior == onedrive.Replace {
								w.ms.PutFile(login, path, []byte("older"))
								time.Sleep(time.Minute)
							}
							w.ms.SetConduct(login, lag)
							if what != "" {
								w.ms.Faults().Add(fault)
							}
							tr := w.drive(t, w.ask(t, login, Request{SourceURL: path, ConflictBehavior: behavior}))
							kind := kindOfPath(path)
							if w.savedOnce(t, tr, kind.name, kind.content); len(w.ms.Files(login)) != 1 {
								t.Errorf("%v", w.ms.Files(login))
							}
						})
					})
				}
			}
		}
	}
}

// A file that OneDrive itself called saved is waited for longer, before anybody is told that it is not there.
func TestReadsThatLagFarBehind(t *testing.T) {
	for _, login := range []string{kim, alex} {
		for _, path := range []string{"/tabby.jpg", "/large.bin"} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldInABubble(t, nil)
				w.ms.SetConduct(login, func(c *fakegraph.Conduct) { c.Lag = 45 * time.Second })
				kind := kindOfPath(path)
				w.savedOnce(t, w.drive(t, w.ask(t, login, Request{SourceURL: path})), kind.name, kind.content)
			})
		}
	}
}

// A session that is complete becomes a file in its own time. Nothing is sent again meanwhile.
func TestACommitThatTakesLong(t *testing.T) {
	for _, login := range []string{kim, alex} {
		for _, takes := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
			for _, route := range []Route{Relay, Upload} {
				t.Run(fmt.Sprintf("%s %s %v", login, route, takes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						sessions := 0
						w := newWorldInABubble(t, countSessions(&sessions))
						w.ms.SetConduct(login, func(c *fakegraph.Conduct) { c.CommitTakes = takes })
						tr := w.send(t, login, route, "/large.bin", large)
						w.savedOnce(t, tr, "large.bin", large)
						if fetched := w.web.sent["/large.bin"]; sessions != 1 || fetched > int64(len(large)) {
							t.Errorf("%d sessions, %d bytes fetched of %d", sessions, fetched, len(large))
						}
					})
				})
			}
		}
	}
}

// A session that says that it is complete and never becomes a file is given up; it is all sent again.
func TestACommitThatNeverEnds(t *testing.T) {
	for _, route := range []Route{Relay, Upload} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var w *world
			w = newWorldInABubble(t, func(*http.Request) error {
				if time.Since(began) > time.Minute {
					w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.CommitTakes = 0 })
				}
				return nil
			})
			w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.CommitTakes = time.Hour })
			w.savedOnce(t, w.send(t, kim, route, "/large.bin", large), "large.bin", large)
			if took := time.Since(began); took < time.Minute || took > 5*time.Minute {
				t.Errorf("by %s: took %v", route, took)
			}
		})
	}
}

// An id that Graph itself does not take is no reason to wait for days: the file is found by its name.
func TestAnIDThatGraphRefuses(t *testing.T) {
	for _, login := range []string{kim, alex} {
		for _, path := range []string{"/tabby.jpg", "/large.bin"} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldInABubble(t, nil)
				w.ms.SetConduct(login, func(c *fakegraph.Conduct) { c.ForeignID = true })
				began, kind := time.Now(), kindOfPath(path)
				tr := w.drive(t, w.ask(t, login, Request{SourceURL: path}))
				if w.savedOnce(t, tr, kind.name, kind.content); time.Since(began) > time.Minute {
					t.Errorf("took %v", time.Since(began))
				}
			})
		}
	}
}

// What somebody works on as soon as it is there stays: OneDrive itself said that it was saved.
func TestAFileThatIsEditedAtOnceIsSaved(t *testing.T) {
	for _, login := range []string{kim, alex} {
		for _, path := range []string{"/tabby.jpg", "/large.bin"} {
			synctest.Test(t, func(t *testing.T) {
				var w *world
				edited := false
				w = newWorldInABubble(t, func(r *http.Request) error {
					if !edited && phaseOf(r) == fakegraph.PhaseItem && len(w.ms.Files(login)) > 0 {
						edited = true
						w.ms.PutFile(login, path, []byte("edited"))
					}
					return nil
				})
				tr := w.drive(t, w.ask(t, login, Request{SourceURL: path}))
				if tr.State != Completed || tr.Item.Size != 6 {
					t.Errorf("%s of %s: %s %+v", path, login, tr.State, tr.Failure)
				}
				if got, _ := w.ms.Content(login, path); string(got) != "edited" {
					t.Errorf("%s of %s: holds %.10q", path, login, got)
				}
			})
		}
	}
}

// A fragment may break off and OneDrive keep a part of it: the rest goes on from there, whatever byte that is.
func TestAFragmentOfWhichAPartIsKept(t *testing.T) {
	const kept = 1<<20 + 7
	for _, route := range []Route{Relay, Upload} {
		for _, then := range []error{nil, unheard} { // the second: nothing of it can be sent in this step
			t.Run(fmt.Sprintf("%s, then %v", route, then), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cut, spoiled := false, 0
					w := newWorldInABubble(t, func(r *http.Request) error {
						switch phase := phaseOf(r); {
						case phase == fakegraph.PhaseFragmentMiddle && !cut:
							cut = true
							r.Body = struct {
								io.Reader
								io.Closer
							}{io.MultiReader(io.LimitReader(r.Body, kept), iotest.ErrReader(unheard)), r.Body}
						case cut && spoiled < 12 && (phase == fakegraph.PhaseFragmentMiddle || phase == fakegraph.PhaseUploadStatus):
							spoiled++
							return then
						}
						return nil
					}, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 4 << 20 })
					w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.KeepPartial = true })
					tr := w.send(t, kim, route, "/larger.bin", larger)
					if w.savedOnce(t, tr, "larger.bin", larger); !cut {
						t.Error("nothing was cut")
					}
				})
			})
		}
	}
}

// OneDrive may lose a fragment more often than is borne in a row, as long as the file grows in between.
func TestLossesBetweenWhichTheFileGrows(t *testing.T) {
	for _, route := range []Route{Relay, Upload} {
		synctest.Test(t, func(t *testing.T) {
			var w *world
			var orders []*fakegraph.Order
			w = newWorldInABubble(t, func(r *http.Request) error {
				used := len(orders) == 0 || orders[len(orders)-1].Hits() == maxFragmentTries
				if phaseOf(r) == fakegraph.PhaseFragmentMiddle && used && len(orders) < maxLost+2 {
					orders = append(orders, w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseFragment, Nth: 2, Times: maxFragmentTries, Status: 416}))
				}
				return nil
			}, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 1 << 20 })
			tr := w.send(t, kim, route, "/larger.bin", larger)
			if w.savedOnce(t, tr, "larger.bin", larger); len(orders) <= maxLost {
				t.Errorf("lost %d times", len(orders))
			}
		})
	}
}

// A session that one answer calls gone is asked for once more before it is given up.
func TestASessionThatIsOverlookedOnce(t *testing.T) {
	for _, route := range []Route{Relay, Upload} {
		for _, phase := range []fakegraph.Phase{fakegraph.PhaseFragmentFirst, fakegraph.PhaseFragmentMiddle, fakegraph.PhaseFragmentLast, fakegraph.PhaseUploadStatus} {
			t.Run(fmt.Sprintf("%s %s", route, phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					sessions := 0
					w := newWorldInABubble(t, countSessions(&sessions), func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
					if phase == fakegraph.PhaseUploadStatus { // asked where a step goes on
						w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseFragmentMiddle, Nth: 2, Status: 503, Header: map[string]string{"Retry-After": "25"}})
					}
					order := w.ms.Faults().Add(fakegraph.Fault{Phase: phase, Status: 404})
					tr := w.send(t, kim, route, "/larger.bin", larger)
					w.savedOnce(t, tr, "larger.bin", larger)
					if sessions != 1 || route == Relay && order.Hits() != 1 {
						t.Errorf("%d sessions, %d hits", sessions, order.Hits())
					}
				})
			})
		}
	}
}

// countSessions counts the upload sessions that are asked for.
func countSessions(n *int) func(*http.Request) error {
	return func(r *http.Request) error {
		if phaseOf(r) == fakegraph.PhaseSession {
			*n++
		}
		return nil
	}
}
