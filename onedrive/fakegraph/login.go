package fakegraph

import (
	"net/http"
	"sync"
)

// Limits of what sign-ins may keep; the oldest goes when one is reached.
const (
	maxCodes    = 10_000
	maxTokens   = 100_000
	maxSessions = 10_000
	maxDevices  = 1_000
)

// login is the state of the identity platform.
type login struct {
	mu     sync.Mutex // guards all below
	access *shelf[[32]byte, *access]
}

func newLogin() *login {
	return &login{access: newShelf[[32]byte, *access](maxTokens)}
}

// reset forgets every sign-in.
func (l *login) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.access.clear()
}

// App is a registered application.
type App struct {
	ID           string
	Secrets      []string // none: a public client
	RedirectURIs []string
}

func (s *Server) loginRoutes(mux *http.ServeMux) {}

// pageAccount is who is signed in on the server's own pages; nil when nobody is.
func (s *Server) pageAccount(r *http.Request) *Account { return nil }
