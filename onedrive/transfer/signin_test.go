package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// While Microsoft's sign-in is down, no token can be renewed: what needs one waits, and goes on by
// itself, whichever call it is that first finds none.
func TestASignInThatIsDownIsWaitedFor(t *testing.T) {
	for _, tt := range []struct {
		login, path string
		route       Route
	}{{robin, "/tabby.jpg", Native}, {kim, "/tabby.jpg", Relay}, {alex, "/large.bin", Relay}} {
		for calls := range 6 {
			synctest.Test(t, func(t *testing.T) {
				var down time.Time // since when
				asked := 0
				w := newWorldInABubble(t, nil)
				real := w.ms.Tokens(tt.login)
				client := w.ms.Graph.Client(func(ctx context.Context, stale string) (string, error) {
					if asked++; asked > calls && down.IsZero() {
						down = time.Now()
					}
					if !down.IsZero() && time.Since(down) < time.Hour {
						return "", errors.New("the login host answered 503")
					}
					return real(ctx, stale)
				})
				w.opt.Client = func(context.Context, string) (*onedrive.Client, error) { return client, nil }
				w.restart(t)
				tr := w.ask(t, tt.login, Request{SourceURL: tt.path})
				failed := 0
				for !tr.State.Final() && failed == 0 {
					next, err := w.saver.Step(t.Context(), tr, func() error { return nil }, func() {})
					if err != nil {
						failed++
						t.Errorf("%s, no token after %d calls: %v", tt.path, calls, err)
					}
					w.pass(next.After)
				}
				w.check(t, tr, "", kindOfPath(tt.path).content)
				if tr.Route != tt.route || w.ms.Counts()["postSourceUrl"] > 1 {
					t.Errorf("%s of %s, no token after %d calls: by %s (%s)", tt.path, tt.login, calls, tr.Route, tr.RouteReason)
				}
			})
		}
	}
}

// Microsoft's own check of tokens is out of order at times, and refuses good ones: nobody has to sign in
// again for that, and the sign-in is not asked for one token after the other.
func TestARefusalThatPassesAsksNobodyToSignIn(t *testing.T) {
	matrix := fakegraph.Matrix()
	for _, tt := range []struct {
		fault     string
		phase     fakegraph.Phase
		times     int
		refreshes int // at most
	}{
		{"401 RPS", fakegraph.PhaseGraph, 3, 0}, {"401 RPS", fakegraph.PhaseDrive, 6, 0}, {"401 RPS", fakegraph.PhaseSession, 3, 0},
		{"401 RPS", fakegraph.PhaseFragment, 2, 0}, {"401", fakegraph.PhaseSession, 2, 1}, {"401", fakegraph.PhaseItem, 2, 1},
		{"401 RPS", fakegraph.PhaseNative, 2, 0}, {"401", fakegraph.PhaseNative, 2, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldInABubble(t, nil)
			owner, path := kim, "/large.bin"
			if tt.phase == fakegraph.PhaseNative {
				owner, path = robin, "/tabby.jpg"
			}
			refreshes := 0
			real := w.ms.Tokens(owner)
			client := w.ms.Graph.Client(func(ctx context.Context, stale string) (string, error) {
				if stale != "" {
					refreshes++
				}
				return real(ctx, stale)
			})
			w.opt.Client = func(context.Context, string) (*onedrive.Client, error) { return client, nil }
			w.restart(t)
			fault := matrix[tt.fault]
			fault.Phase, fault.Times = tt.phase, tt.times
			order := w.ms.Faults().Add(fault)
			tr := w.drive(t, w.ask(t, owner, Request{SourceURL: path}))
			w.check(t, tr, "", kindOfPath(path).content)
			if order.Hits() != tt.times || refreshes > tt.refreshes {
				t.Errorf("%s at %s: hit %d times, %d refreshes; want %d and at most %d", tt.fault, tt.phase, order.Hits(), refreshes, tt.times, tt.refreshes)
			}
			if tt.phase == fakegraph.PhaseNative && tr.Route != Native {
				t.Errorf("%s at %s: by %s (%s)", tt.fault, tt.phase, tr.Route, tr.RouteReason)
			}
		})
	}
}
