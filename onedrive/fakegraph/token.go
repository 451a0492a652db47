package fakegraph

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// Lives of refresh tokens: from each use, and for browser scripts from the sign-in.
// https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime
const (
	refreshLife    = 90 * 24 * time.Hour
	refreshLifeSPA = 24 * time.Hour
)

// refresh is one refresh token.
type refresh struct {
	grant *grant
	used  bool // redeemed before; guarded by login.mu
}

// token serves /{tenant}/oauth2/v2.0/token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if crossOrigin(w, r) {
		return
	}
	t, who, e := s.readTokenRequest(w, r)
	if e != nil {
		s.refuse(w, r, e)
		return
	}
	phases := []Phase{PhaseToken}
	if r.PostForm.Get("grant_type") == "refresh_token" {
		phases = append(phases, PhaseRefresh)
	}
	s.withLoginFaults(w, r, s.tokenOwner(r), phases, func(w http.ResponseWriter) { s.redeem(w, r, t, who) })
}

// redeem answers a token request by its grant type.
func (s *Server) redeem(w http.ResponseWriter, r *http.Request, t tenant, who credentials) {
	var g *grant
	var asked scopes
	var e *stsError
	switch grantType := r.PostForm.Get("grant_type"); grantType {
	case "":
		e = sts(900144, "grant_type")
	case "authorization_code":
		g, asked, e = s.redeemCode(r, t, who)
	case "refresh_token":
		g, asked, e = s.redeemRefresh(r, t, who)
	case "urn:ietf:params:oauth:grant-type:device_code", "device_code":
		g, asked, e = s.redeemDevice(r, t, who)
	default:
		e = sts(70003, clip(grantType, 80))
	}
	if e != nil {
		s.refuse(w, r, e)
		return
	}
	w.Header().Set("x-ms-request-id", newGUID())
	w.Header().Set("client-request-id", correlationID(r))
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, s.tokenAnswer(r, g, asked))
}

// crossOrigin lets browser scripts read the answer and answers their preflight.
func crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodOptions {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	w.WriteHeader(http.StatusOK)
	return true
}

// readTokenRequest checks what is common to all programs' calls: method, form, tenant, client.
func (s *Server) readTokenRequest(w http.ResponseWriter, r *http.Request) (tenant, credentials, *stsError) {
	if r.Method != http.MethodPost {
		return tenant{}, credentials{}, sts(900561, r.Method)
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return tenant{}, credentials{}, sts(9002313)
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return tenant{}, credentials{}, sts(9000411, clip(name, 40))
		}
	}
	t, e := s.tenantOf(r.PathValue("tenant"))
	if e != nil {
		return t, credentials{}, e
	}
	who, e := s.authenticate(r)
	if e != nil {
		return t, who, e
	}
	app, e := s.app(who.client)
	if e == nil {
		e = app.checkAudience(t)
	}
	if origin := r.Header.Get("Origin"); e == nil && origin != "" && who.confidential {
		// A registration of type Web can't be redeemed from a page.
		e = sts(9002326, clip(origin, 80))
	}
	return t, who, e
}

// redeemCode is grant_type=authorization_code.
func (s *Server) redeemCode(r *http.Request, t tenant, who credentials) (*grant, scopes, *stsError) {
	value, spa := r.PostForm.Get("code"), r.Header.Get("Origin") != ""
	if value == "" {
		return nil, scopes{}, sts(900144, "code")
	}
	if !looksLikeCode(value) && t.id != ConsumersTenant {
		// https://github.com/Azure-Samples/ms-identity-dotnet-webapi-azurefunctions/issues/3 and
		// OneDrive/onedrive-api-docs issue 1229: the number of a bad request with the word for a bad code.
		e := sts(9002313)
		e.oauth = "invalid_grant"
		return nil, scopes{}, e
	}
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	c, expired, ok := s.login.codes.get(digest(value), s.now())
	switch {
	case !ok || c.grant.client != who.client:
		return nil, scopes{}, sts(70000, "code")
	case c.used:
		s.count("codeReused")
		return nil, scopes{}, sts(54005)
	case expired:
		return nil, scopes{}, sts(70008)
	case c.literal != r.PostForm.Get("redirect_uri"):
		return nil, scopes{}, sts(500112, clip(r.PostForm.Get("redirect_uri"), 200))
	case !c.proof.verify(r.PostForm.Get("code_verifier")):
		return nil, scopes{}, sts(501481)
	case spa && c.proof.value == "":
		return nil, scopes{}, sts(9002325)
	case !spa && !who.confidential && c.proof.value == "":
		// A public client proves itself by PKCE or not at all; Microsoft tells one by its
		// registration, which the open server doesn't have.
		return nil, scopes{}, sts(7000218)
	}
	asked, e := s.askedScopes(r, c.grant, t)
	if e != nil {
		return nil, asked, e
	}
	c.used = true
	s.count("codeRedeemed")
	c.grant.confidential, c.grant.spa = who.confidential, spa
	return c.grant, asked, nil
}

// codePrefix is what the codes of this server begin with; Microsoft's for personal accounts begin with "M.".
const codePrefix = "demo-code-"

// looksLikeCode says whether a text is in the form of a code, whoever issued it.
func looksLikeCode(value string) bool {
	return strings.HasPrefix(value, codePrefix) || strings.HasPrefix(value, "M.")
}

// verify holds the verifier against the challenge. One without the other is refused, so that
// nobody can strip the challenge from the authorize request.
func (c challenge) verify(verifier string) bool {
	if c.value == "" {
		return verifier == ""
	}
	if !isVerifier(verifier) {
		return false
	}
	if c.method == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(verifier), []byte(c.value)) == 1
}

// redeemRefresh is grant_type=refresh_token.
func (s *Server) redeemRefresh(r *http.Request, t tenant, who credentials) (*grant, scopes, *stsError) {
	value := r.PostForm.Get("refresh_token")
	if value == "" {
		return nil, scopes{}, sts(900144, "refresh_token")
	}
	s.count("refresh")
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	old, expired, ok := s.login.refresh.get(digest(value), s.now())
	if !ok {
		old, ok = s.recall(value)
	}
	spa := r.Header.Get("Origin") != ""
	switch {
	case !ok || old.grant.client != who.client:
		return nil, scopes{}, sts(70000, "refresh_token")
	case old.grant.revoked:
		if old.grant.account.Personal() {
			return nil, scopes{}, sts(70000, "refresh_token")
		}
		return nil, scopes{}, sts(50173)
	case expired:
		return nil, scopes{}, sts(700082)
	case old.used && s.login.strict:
		s.count("refreshReused")
		return nil, scopes{}, sts(70000, "refresh_token")
	case old.grant.confidential && !who.confidential:
		return nil, scopes{}, sts(7000218)
	case old.grant.spa != spa:
		return nil, scopes{}, sts(9002327)
	}
	if old.used {
		s.count("refreshReused")
	}
	asked, e := s.askedScopes(r, old.grant, t)
	if e != nil {
		return nil, asked, e
	}
	old.used = true
	return old.grant, asked, nil
}

// askedScopes are the scopes of a token answer: those of the request if it names any, else
// those of the sign-in. What the sign-in didn't cover needs the account's consent.
func (s *Server) askedScopes(r *http.Request, g *grant, t tenant) (scopes, *stsError) {
	if e := t.admits(g.account, g.client); e != nil {
		e.oauth = "invalid_grant"
		return scopes{}, e
	}
	raw := r.PostForm.Get("scope")
	if raw == "" {
		return g.scopes, nil
	}
	asked, e := parseScopes(r, raw, g.client)
	if e != nil {
		return scopes{}, e
	}
	for _, name := range asked.permissions() {
		if (g.account.Consent != "" || g.account.Grants != nil) && !g.covers(name) {
			return scopes{}, sts(65001, g.client)
		}
	}
	if len(asked.permissions()) == 0 {
		asked.list, asked.graph = append(asked.list, g.scopes.permissions()...), g.scopes.graph
	}
	for _, name := range g.scopes.list {
		if isOpenIDScope(name) && !asked.has(name) {
			asked.list = append(asked.list, name)
		}
	}
	return asked, nil
}

// covers says whether a permission was granted at sign-in.
func (g *grant) covers(name string) bool {
	for _, have := range g.scopes.permissions() {
		if strings.EqualFold(bareScope(have), bareScope(name)) || bareScope(name) == ".default" {
			return true
		}
	}
	return false
}

// tokenAnswer issues the tokens of a grant.
func (s *Server) tokenAnswer(r *http.Request, g *grant, asked scopes) map[string]any {
	seconds := int(accessLife/time.Second) - 1
	answer := map[string]any{
		"token_type": "Bearer", "scope": asked.answer(), "access_token": s.issueAccess(g, asked),
		"expires_in": seconds, "ext_expires_in": seconds, "refresh_in": seconds / 2,
	}
	if asked.has("offline_access") {
		expires := s.now().Add(refreshLife)
		if g.spa {
			expires = g.started.Add(refreshLifeSPA)
			answer["refresh_token_expires_in"] = int(expires.Sub(s.now()) / time.Second)
		}
		value := s.newRefresh(g, expires)
		s.login.mu.Lock()
		s.login.refresh.put(digest(value), &refresh{grant: g}, expires)
		s.login.mu.Unlock()
		answer["refresh_token"] = value
	}
	if asked.has("openid") {
		answer["id_token"] = s.idToken(r, g, asked)
	}
	if r.PostForm.Get("client_info") == "1" {
		answer["client_info"] = g.account.clientInfo()
	}
	return answer
}

// RevokeGrants ends all sign-ins of an account: its refresh tokens answer invalid_grant. Access
// tokens stay good until they expire, as Microsoft's do.
func (s *Server) RevokeGrants(login string) {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	s.login.ended[strings.ToLower(login)] = s.now()
	for _, item := range s.login.refresh.items {
		if strings.EqualFold(item.value.grant.account.Login, login) {
			item.value.grant.revoked = true
		}
	}
}

// StrictRefresh makes used refresh tokens die (true) or live on (false).
func (s *Server) StrictRefresh(on bool) {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	s.login.strict = on
}

// strictRefresh reports whether used refresh tokens die.
func (s *Server) strictRefresh() bool {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	return s.login.strict
}
