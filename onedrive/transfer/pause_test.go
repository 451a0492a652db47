package transfer

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive/fakegraph"
)

// What OneDrive turns away while bytes are sent waits longer each time, as everywhere, or as long as it is
// asked to; the session stays, and while a pause is short the source does, too.
func TestFragmentsThatAreTurnedAwayWait(t *testing.T) {
	for _, tt := range []struct {
		what  string
		fault fakegraph.Fault
		waits []time.Duration // between two tries, at least
		anew  bool            // the source is left meanwhile
	}{
		{"429 twice", fakegraph.Fault{Status: 429, Times: 2}, []time.Duration{2 * time.Second, 4 * time.Second}, false},
		{"429 four times", fakegraph.Fault{Status: 429, Times: 4}, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}, false},
		{"429 and how long", fakegraph.Fault{Status: 429, Times: 2, Header: map[string]string{"Retry-After": "7"}}, []time.Duration{7 * time.Second, 7 * time.Second}, false},
		{"429 for long", fakegraph.Fault{Status: 429, Header: map[string]string{"Retry-After": "300"}}, []time.Duration{300 * time.Second}, true},
		{"503 and how long", fakegraph.Fault{Status: 503, Header: map[string]string{"Retry-After": "5"}}, []time.Duration{5 * time.Second}, false},
		{"503 eight times", fakegraph.Fault{Status: 503, Times: 8}, []time.Duration{0, 0, time.Second, 2 * time.Second, 0, 0, time.Second, 2 * time.Second}, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries []time.Time // of the first fragment in the middle
				at, sessions := "", 0
				count := func(r *http.Request) error {
					switch from, _, _ := strings.Cut(r.Header.Get("Content-Range"), "-"); phaseOf(r) {
					case fakegraph.PhaseSession:
						sessions++
					case fakegraph.PhaseFragmentMiddle:
						if at = cmp.Or(at, from); from == at {
							tries = append(tries, time.Now())
						}
					}
					return nil
				}
				w := newWorldInABubble(t, count, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
				tt.fault.Phase = fakegraph.PhaseFragmentMiddle
				w.ms.Faults().Add(tt.fault)
				tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/large.bin"}))
				w.check(t, tr, "large.bin", large)
				if len(tries) != 1+len(tt.waits) {
					t.Fatalf("%d tries; want %d", len(tries), 1+len(tt.waits))
				}
				for i, least := range tt.waits {
					if wait := tries[i+1].Sub(tries[i]); wait < least || wait > 2*least+10*time.Second {
						t.Errorf("wait %d took %v; want %v", i+1, wait, least)
					}
				}
				if sessions != 1 {
					t.Errorf("%d sessions", sessions)
				}
				if anew := len(w.web.headers) > 1; anew != tt.anew {
					t.Errorf("the source was asked %d times", len(w.web.headers))
				}
			})
		})
	}
}

// A session that would be over after a pause is not waited for with the source open.
func TestNoPauseOutlivesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
		w.ms.SetConduct(alex, func(c *fakegraph.Conduct) { c.UploadExpires = 5 * time.Second })
		w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseFragmentMiddle, Status: 429, Times: 4})
		tr, early := w.ask(t, alex, Request{SourceURL: "/large.bin"}), false
		w.driveWith(t, tr, func() error { return nil }, func() {
			early = early || tr.Reason == Throttled && time.Now().Before(tr.Work.SessionEnds)
		})
		if w.check(t, tr, "large.bin", large); !early {
			t.Error("it slept until the session was over")
		}
	})
}
