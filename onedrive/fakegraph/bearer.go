package fakegraph

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// accessLife is how long an access token lives. Microsoft picks 60 to 90 minutes and tells
// 3599 seconds for most.
const accessLife = time.Hour

// grant is what one account gave one app at one sign-in. Every code and token of that sign-in
// points to it, so that revoking it reaches them all.
type grant struct {
	account *Account
	client  string
	scopes  scopes // asked at sign-in, with openid and offline_access
	tenant  tenant // where the person signed in
	nonce   string
	// confidential and spa say how the code was redeemed: with a secret; by a browser script.
	confidential, spa bool
	started           time.Time // when the person signed in
	revoked           bool      // guarded by login.mu
}

// access is one access token.
type access struct {
	grant  *grant
	scopes scopes
	killed bool // guarded by login.mu: refused as if expired
}

// allows says whether the token carries one of the permissions.
func (t *access) allows(anyOf ...string) bool {
	return slices.ContainsFunc(t.scopes.list, func(have string) bool {
		name := bareScope(have)
		return name == ".default" || slices.ContainsFunc(anyOf, func(want string) bool { return strings.EqualFold(name, want) })
	})
}

// Permissions of the drive calls, least first.
// https://learn.microsoft.com/graph/permissions-reference#files-permissions
var (
	readFiles  = []string{"Files.Read", "Files.Read.All", "Files.Read.Selected", "Files.ReadWrite", "Files.ReadWrite.All", "Files.ReadWrite.AppFolder", "Sites.Read.All", "Sites.ReadWrite.All", "onedrive.readonly", "onedrive.readwrite"}
	writeFiles = []string{"Files.ReadWrite", "Files.ReadWrite.All", "Files.ReadWrite.AppFolder", "Sites.ReadWrite.All", "onedrive.readwrite"}

	// Files of others, and those of libraries, take a permission that says All.
	readOthers  = []string{"Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All", "Sites.ReadWrite.All", "onedrive.readonly", "onedrive.readwrite"}
	writeOthers = []string{"Files.ReadWrite.All", "Sites.ReadWrite.All", "onedrive.readwrite"}
)

// bearer finds whose access token a drive request carries and checks that it may read or, for
// methods other than GET and HEAD, write files: those of the person, and whether also those of others.
func (s *Server) bearer(r *http.Request) (a *Account, others bool, _ *wireError) {
	t, refused := s.accessToken(r)
	if refused != nil {
		return nil, false, refused
	}
	own, all := writeFiles, writeOthers
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		own, all = readFiles, readOthers
	}
	if !t.allows(own...) {
		return nil, false, errScope()
	}
	return t.grant.account, t.allows(all...), nil
}

// accessToken finds the access token of a request to Graph.
func (s *Server) accessToken(r *http.Request) (*access, *wireError) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, s.unauthorized(r, "Access token is empty.", "")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(token) == "" {
		return nil, s.unauthorized(r, "Bearer access token is required.", "invalid_token")
	}
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	t, expired, ok := s.login.access.get(digest(strings.TrimSpace(token)), s.now())
	switch {
	case !ok:
		return nil, s.unauthorized(r, "IDX14100: JWT is not well formed, there are no dots (.).", "invalid_token")
	case expired || t.killed:
		return nil, s.unauthorized(r, "Lifetime validation failed, the token is expired.", "expired_token")
	case !t.scopes.graph:
		return nil, s.unauthorized(r, "Access token validation failure. Invalid audience.", "invalid_token")
	}
	return t, nil
}

// unauthorized is Graph's 401.
func (s *Server) unauthorized(r *http.Request, message, cause string) *wireError {
	challenge := fmt.Sprintf(`Bearer realm="", authorization_uri="%s/common/oauth2/v2.0/authorize", client_id="%s"`, s.base(r), graphResource)
	if cause != "" {
		challenge += fmt.Sprintf(`, error="%s", error_description="%s"`, cause, message)
	}
	return &wireError{
		status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: message,
		header: http.Header{"Www-Authenticate": {challenge}},
	}
}

// Token is an access token of an account with all permissions, for tests and tools that don't
// want to sign in; empty when there is no such account.
func (s *Server) Token(login string) string {
	a := s.account(login)
	if a == nil {
		return ""
	}
	all := scopes{list: []string{"Files.ReadWrite.All", "User.Read", "openid", "profile", "email"}, graph: true}
	return s.issueAccess(&grant{account: a, client: "token-tool", scopes: all, started: s.now()}, all)
}

// issueAccess makes an access token that counts from now.
func (s *Server) issueAccess(g *grant, asked scopes) string {
	token := newSecret("demo-access-", 900)
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	s.login.access.put(digest(token), &access{grant: g, scopes: asked}, s.now().Add(accessLife))
	return token
}

// ExpireTokens makes all access tokens of an account be refused as expired; refresh tokens work.
func (s *Server) ExpireTokens(login string) {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	for _, item := range s.login.access.items {
		if strings.EqualFold(item.value.grant.account.Login, login) {
			item.value.killed = true
		}
	}
}

// digest is what is kept of a secret.
func digest(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }

// newSecret makes a random opaque string of n bytes. Tokens are as long as Microsoft's, well
// over 1 KB, so that whoever stores them in too small a place notices.
func newSecret(prefix string, n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}
