package fakegraph

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// signingKey signs ID tokens.
type signingKey struct {
	private *rsa.PrivateKey
	id      string // kid and x5t: the thumbprint of the certificate
	cert    string // x5c
}

// keyring holds the signing keys of work and of personal accounts, newest first, two of each at
// most. Keys are made when first needed, since that takes a good part of a second.
type keyring struct {
	mu             sync.Mutex
	work, personal []*signingKey
}

// signing is the key that signs for an account.
func (k *keyring) signing(personal bool) *signingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fill()
	if personal {
		return k.personal[0]
	}
	return k.work[0]
}

// published are the keys that may have signed a token still in use.
func (k *keyring) published() (work, personal []*signingKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fill()
	return k.work, k.personal
}

func (k *keyring) fill() {
	if k.work == nil {
		k.work, k.personal = []*signingKey{newSigningKey()}, []*signingKey{newSigningKey()}
	}
}

// RotateKeys makes new signing keys that are used from now on. The ones before stay published
// until the next rotation, as Microsoft's do.
func (s *Server) RotateKeys() {
	k := &s.keys
	work, personal := newSigningKey(), newSigningKey()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fill()
	k.work, k.personal = []*signingKey{work, k.work[0]}, []*signingKey{personal, k.personal[0]}
}

func newSigningKey() *signingKey {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // no randomness: nothing works
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "accounts.accesscontrol.windows.net (demo)"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		panic(err) // the template is ours
	}
	thumb := sha1.Sum(cert)
	return &signingKey{
		private: private, id: base64.RawURLEncoding.EncodeToString(thumb[:]),
		cert: base64.StdEncoding.EncodeToString(cert),
	}
}

// sign makes a compact JWT of claims.
func (k *signingKey) sign(claims any) string {
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", k.id)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k.private}, options)
	if err != nil {
		panic(err) // key and algorithm are ours
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // claims are ours
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return compact
}

// jwk is the key as published. Each one says which issuer it signs for: a key of the consumers'
// tenant must not be taken for another's tokens.
// https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-signing-key-issuer
func (k *signingKey) jwk(issuer string) map[string]any {
	public := k.private.Public().(*rsa.PublicKey)
	return map[string]any{
		"kty": "RSA", "use": "sig", "kid": k.id, "x5t": k.id, "x5c": []string{k.cert}, "issuer": issuer,
		"n": base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),

		"cloud_instance_name": "microsoftonline.com",
	}
}

// keySet serves /{tenant}/discovery/v2.0/keys.
func (s *Server) keySet(w http.ResponseWriter, r *http.Request) {
	t, e := s.tenantOf(r.PathValue("tenant"))
	if e != nil {
		s.refuse(w, r, e)
		return
	}
	s.count("keys")
	work, personal := s.keys.published()
	base, list := s.base(r), []map[string]any{}
	if t.id != ConsumersTenant {
		for _, key := range work {
			list = append(list, key.jwk(t.issuer(base)))
		}
	}
	if t.id == "" || t.id == ConsumersTenant {
		for _, key := range personal {
			list = append(list, key.jwk(base+"/"+ConsumersTenant+"/v2.0"))
		}
	}
	publicDocument(w, map[string]any{"keys": list})
}

// publicDocument answers with JSON that every script may read.
func publicDocument(w http.ResponseWriter, body any) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Methods", "GET, OPTIONS")
	w.Header().Set("Cache-Control", "max-age=86400, private")
	writeJSON(w, http.StatusOK, body)
}
