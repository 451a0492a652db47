package onedrive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// Limits of a call that carries a file's bytes. They bound the silence, not the whole: a large
// file on a slow line takes as long as it takes while bytes move.
const (
	stallTimeout  = 30 * time.Second // OneDrive takes no more bytes
	commitTimeout = 2 * time.Minute  // all bytes are there and no answer comes
)

var (
	errTooSlow = errors.New("no answer in time")
	errStalled = errors.New("OneDrive stopped taking bytes")

	errDetached = errors.New("the call is over")
	errNoRewind = errors.New("the bytes cannot be read twice")
)

// streamedBody is a request body of known length that is read once. It notices when the other
// side stops taking bytes, and keeps the source's own error apart from the network's.
type streamedBody struct {
	source io.Reader
	size   int64

	mu       sync.Mutex // held while the source is read
	left     int64
	started  bool
	detached bool  // the call is over: the source belongs to the caller again
	err      error // of the source
	watchdog *time.Timer
}

func newStreamedBody(source io.Reader, size int64) *streamedBody {
	return &streamedBody{source: source, size: size, left: size}
}

// attach makes the body the request's, with its exact length.
func (s *streamedBody) attach(req *http.Request) {
	req.ContentLength = s.size
	if s.size == 0 {
		req.Body = http.NoBody
		return
	}
	req.Body = io.NopCloser(s)
	req.GetBody = func() (io.ReadCloser, error) { // asked for when a kept connection turned out to be dead
		if !s.rewind() {
			return nil, errNoRewind
		}
		return io.NopCloser(s), nil
	}
}

// watch derives the context of the call: it ends when nothing moves for too long.
func (s *streamedBody) watch(outer context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(outer)
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := stallTimeout
	if s.size == 0 {
		wait = commitTimeout
	}
	s.watchdog = time.AfterFunc(wait, func() { cancel(errStalled) })
	s.detached = false
	return ctx, func() { cancel(nil); s.detach() }
}

// detach ends the reading for good. A transport may go on reading after the answer has come;
// after detach it gets nothing more, so that the caller may reuse its buffer.
func (s *streamedBody) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detached = true
	s.watchdog.Stop()
}

// Read gives the next bytes. While the source is asked the watchdog rests: the source has limits of its own.
func (s *streamedBody) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.detached {
		return 0, errDetached
	}
	if s.err != nil {
		return 0, s.err
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	s.started = true
	s.watchdog.Stop()
	n, err := s.source.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	switch {
	case s.left == 0:
		s.watchdog.Reset(commitTimeout)
		return n, nil
	case err == io.EOF:
		s.err = io.ErrUnexpectedEOF
	case err != nil:
		s.err = err
	}
	s.watchdog.Reset(stallTimeout)
	return n, s.err
}

// rewind makes the body readable from its start again, when that is possible.
func (s *streamedBody) rewind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		seeker, ok := s.source.(io.Seeker)
		if !ok {
			return false
		}
		if _, err := seeker.Seek(s.left-s.size, io.SeekCurrent); err != nil {
			return false
		}
	}
	s.left, s.started, s.err = s.size, false, nil
	return true
}

// sourceError is what the source failed with, nil when it did not.
func (s *streamedBody) sourceError() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
