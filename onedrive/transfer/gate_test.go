package transfer

import (
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive/fakegraph"
)

// An account that is turned away without a word of how long asks more and more seldom, however many
// transfers it has, and is as quick as before once it is let in.
func TestAnAccountThatIsToldNoTimeAsksMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil)
		throttle := func(on bool) {
			w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.Throttled, c.RetryAfter = on, -1 })
		}
		throttle(true)
		a := &account{r: &Runner{opt: RunnerOptions{Now: w.now}}}
		waiting := []*Transfer{w.ask(t, kim, Request{SourceURL: "/tabby.jpg"}), w.ask(t, kim, Request{SourceURL: "/photo"}), w.ask(t, kim, Request{SourceURL: "/wrong.jpg"})}
		// step has one of the transfers in turn take a step, as the runner would.
		step := func() Next {
			tr := waiting[0]
			waiting = append(waiting[1:], tr)
			next, err := w.saver.Step(t.Context(), tr, func() error { return nil }, func() {})
			if err != nil {
				t.Fatal(err)
			}
			next = a.r.slowDown(&run{a: a, t: tr}, next)
			if next.Throttled > 0 {
				if tr.Reason != Throttled || !tr.Due.Equal(w.now().Add(next.Throttled)) {
					t.Errorf("%s until %s; want throttled for %s", tr.Reason, tr.Due, next.Throttled)
				}
				a.gate.throttle(w.now(), next.Throttled)
			} else {
				a.gate.pass()
			}
			return next
		}
		begin := time.Now()
		for time.Since(begin) < 10*time.Minute {
			w.pass(step().Throttled)
		}
		if n := w.ms.Counts()["throttled"]; n < 8 || n > 12 {
			t.Errorf("asked %d times in ten minutes; want 8 to 12", n)
		}
		throttle(false)
		step()
		throttle(true)
		again := step().Throttled
		for range waiting { // the first needs no answer of OneDrive, perhaps
			if again == 0 {
				again = step().Throttled
			}
		}
		if again < 2*time.Second || again > 3*time.Second {
			t.Errorf("after an answer the wait begins with %s; want 2 s", again)
		}
	})
}

// Steps that were turned away together are one refusal.
func TestStepsThatAreTurnedAwayTogetherCountOnce(t *testing.T) {
	var g gate
	now := time.Now()
	for range 5 {
		g.throttle(now, g.wait(now))
	}
	if left := g.until.Sub(now); left > 3*time.Second || g.refused != 1 {
		t.Errorf("waits %s after %d refusals; want 2 s after one", left, g.refused)
	}
}

// A monitor that turns every question away without a word of how long is asked more and more seldom, too.
func TestAMonitorThatIsToldNoTimeIsAskedMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil)
		order := w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseMonitor, Status: 429, Times: -1})
		began := time.Now()
		tr := w.drive(t, w.ask(t, robin, Request{SourceURL: "/tabby.jpg"}))
		w.check(t, tr, "", tabby)
		if took := time.Since(began); order.Hits() > 40 {
			t.Errorf("asked %d times in %s", order.Hits(), took)
		}
	})
}
