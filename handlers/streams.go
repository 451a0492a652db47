package handlers

import (
	"context"
	"slices"
	"sync"
	"time"
)

// How many event streams one session or device may hold, and one user with all of theirs. Browsers
// share one among their tabs; without that, on HTTP/1.1, a seventh connection to us would hang.
const (
	streamsEach = 32
	streamsUser = 64
)

// replacePause is how long after the end of a user's oldest stream no other of theirs is ended for a
// newer one. Clients that come back by themselves would else end each other's streams for ever.
const replacePause = time.Minute

// streams knows the open event streams, to cap them, and to end them at a drain or with the session
// or key that opened them.
type streams struct {
	mu     sync.Mutex
	users  map[string]*userStreams
	n      int
	closed bool
}

// userStreams are the open streams of one user.
type userStreams struct {
	open     []*stream // oldest first
	replaced time.Time // when one of them was ended for a newer one
}

// stream is one open event stream. Its end tells the reader whether to come back.
type stream struct {
	holder string // the session or device
	end    context.CancelCauseFunc
}

// endReason is why a stream was ended by us.
type endReason string

func (r endReason) Error() string { return string(r) }

const (
	endDrain     endReason = "drain"     // the server stops: come back a little later
	endReplaced  endReason = "replaced"  // the same session or user opened more than its share
	endSignedOut endReason = "signedOut" // the session or key is gone
	endSignedIn  endReason = "signedIn"  // this browser has another session by now: come back with it
)

func newStreams() *streams { return &streams{users: map[string]*userStreams{}} }

// add counts a stream in, and ends the oldest of the same holder or user when there are too many.
// The returned function counts it out. The error is a rateError.
func (s *streams) add(ctx context.Context, user, holder string, now time.Time) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.users[user]
	if mine == nil {
		mine = &userStreams{}
		s.users[user] = mine
	}
	if oldest := mine.tooMany(holder); oldest != nil {
		if wait := mine.replaced.Add(replacePause).Sub(now); wait > 0 {
			return nil, nil, rateError{wait}
		}
		mine.replaced = now
		s.endOne(user, oldest, endReplaced)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	st := &stream{holder: holder, end: cancel}
	if s.closed {
		cancel(endDrain)
	}
	mine.open = append(mine.open, st)
	s.n++
	return ctx, func() { s.remove(user, st) }, nil
}

// tooMany is the stream that has to make room for another of holder, or nil.
func (u *userStreams) tooMany(holder string) *stream {
	var held []*stream
	for _, st := range u.open {
		if st.holder == holder {
			held = append(held, st)
		}
	}
	switch {
	case len(held) >= streamsEach:
		return held[0]
	case len(u.open) >= streamsUser:
		return u.open[0]
	}
	return nil
}

func (s *streams) remove(user string, st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endOne(user, st, context.Canceled)
}

// endOne ends a stream and counts it out, once.
func (s *streams) endOne(user string, st *stream, why error) {
	st.end(why)
	mine := s.users[user]
	if mine == nil {
		return
	}
	i := slices.Index(mine.open, st)
	if i < 0 {
		return
	}
	s.n--
	if mine.open = slices.Delete(mine.open, i, i+1); len(mine.open) == 0 {
		delete(s.users, user)
	}
}

func (s *streams) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, mine := range s.users {
		for _, st := range mine.open {
			st.end(endDrain)
		}
	}
}

// endUser ends all streams of a user here, when their sessions have ended.
func (s *streams) endUser(user string) {
	s.endOf(user, endSignedOut, func(*stream) bool { return true })
}

// endHolder ends the streams of one session or device of a user here, when it has ended.
func (s *streams) endHolder(user, holder string, why endReason) {
	s.endOf(user, why, func(st *stream) bool { return st.holder == holder })
}

func (s *streams) endOf(user string, why endReason, which func(*stream) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine := s.users[user]; mine != nil {
		for _, st := range mine.open {
			if which(st) {
				st.end(why)
			}
		}
	}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}
