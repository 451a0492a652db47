package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func TestKeyRotationAndItsLimits(t *testing.T) {
	h := newLoginHost(t, "common")
	good := func(kid string, key *rsa.PrivateKey) func(string) string {
		return func(n string) string { return sign(t, key, jose.RS256, kid, h.goodClaims(n)) }
	}
	for range 3 {
		if _, err := h.signIn(t, good("k1", h.key)); err != nil {
			t.Fatal(err)
		}
	}
	if calls := h.keyCalls.Load(); calls != 1 {
		t.Errorf("keys fetched %d times for three sign-ins", calls)
	}
	h.set(func() { h.keys = append(h.keys, h.jwk("k2", rsaKeys()[1], "")) })
	if _, err := h.signIn(t, good("k2", rsaKeys()[1])); err != nil {
		t.Errorf("a key that is listed since: %v", err)
	}
	for i := range 20 {
		if _, err := h.signIn(t, good(fmt.Sprint("junk", i), rsaKeys()[1])); kindOf(err) != Untrusted {
			t.Errorf("unknown key: %v", err)
		}
	}
	if calls := h.keyCalls.Load(); calls != 3 {
		t.Errorf("keys fetched %d times: unknown key ids make us hammer the login host", calls)
	}
	h.set(func() { h.keys = h.keys[1:] })
	h.clock.Advance(keysLife + time.Second)
	if _, err := h.signIn(t, good("k1", h.key)); kindOf(err) != Untrusted {
		t.Errorf("a key withdrawn a day ago: %v", err)
	}
}

func TestOldKeysServeWhileTheHostIsAway(t *testing.T) {
	h := newLoginHost(t, "common")
	token := func(n string) string { return sign(t, h.key, jose.RS256, "k1", h.goodClaims(n)) }
	if _, err := h.signIn(t, token); err != nil {
		t.Fatal(err)
	}
	h.set(func() { h.keys = nil })
	h.clock.Advance(keysLife + time.Second)
	if _, err := h.signIn(t, token); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestMetadataOfAnotherHostIsRefused(t *testing.T) {
	for name, metadata := range map[string]map[string]string{
		"keys elsewhere":          {"jwks_uri": "https://evil.example/keys"},
		"keys at a look-alike":    {"jwks_uri": "http://user@127.0.0.1/keys"},
		"keys are no address":     {"jwks_uri": ":"},
		"issuer of another host":  {"issuer": "https://evil.example/{tenantid}/v2.0"},
		"issuer of a longer host": {"issuer": "http://127.0.0.1.evil.example/{tenantid}/v2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newLoginHost(t, "common")
			h.metadata = metadata
			_, err := h.signIn(t, func(n string) string { return sign(t, h.key, jose.RS256, "k1", h.goodClaims(n)) })
			if kindOf(err) != Misconfigured {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWeakOrForeignKeysAreNotUsed(t *testing.T) {
	h := newLoginHost(t, "common")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go makes no weak keys: ", err)
	}
	raw, _ := json.Marshal(h.jwk("weak", weak, ""))
	if _, _, ok := parseKey(raw); ok {
		t.Error("a key of 1,024 bits is used")
	}
	for name, change := range map[string]any{"use": "enc", "alg": "RS512", "kid": "", "kty": "EC", "n": "?"} {
		jwk := h.jwk("k1", h.key, "")
		jwk[name] = change
		raw, _ := json.Marshal(jwk)
		if _, _, ok := parseKey(raw); ok {
			t.Errorf("%s = %v is used", name, change)
		}
	}
}

func TestAnswersThatAreNotForUs(t *testing.T) {
	h := newLoginHost(t, "common")
	_, pending := h.provider.Begin(BeginOptions{})
	_, other := h.provider.Begin(BeginOptions{})
	for _, row := range []struct {
		name  string
		query url.Values
		want  Kind
	}{
		{"no state", url.Values{"code": {"x"}}, WrongState},
		{"another sign-in's state", url.Values{"code": {"x"}, "state": {other.State}}, WrongState},
		{"two states", url.Values{"code": {"x"}, "state": {pending.State, other.State}}, WrongState},
		{"an error with a wrong state", url.Values{"error": {"access_denied"}, "state": {"x"}}, WrongState},
		{"no code", url.Values{"state": {pending.State}}, TryAgain},
	} {
		if _, _, err := h.provider.Finish(t.Context(), pending, row.query); kindOf(err) != row.want {
			t.Errorf("%s: got %v", row.name, err)
		}
	}
	if _, _, err := h.provider.Finish(t.Context(), Pending{Expires: h.clock.Now().Add(time.Hour)}, url.Values{"code": {"x"}, "state": {""}}); kindOf(err) != WrongState {
		t.Errorf("an empty pending: %v", err)
	}
	h.clock.Advance(PendingLife + time.Second)
	if _, _, err := h.provider.Finish(t.Context(), pending, url.Values{"code": {"x"}, "state": {pending.State}}); kindOf(err) != Expired {
		t.Errorf("late: %v", err)
	}
	if h.form != nil {
		t.Error("a code that is not ours was sent on")
	}
}
