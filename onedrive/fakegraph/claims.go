package fakegraph

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// idLife is how long an ID token is good: an hour, a day for personal accounts.
func (a *Account) idLife() time.Duration {
	if a.Personal() {
		return 24 * time.Hour
	}
	return time.Hour
}

// idToken makes the ID token of a grant.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
func (s *Server) idToken(r *http.Request, g *grant, asked scopes) string {
	a, now := g.account, s.now()
	uti := newSecret("", 16)
	claims := map[string]any{
		"ver": "2.0", "iss": s.base(r) + "/" + a.TenantID + "/v2.0", "aud": g.client, "tid": a.TenantID,
		"sub": a.subject(g.client), "exp": now.Add(a.idLife()).Unix(), "uti": uti, "rh": "0." + uti + ".",
		// Microsoft dates its tokens back by five minutes for clocks that are slow.
		"iat": now.Add(-5 * time.Minute).Unix(), "nbf": now.Add(-5 * time.Minute).Unix(),
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	if asked.has("profile") {
		claims["name"], claims["preferred_username"], claims["oid"] = a.Name, a.Login, a.ObjectID
	}
	if asked.has("email") {
		claims["email"] = a.Login
	}
	return s.keys.signing(a.Personal()).sign(claims)
}

// subject is the sub claim: another one for each app, as Microsoft's.
func (a *Account) subject(client string) string {
	sum := sha256.Sum256([]byte("sub\x00" + client + "\x00" + a.TenantID + "\x00" + a.ObjectID))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// clientInfo is what Microsoft's libraries key their caches by.
func (a *Account) clientInfo() string {
	info, err := json.Marshal(map[string]string{"uid": a.ObjectID, "utid": a.TenantID})
	if err != nil {
		panic(err) // two strings
	}
	return base64.RawURLEncoding.EncodeToString(info)
}
