package transfer

import (
	"math/rand/v2"
	"time"
)

// gate makes a throttled account wait as one. When its time is over one step goes through first; the
// others follow when that one was not turned away again.
type gate struct {
	until   time.Time
	probing bool // the first step after a closed gate runs
	refused int  // times in a row that the account was turned away
	inside  int
	waits   bool // not all of the account's transfers are taken up yet
	timer   *time.Timer
}

// shut reports whether the gate is closed at now.
func (g *gate) shut(now time.Time) bool {
	return g.waits || now.Before(g.until) || g.probing && g.inside > 0
}

// closed is shut, and sees to it that the account is asked again when the gate opens. Runner.mu is held.
func (g *gate) closed(a *account, now time.Time) bool {
	if !g.shut(now) {
		return false
	}
	if now.Before(g.until) && g.timer == nil {
		g.timer = time.AfterFunc(g.until.Sub(now), a.reopen)
	}
	return true
}

// Waits of an account that is turned away without a word of how long: https://learn.microsoft.com/graph/throttling
// asks for longer and longer ones, because the calls that are refused count, too.
const (
	firstThrottle = 2 * time.Second
	lastThrottle  = 2 * time.Minute
)

// wait is how long an account waits that was turned away without a word of how long: what is left of the
// wait that it is in already, or twice as long as the time before. Runner.mu is held.
func (g *gate) wait(now time.Time) time.Duration {
	if left := g.until.Sub(now); left > 0 {
		return left
	}
	d := min(firstThrottle<<min(g.refused, 10), lastThrottle)
	return d + rand.N(d/10)
}

// throttle closes the gate. Of steps that were turned away together the first counts. Runner.mu is held.
func (g *gate) throttle(now time.Time, d time.Duration) {
	if !now.Before(g.until) {
		g.refused++
	}
	if until := now.Add(d); until.After(g.until) {
		g.until = until
	}
	g.probing = true
}

// pass opens the gate for all: a step was not turned away. Runner.mu is held.
func (g *gate) pass() { g.probing, g.refused = false, 0 }

func (g *gate) enter() { g.inside++ }
func (g *gate) leave() { g.inside-- }

func (g *gate) stop() {
	if g.timer != nil {
		g.timer.Stop()
	}
}

// reopen lets the account take turns again.
func (a *account) reopen() {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	a.gate.timer = nil
	a.rejoin()
}

// rejoin puts the account back in turn for all that is ready. Runner.mu is held.
func (a *account) rejoin() {
	if a.r.stopping {
		return
	}
	for l := range lanes {
		if len(a.ready[l]) > 0 {
			a.r.join(a, l)
			a.r.dispatch(l)
		}
	}
}

// The growing delay between two polls of a monitor.
const (
	minDelay = 250 * time.Millisecond
	maxDelay = 5 * time.Second
)

// pollDelay is how long to wait when the transfer has been polled for age: half of that, so that each
// delay is half as long again as the one before. It needs no memory, and a restart goes on with it.
func pollDelay(age time.Duration) time.Duration {
	return min(max(minDelay+age/2, minDelay), maxDelay)
}

// jitter takes up to a tenth off, so that what began together does not stay together.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d - rand.N(d/10+1)
}
