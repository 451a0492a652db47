package transfer

import (
	"errors"
	"time"
)

// What a relay may keep its place for while others wait. A source that gives just enough not to be too
// slow would keep it for half a day, and six accounts have all places there are.
type turnTimes struct {
	slow time.Duration // of one that is slow
	long time.Duration // of any whose account has two more than one that waits
	look time.Duration // how often turns are looked at while the lane is full
}

var standardTurns = turnTimes{slow: time.Minute, long: 10 * time.Minute, look: 15 * time.Second}

// slowSpeed is the bytes a second below which a relay is slow.
const slowSpeed = 128 << 10

// errTurn interrupts a relay that has had its turn: when it comes again it goes on where it was, or from
// the start if its source does not say for sure that the file is still the same.
var errTurn = errors.New("others wait for a place")

// watchTurns looks at the turns in a while, because somebody waits and the lane of streams is full.
// r.mu is held.
func (r *Runner) watchTurns() {
	if r.turns {
		return
	}
	r.turns = true
	time.AfterFunc(r.opt.turns.look, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.turns = false
		if r.stopping {
			return
		}
		r.endTurns()
		if s := &r.lanes[streams]; s.busy >= s.max && s.ring.n > 0 {
			r.watchTurns()
		}
	})
}

// endTurns interrupts a relay for each account that waits, if one has had its turn. r.mu is held.
func (r *Runner) endTurns() {
	now := r.opt.Now()
	if s := &r.lanes[streams]; s.busy >= s.max {
		for a := s.ring.first; a != nil; a = a.behind[streams] {
			if !a.waits(now) {
				continue
			}
			if n := r.hadTurn(a, now); n != nil {
				n.yields = true
				n.cancel(errTurn)
			}
		}
	}
}

// waits reports whether a relay of a lacks nothing but a place in the lane. r.mu is held.
func (a *account) waits(now time.Time) bool {
	if a.gate.shut(now) {
		return false
	}
	for _, n := range a.ready[streams] {
		if n.state == ready && n.mayStream() {
			return true
		}
	}
	return false
}

// hadTurn is the relay that gives its place to one of a: of whoever has the most, that which has it
// longest. Nil: all are within their turns, or a has as many. r.mu is held.
func (r *Runner) hadTurn(a *account, now time.Time) (first *run) {
	for n := range r.relays {
		has, held := n.a.streaming-a.streaming, now.Sub(n.since)
		slow := held >= r.opt.turns.slow && float64(n.moved.Load()-n.had) < slowSpeed*held.Seconds()
		if n.yields || n.cancel == nil || has < 1 || !slow && (held < r.opt.turns.long || has < 2) {
			continue
		}
		if first == nil || n.a.streaming > first.a.streaming || n.a.streaming == first.a.streaming && n.since.Before(first.since) {
			first = n
		}
	}
	return first
}
