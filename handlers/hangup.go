package handlers

import (
	"net/http"
	"time"
)

// HangUp serves next, and hangs up on clients that take nothing of an answer for as long as limit. Who takes
// a little now and then gets it all. A handler that sets a deadline itself keeps that.
func HangUp(next http.Handler, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &steadyWriter{ResponseWriter: w, control: http.NewResponseController(w), limit: limit}
		out.goOn() // the deadline of the connection's last answer may be over
		next.ServeHTTP(out, r)
	})
}

// steadyWriter gives each piece of an answer a deadline of its own.
type steadyWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
	own     bool // the handler has set a deadline
}

// steadyPiece is small enough for the slowest line.
const steadyPiece = 32 << 10

// goOn moves the deadline on. A test's recorder has none.
func (s *steadyWriter) goOn() {
	if !s.own {
		_ = s.control.SetWriteDeadline(time.Now().Add(s.limit))
	}
}

// SetWriteDeadline is for http.ResponseController.
func (s *steadyWriter) SetWriteDeadline(t time.Time) error {
	s.own = true
	return s.control.SetWriteDeadline(t)
}

// Unwrap is for http.ResponseController.
func (s *steadyWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *steadyWriter) WriteHeader(status int) {
	s.goOn()
	s.ResponseWriter.WriteHeader(status)
}

func (s *steadyWriter) Write(p []byte) (n int, err error) {
	for {
		s.goOn()
		m, err := s.ResponseWriter.Write(p[:min(len(p), steadyPiece)])
		n, p = n+m, p[m:]
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}
