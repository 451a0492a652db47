package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
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
