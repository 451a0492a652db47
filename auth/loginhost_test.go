package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// loginHost is a login host whose every answer a test can bend: the stand-in of the demo is too
// honest for forgeries.
type loginHost struct {
	*httptest.Server
	provider *Provider
	clock    *clock
	key      *rsa.PrivateKey

	mu       sync.Mutex // guards all below
	idToken  string
	status   int               // of the token endpoint, when not 200
	failure  map[string]any    // body then
	keys     []map[string]any  // key list
	metadata map[string]string // replaces the metadata's fields
	form     url.Values        // last one that the token endpoint got
	keyCalls atomic.Int32
}

const clientID = "12345678-1234-1234-1234-123456789012"

var rsaKeys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		keys[i], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return keys
})

func newLoginHost(t testing.TB, tenant string) *loginHost {
	t.Helper()
	h := &loginHost{clock: newClock(), key: rsaKeys()[0], metadata: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", h.serveMetadata)
	mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", h.serveKeys)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", h.serveToken)
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	h.keys = []map[string]any{h.jwk("k1", h.key, h.URL+"/{tenantid}/v2.0")}
	h.provider = NewProvider(Config{
		ClientID: clientID, ClientSecret: "marked-client-secret", Tenant: tenant, LoginURL: h.URL,
		RedirectURL: "https://skylift.example/auth/callback", HTTP: h.Client(), Now: h.clock.Now,
	})
	return h
}

func (h *loginHost) jwk(id string, key *rsa.PrivateKey, issuer string) map[string]any {
	raw, _ := json.Marshal(jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig"})
	var jwk map[string]any
	json.Unmarshal(raw, &jwk)
	jwk["issuer"] = issuer
	return jwk
}

func (h *loginHost) serveMetadata(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	metadata := map[string]string{
		"issuer":   h.URL + "/{tenantid}/v2.0",
		"jwks_uri": h.URL + "/" + r.PathValue("tenant") + "/discovery/v2.0/keys",
	}
	for name, value := range h.metadata {
		metadata[name] = value
	}
	json.NewEncoder(w).Encode(metadata)
}

func (h *loginHost) serveKeys(w http.ResponseWriter, r *http.Request) {
	h.keyCalls.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	json.NewEncoder(w).Encode(map[string]any{"keys": h.keys})
}

func (h *loginHost) serveToken(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.form = r.PostForm
	w.Header().Set("Content-Type", "application/json")
	if h.status != 0 {
		w.WriteHeader(h.status)
		json.NewEncoder(w).Encode(h.failure)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{
		"token_type": "Bearer", "expires_in": 3599, "access_token": "marked-access", "refresh_token": "marked-refresh", "id_token": h.idToken,
	})
}

func (h *loginHost) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// goodClaims are what Microsoft would send for robin.
func (h *loginHost) goodClaims(nonce string) map[string]any {
	now := h.clock.Now()
	return map[string]any{
		"iss": h.URL + "/" + robin.TenantID + "/v2.0", "aud": clientID, "tid": robin.TenantID, "oid": robin.ObjectID, "sub": "pairwise",
		"nonce": nonce, "name": robin.Name, "preferred_username": robin.Username,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

func sign(t testing.TB, key any, algorithm jose.SignatureAlgorithm, id string, claims any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// signIn runs a whole sign-in whose ID token is made by token from the nonce.
func (h *loginHost) signIn(t testing.TB, token func(nonce string) string) (User, error) {
	t.Helper()
	address, pending := h.provider.Begin(BeginOptions{Return: "/"})
	query := mustParse(t, address).Query()
	h.set(func() { h.idToken = token(query.Get("nonce")) })
	user, _, err := h.provider.Finish(t.Context(), pending, url.Values{"code": {"marked-code"}, "state": {pending.State}})
	return user, err
}

func mustParse(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func kindOf(err error) Kind {
	var e *SignInError
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
