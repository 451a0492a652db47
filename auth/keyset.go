package auth

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	keysLife    = 24 * time.Hour   // Microsoft: look for new keys daily
	keysPause   = 30 * time.Second // without a look after one in vain
	keysMaxBody = 1 << 20
	minRSABits  = 2048
)

// keySet holds the login host's signing keys. Unlike go-oidc's it minds the issuer that stands
// on each key: the host's key list serves all tenants of the world, and a key that is one
// tenant's must validate only that tenant's tokens.
// https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-issuer
type keySet struct {
	client      *http.Client
	base        string // login URL; metadata must not lead away from its origin
	metadataURL string
	now         func() time.Time

	flight  singleflight.Group
	mu      sync.Mutex // guards all below
	keys    map[string]signingKey
	tenant  string    // the one that the metadata's issuer names, "" when it is the template
	fetched time.Time // when keys came
	missed  time.Time // when a look last did not bring the key that was wanted
}

type signingKey struct {
	public *rsa.PublicKey
	issuer string // "" or with {tenantid}: any tenant's
}

// VerifySignature returns the payload of a token that one of the keys signed.
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	token, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(token.Signatures) != 1 {
		return nil, untrusted("form")
	}
	key, err := k.key(ctx, token.Signatures[0].Protected.KeyID)
	if err != nil {
		return nil, err
	}
	payload, err := token.Verify(key.public)
	if err != nil {
		return nil, untrusted("signature")
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, untrusted("claims")
	}
	if key.issuer != "" && strings.ReplaceAll(key.issuer, "{tenantid}", c.TenantID) != c.Issuer {
		return nil, untrusted("key of another issuer")
	}
	return payload, nil
}

// key finds a key by its id, and looks for new ones when it is unknown or the list is old.
func (k *keySet) key(ctx context.Context, id string) (signingKey, error) {
	key, known, look := k.cached(id)
	if look {
		// The fetch belongs to all who wait for it, so it does not end with the first of them.
		_, err, _ := k.flight.Do("", func() (any, error) {
			return nil, k.fetch(context.WithoutCancel(ctx))
		})
		if err == nil {
			key, known, _ = k.cached(id)
		}
		if err != nil || !known {
			k.miss()
		}
		if err != nil && !known {
			return signingKey{}, err
		}
	}
	if !known {
		return signingKey{}, untrusted("unknown key")
	}
	return key, nil
}

func (k *keySet) cached(id string) (key signingKey, known, look bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, known = k.keys[id]
	now := k.now()
	old := now.Sub(k.fetched) > keysLife
	rested := now.Sub(k.missed) > keysPause || now.Before(k.missed)
	return key, known, len(k.keys) == 0 || (old || !known) && rested
}

func (k *keySet) miss() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.missed = k.now()
}

func (k *keySet) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if _, err := k.get(ctx, k.metadataURL, &metadata); err != nil {
		return err
	}
	if !sameOrigin(metadata.JWKSURI, k.base) || !strings.HasPrefix(metadata.Issuer, k.base+"/") {
		return &SignInError{Kind: Misconfigured, Detail: "the login host's metadata speaks for another host"}
	}
	var list struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if _, err := k.get(ctx, metadata.JWKSURI, &list); err != nil {
		return err
	}
	keys := map[string]signingKey{}
	for _, raw := range list.Keys {
		if id, key, ok := parseKey(raw); ok {
			keys[id] = key
		}
	}
	if len(keys) == 0 {
		return &SignInError{Kind: TryAgain, Detail: "the login host has no signing keys"}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.fetched, k.tenant = keys, k.now(), ""
	if tenant := strings.TrimSuffix(strings.TrimPrefix(metadata.Issuer, k.base+"/"), "/v2.0"); guid.MatchString(tenant) {
		k.tenant = tenant
	}
	return nil
}

// onlyTenant is the tenant that the login host's metadata speaks for, "" when for many.
func (k *keySet) onlyTenant() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tenant
}

// parseKey reads one entry of a key list; those that cannot sign our tokens are passed over.
func parseKey(raw []byte) (string, signingKey, bool) {
	var head struct {
		Use    string `json:"use"`
		Alg    string `json:"alg"`
		Issuer string `json:"issuer"`
	}
	var key jose.JSONWebKey
	if json.Unmarshal(raw, &head) != nil || json.Unmarshal(raw, &key) != nil {
		return "", signingKey{}, false
	}
	public, isRSA := key.Key.(*rsa.PublicKey)
	switch {
	case !isRSA, key.KeyID == "", public.N.BitLen() < minRSABits,
		head.Use != "" && head.Use != "sig", head.Alg != "" && head.Alg != "RS256":
		return "", signingKey{}, false
	}
	return key.KeyID, signingKey{public, head.Issuer}, true
}

// get fetches a public document; the header comes with every answer. What a refusal is called is kept, so that
// a tenant that does not exist shows.
func (k *keySet) get(ctx context.Context, address string, into any) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &SignInError{Kind: Misconfigured, Detail: "login address"}
	}
	if k.client == nil {
		return nil, errNoClient
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := k.client.Do(request)
	if err != nil {
		return nil, unreachable(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, keysMaxBody))
	switch {
	case err != nil:
		return response.Header, unreachable(err)
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return response.Header, &SignInError{Kind: TryAgain, Detail: fmt.Sprintf("login host answered %d", response.StatusCode)}
	case response.StatusCode != http.StatusOK:
		return response.Header, refusedDocument(response.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return response.Header, &SignInError{Kind: TryAgain, Detail: "login host sent no JSON"}
	}
	return response.Header, nil
}

// refusedDocument is the error of a 4xx for metadata or keys.
func refusedDocument(status int, body []byte) error {
	var refusal struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &refusal) // best effort: a proxy's page has none
	e := signInError(refusal.Code, refusal.Description)
	e.Kind, e.Detail = Misconfigured, fmt.Sprintf("login host answered %d for its metadata or keys", status)
	return e
}

// unreachable drops the address from a network error, and keeps a caller's cancellation.
func unreachable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &SignInError{Kind: TryAgain, Detail: "login host not reached", cause: err}
}

func sameOrigin(address, base string) bool {
	a, err := url.Parse(address)
	if err != nil {
		return false
	}
	b, err := url.Parse(base)
	return err == nil && a.Scheme == b.Scheme && a.Host == b.Host && a.User == nil
}
