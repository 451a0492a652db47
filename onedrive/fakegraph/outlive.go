package fakegraph

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// refreshPrefix begins every refresh token.
const refreshPrefix = "demo-refresh-"

// memo is what a refresh token carries of its grant when Options.Secret is set, so that a
// sign-in outlives the process as one at Microsoft outlives a restart of the app.
type memo struct {
	Login, Client, Tenant, TenantID string
	Scopes                          []string
	Graph, Confidential, SPA        bool
	Started, Expires                time.Time
}

// memoSeal is the cipher of memos; nil without a secret.
func memoSeal(secret []byte) cipher.AEAD {
	if len(secret) == 0 {
		return nil
	}
	key := sha256.Sum256(secret)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // impossible: the key is 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// newRefresh makes a refresh token: random, or a sealed memo of the grant.
func (s *Server) newRefresh(g *grant, expires time.Time) string {
	if s.memos == nil {
		return newSecret(refreshPrefix, 1000)
	}
	plain, err := json.Marshal(memo{
		Login: g.account.Login, Client: g.client, Tenant: g.tenant.name, TenantID: g.tenant.id,
		Scopes: g.scopes.list, Graph: g.scopes.graph, Confidential: g.confidential, SPA: g.spa,
		Started: g.started, Expires: expires,
	})
	if err != nil {
		panic(err) // impossible: strings, booleans and times
	}
	// As long as Microsoft's; JSON readers skip the spaces.
	plain = append(plain, strings.Repeat(" ", max(0, 1000-len(plain)))...)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(s.memos.Seal(nil, nil, plain, nil))
}

// recall finds the grant of a refresh token from before a restart and takes it up again. What was
// revoked or reset since the sign-in stays dead. login.mu is held.
func (s *Server) recall(token string) (*refresh, bool) {
	text, ok := strings.CutPrefix(token, refreshPrefix)
	if s.memos == nil || !ok {
		return nil, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, false
	}
	plain, err := s.memos.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, false
	}
	var m memo
	if json.Unmarshal(plain, &m) != nil {
		return nil, false
	}
	a := s.account(m.Login)
	if a == nil || !s.now().Before(m.Expires) || !m.Started.After(s.login.ended[strings.ToLower(m.Login)]) || !m.Started.After(s.login.ended[everybody]) {
		return nil, false
	}
	r := &refresh{grant: &grant{
		account: a, client: m.Client, scopes: scopes{list: slices.Clone(m.Scopes), graph: m.Graph}, tenant: tenant{name: m.Tenant, id: m.TenantID},
		confidential: m.Confidential, spa: m.SPA, started: m.Started,
	}}
	s.login.refresh.put(digest(token), r, m.Expires)
	return r, true
}

// everybody is the key of login.ended that counts for all accounts.
const everybody = ""
