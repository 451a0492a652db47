// Package fakegraph is an in-memory Microsoft: the sign-in pages and token endpoint of the
// identity platform, and the OneDrive part of Graph, on one http.Handler. It is both the demo
// and the test double, so it is written from Microsoft's documents only and imports nothing of
// Skylift: a wrong JSON tag in the client shows up as a failing test.
package fakegraph

import (
	"crypto/cipher"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options set up a Server. The zero value is the demo's Microsoft.
type Options struct {
	// Prefix is the path under which the handler is mounted, such as "/demo"; it stands in all
	// addresses that the server gives out. The handler sees the path with the prefix.
	Prefix string
	// URL is the public address in front of Prefix, such as "https://skylift.example"; it stands in all
	// addresses that the server gives out. Empty means the scheme and host that each request came in by.
	URL string
	// Fetch fetches the source of an upload-from-URL; nil means a transport without proxy that
	// reaches public addresses only. Sample pictures of the server itself never pass through it.
	Fetch http.RoundTripper
	// Now is the clock; nil means time.Now. Server.Advance moves whatever it says.
	Now func() time.Time
	// Apart gives upload, monitor and download addresses out under another name of this machine,
	// 127.0.0.1 for localhost and the other way round. Microsoft's are never on Graph's own host:
	// libraries that add the bearer by host name send it along where the two are one.
	Apart bool
	// Discard makes uploads swallow their bytes: sizes and hashes are kept, contents are not.
	Discard bool
	// NoHash leaves the hashes out, for benchmarks: hashing costs more than taking bytes in.
	NoHash bool
	// Empty starts drives without the demo's folders and pictures.
	Empty bool
	// Apps are the registered applications. Without any, every client id, secret and http(s)
	// redirect URI is accepted.
	Apps []App
	// Own is the client id of the app that this stands in for. Accounts whose Consent is empty have agreed to
	// less than all files there, so that it has something to ask for; other apps find all agreed to.
	Own string
	// StrictRefresh makes a refresh token die when it is used. Microsoft's own stay valid.
	// https://learn.microsoft.com/entra/identity-platform/refresh-tokens
	StrictRefresh bool
	// Secret, if set, seals each sign-in into its refresh token, so that it outlives the process.
	// Everything else is in memory.
	Secret []byte
}

// Server is the stand-in Microsoft. It is an http.Handler and safe for concurrent use.
type Server struct {
	opts    Options
	handler http.Handler
	shift   atomic.Int64 // nanoseconds that Advance has added
	login   *login
	cloud   *cloud
	keys    keyring
	memos   cipher.AEAD // nil without Options.Secret

	mu       sync.RWMutex // guards the accounts
	accounts []*Account
	byLogin  map[string]*Account // by login name, lower case

	countMu sync.Mutex
	counts  map[string]int
}

// New makes a Server with the demo's accounts.
func New(opts Options) *Server {
	opts.Prefix, opts.URL = strings.TrimSuffix(opts.Prefix, "/"), strings.TrimSuffix(opts.URL, "/")
	s := &Server{opts: opts, counts: map[string]int{}}
	s.login = newLogin()
	s.memos = memoSeal(opts.Secret)
	s.cloud = newCloud()
	s.login.strict = opts.StrictRefresh
	s.resetAccounts()

	graph, login := http.NewServeMux(), http.NewServeMux()
	s.loginRoutes(login)
	s.profileRoutes(graph)
	s.driveRoutes(graph)
	s.handler = http.StripPrefix(opts.Prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isLoginPath(r.URL.Path) {
			login.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v1.0/") && path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") {
			s.serveGraph(w, r) // a mux would redirect "//" and "/../"; Graph refuses them
			return
		}
		graph.ServeHTTP(w, r)
	}))
	return s
}

// isLoginPath says whether a path (without prefix) belongs to the identity platform:
// /{tenant}/oauth2/…, /{tenant}/v2.0/…, /{tenant}/discovery/… and its pages. Two muxes,
// because {tenant} would clash with the Graph patterns in one.
func isLoginPath(p string) bool {
	first, rest, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	second, _, _ := strings.Cut(rest, "/")
	switch second {
	case "oauth2", "v2.0", "discovery":
		return first != "v1.0" && first != "beta"
	}
	return first == "login" || first == "error"
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// base is the address of everything, without a slash at the end: the server's own, or where it has none the
// one that this request came in by. What a request says of a proxy in front is never believed: the keys of
// an issuer and the way to the sign-in stand below it.
func (s *Server) base(r *http.Request) string {
	if s.opts.URL != "" {
		return s.opts.URL + s.opts.Prefix
	}
	u := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil || r.URL.Scheme == "https" {
		u.Scheme = "https"
	}
	return u.String() + s.opts.Prefix
}

// apart is base under another name of this machine, where Options.Apart asks for that.
func (s *Server) apart(base string) string {
	u, err := url.Parse(base)
	if !s.opts.Apart || err != nil {
		return base
	}
	other := map[string]string{"localhost": "127.0.0.1", "127.0.0.1": "localhost"}[u.Hostname()]
	if other == "" {
		return base
	}
	u.Host = other + strings.TrimPrefix(u.Host, u.Hostname())
	return u.String()
}

// now is the server's time, moved by Advance.
func (s *Server) now() time.Time {
	now := time.Now
	if s.opts.Now != nil {
		now = s.opts.Now
	}
	return now().Add(time.Duration(s.shift.Load()))
}

// Advance moves the server's clock: codes, tokens, sessions and monitors expire by it.
func (s *Server) Advance(d time.Duration) {
	s.shift.Add(int64(d))
	s.stirred()
}

// Reset forgets everything that people and programs did: sign-ins, tokens, drives, counters
// and added accounts. Signing keys and the clock stay, so that clients' caches stay right.
func (s *Server) Reset() {
	s.mu.Lock()
	s.resetAccounts()
	s.mu.Unlock()
	s.login.reset(s.opts.StrictRefresh, s.now())
	s.resetDrives()
	s.countMu.Lock()
	clear(s.counts)
	s.countMu.Unlock()
}

// count adds one to a named counter.
func (s *Server) count(name string) {
	s.countMu.Lock()
	s.counts[name]++
	s.countMu.Unlock()
}

// Counts are the named counters: how often things happened that tests ask about.
func (s *Server) Counts() map[string]int {
	s.countMu.Lock()
	defer s.countMu.Unlock()
	return maps.Clone(s.counts)
}
