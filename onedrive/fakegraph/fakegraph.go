// Package fakegraph is an in-memory Microsoft: the sign-in pages and token endpoint of the
// identity platform, and the OneDrive part of Graph, on one http.Handler. It is both the demo
// and the test double, so it is written from Microsoft's documents only and imports nothing of
// Skylift: a wrong JSON tag in the client shows up as a failing test.
package fakegraph

import (
	"net/http"
	"sync"
	"time"
)

// Options set up a Server. The zero value is the demo's Microsoft.
type Options struct {
	// Prefix is the path under which the handler is mounted, such as "/demo"; it stands in all
	// addresses that the server gives out. The handler sees the path with the prefix.
	Prefix string
	// Fetch fetches the source of an upload-from-URL; nil means http.DefaultTransport without
	// proxy. Sample pictures of the server itself never pass through it.
	Fetch http.RoundTripper
	// Now is the clock; nil means time.Now. Server.Advance moves whatever it says.
	Now func() time.Time
	// Discard makes uploads swallow their bytes: sizes and hashes are kept, contents are not.
	Discard bool
}

// Server is the stand-in Microsoft. It is an http.Handler and safe for concurrent use.
type Server struct {
	opts Options
	mux  *http.ServeMux

	mu       sync.Mutex // guards all below
	shift    time.Duration
	accounts map[string]*Account // by login name, lower case
}

// now is the server's time, moved by Advance.
func (s *Server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nowLocked()
}

func (s *Server) nowLocked() time.Time {
	if s.opts.Now != nil {
		return s.opts.Now().Add(s.shift)
	}
	return time.Now().Add(s.shift)
}

// Advance moves the server's clock: codes, tokens, sessions and monitors expire by it.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift += d
}
