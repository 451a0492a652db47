package handlers

import (
	"context"
	"sync"
)

// streamsEach is how many event streams one session or device may hold. Browsers share one among
// their tabs; without that, on HTTP/1.1, a seventh connection to us would hang.
const streamsEach = 4

// streams knows the open event streams, to cap them and to end them at a drain.
type streams struct {
	mu     sync.Mutex
	open   map[string][]*stream // by who holds them, oldest first
	n      int
	closed bool
}

// stream is one open event stream. Its end tells the reader whether to come back.
type stream struct {
	user string
	end  context.CancelCauseFunc
}

// endReason is why a stream was ended by us.
type endReason string

func (r endReason) Error() string { return string(r) }

const (
	endDrain     endReason = "drain"     // the server stops: come back a little later
	endReplaced  endReason = "replaced"  // the same session opened more than its share
	endSignedOut endReason = "signedOut" // the session or key is gone
)

func newStreams() *streams { return &streams{open: map[string][]*stream{}} }

// add counts a stream of who in, and ends the oldest when there are too many. The returned
// function counts it out.
func (s *streams) add(ctx context.Context, user, who string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	st := &stream{user: user, end: cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		cancel(endDrain)
	}
	list := append(s.open[who], st)
	if len(list) > streamsEach {
		list[0].end(endReplaced)
	}
	s.open[who] = list
	s.n++
	return ctx, func() { s.remove(who, st) }
}

func (s *streams) remove(who string, st *stream) {
	st.end(context.Canceled)
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.open[who]
	for i, other := range list {
		if other == st {
			list = append(list[:i:i], list[i+1:]...)
			s.n--
			break
		}
	}
	if len(list) == 0 {
		delete(s.open, who)
		return
	}
	s.open[who] = list
}

func (s *streams) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, list := range s.open {
		for _, st := range list {
			st.end(endDrain)
		}
	}
}

// endUser ends all streams of a user here, when their sessions have ended.
func (s *streams) endUser(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.open {
		for _, st := range list {
			if st.user == user {
				st.end(endSignedOut)
			}
		}
	}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}
