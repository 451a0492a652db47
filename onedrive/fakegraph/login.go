package fakegraph

import (
	"net/http"
	"sync"
	"time"
)

// Limits of what sign-ins may keep; the oldest goes when one is reached.
const (
	maxCodes    = 10_000
	maxTokens   = 100_000
	maxSessions = 10_000
	maxConsents = 10_000
	maxDevices  = 1_000
)

// login is the state of the identity platform. Secrets are kept as digests.
type login struct {
	mu       sync.Mutex // guards all below
	access   *shelf[[32]byte, *access]
	refresh  *shelf[[32]byte, *refresh]
	codes    *shelf[[32]byte, *code]
	sessions *shelf[[32]byte, session]
	consents *shelf[consentKey, []string]
	devices  *shelf[[32]byte, *device]
	words    *shelf[string, *device] // devices by user code
	strict   bool                    // used refresh tokens die
	ended    map[string]time.Time    // sign-ins until then are revoked, by login name
}

func newLogin() *login {
	return &login{
		access:   newShelf[[32]byte, *access](maxTokens),
		refresh:  newShelf[[32]byte, *refresh](maxTokens),
		codes:    newShelf[[32]byte, *code](maxCodes),
		sessions: newShelf[[32]byte, session](maxSessions),
		consents: newShelf[consentKey, []string](maxConsents),
		devices:  newShelf[[32]byte, *device](maxDevices),
		words:    newShelf[string, *device](maxDevices),
		ended:    map[string]time.Time{},
	}
}

// reset forgets every sign-in.
func (l *login) reset(strict bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = map[string]time.Time{everybody: now}
	l.strict = strict
	l.access.clear()
	l.refresh.clear()
	l.codes.clear()
	l.sessions.clear()
	l.consents.clear()
	l.devices.clear()
	l.words.clear()
}

// loginRoutes are the identity platform's addresses.
// https://learn.microsoft.com/entra/identity-platform/v2-protocols#endpoints
func (s *Server) loginRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.published(PhaseDiscover, s.metadata))
	mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", s.published(PhaseKeys, s.keySet))
	mux.HandleFunc("GET /{tenant}/discovery/instance", s.instance)
	mux.HandleFunc("GET /{tenant}/oauth2/v2.0/authorize", s.authorize)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/authorize", s.authorize)
	mux.HandleFunc("/{tenant}/oauth2/v2.0/token", s.token)
	mux.HandleFunc("/{tenant}/oauth2/v2.0/devicecode", s.deviceCode)
	mux.HandleFunc("GET /{tenant}/oauth2/v2.0/logout", s.logout)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/logout", s.logout)
	mux.HandleFunc("GET /{tenant}/oauth2/deviceauth", s.devicePage)
	mux.HandleFunc("POST /{tenant}/oauth2/login", s.choose)
	mux.HandleFunc("POST /{tenant}/oauth2/deviceauth", s.deviceChoose)
	mux.HandleFunc("GET /login", s.ownSignIn)
	mux.HandleFunc("POST /login", s.ownChoose)
	mux.HandleFunc("GET /login/style.css", s.pageFile)
	mux.HandleFunc("GET /login/submit.js", s.pageFile)
	mux.HandleFunc("GET /error", s.errorLookup)
}

// published wraps a document that programs fetch before they know anybody.
func (s *Server) published(phase Phase, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.withLoginFaults(w, r, "", []Phase{phase}, func(w http.ResponseWriter) { serve(w, r) })
	}
}
