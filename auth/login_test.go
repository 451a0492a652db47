package auth

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
	"pgregory.net/rapid"
)

func TestBeginAsksMicrosoftForWhatItDocuments(t *testing.T) {
	h := newLoginHost(t, "common")
	address, pending := h.provider.Begin(BeginOptions{Return: "//evil.example", Purpose: "panel", Challenge: "c", LoginHint: "robin@demo.example", Prompt: "login"})
	u := mustParse(t, address)
	if got := strings.TrimPrefix(address[:strings.Index(address, "?")], h.URL); got != "/common/oauth2/v2.0/authorize" {
		t.Errorf("path %q", got)
	}
	for name, want := range map[string]string{
		"client_id": clientID, "response_type": "code", "response_mode": "query", "redirect_uri": "https://skylift.example/auth/callback",
		"scope": "openid profile offline_access Files.ReadWrite", "code_challenge_method": "S256",
		"code_challenge": oauth2.S256ChallengeFromVerifier(pending.Verifier), "state": pending.State, "nonce": pending.Nonce,
		"login_hint": "robin@demo.example", "prompt": "login",
	} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if pending.Return != "/" || pending.Purpose != "panel" || pending.Challenge != "c" {
		t.Errorf("pending %+v", pending)
	}
	if strings.Contains(address, pending.Verifier) || strings.Contains(address, "secret") {
		t.Error("the address shows a secret")
	}
	address, other := h.provider.Begin(BeginOptions{Prompt: "select_account", LoginHint: "robin@demo.example"})
	if mustParse(t, address).Query().Has("login_hint") {
		t.Error("login_hint goes with select_account")
	}
	if other.State == pending.State || other.Nonce == pending.Nonce || other.Verifier == pending.Verifier {
		t.Error("two sign-ins share a secret")
	}
	if h.keyCalls.Load() != 0 {
		t.Error("the network was used before the first answer")
	}
}

func TestFinishReturnsUserAndToken(t *testing.T) {
	h := newLoginHost(t, "common")
	address, pending := h.provider.Begin(BeginOptions{Return: "/settings"})
	h.set(func() {
		h.idToken = sign(t, h.key, jose.RS256, "k1", h.goodClaims(mustParse(t, address).Query().Get("nonce")))
	})
	user, token, err := h.provider.Finish(t.Context(), pending, url.Values{"code": {"c0de"}, "state": {pending.State}})
	if err != nil {
		t.Fatal(err)
	}
	if user != robin || !user.Personal() {
		t.Errorf("got %+v", user)
	}
	if token.AccessToken != "marked-access" || token.RefreshToken != "marked-refresh" || token.Expiry.Sub(h.clock.Now()) != 3599*time.Second {
		t.Errorf("token expires %v", token.Expiry.Sub(h.clock.Now()))
	}
	for name, want := range map[string]string{
		"grant_type": "authorization_code", "code": "c0de", "code_verifier": pending.Verifier, "client_id": clientID,
		"client_secret": "marked-client-secret", "redirect_uri": "https://skylift.example/auth/callback",
	} {
		if got := h.form.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestForgedIDTokensAreRefused(t *testing.T) {
	h := newLoginHost(t, "common")
	own, foreign := h.key, rsaKeys()[1]
	h.keys = append(h.keys,
		h.jwk("msa", foreign, h.URL+"/"+ConsumersTenant+"/v2.0"),
		h.jwk("tenant", foreign, h.URL+"/"+alex.TenantID+"/v2.0"),
		h.jwk("plain", foreign, ""),
		map[string]any{"kty": "oct", "kid": "oct", "k": "c2VjcmV0"})
	with := func(change map[string]any) func(string) string {
		return func(nonce string) string {
			claims := h.goodClaims(nonce)
			for name, value := range change {
				if value == nil {
					delete(claims, name)
				} else {
					claims[name] = value
				}
			}
			return sign(t, own, jose.RS256, "k1", claims)
		}
	}
	now := h.clock.Now()
	for _, row := range []struct {
		name  string
		token func(nonce string) string
	}{
		{"signed by another key", func(n string) string { return sign(t, foreign, jose.RS256, "k1", h.goodClaims(n)) }},
		{"signed by a key that is not listed", func(n string) string { return sign(t, foreign, jose.RS256, "nobody", h.goodClaims(n)) }},
		{"no key id", func(n string) string { return sign(t, own, jose.RS256, "", h.goodClaims(n)) }},
		{"HS256 with the public key", func(n string) string {
			return sign(t, own.N.Bytes(), jose.HS256, "k1", h.goodClaims(n))
		}},
		{"alg none", func(n string) string { return unsigned(h.goodClaims(n)) }},
		{"RS512 instead of RS256", func(n string) string { return sign(t, own, jose.RS512, "k1", h.goodClaims(n)) }},
		{"PS256 instead of RS256", func(n string) string { return sign(t, own, jose.PS256, "k1", h.goodClaims(n)) }},
		{"issuer of a foreign host", with(map[string]any{"iss": "https://evil.example/" + robin.TenantID + "/v2.0"})},
		{"issuer of the v1 endpoint", with(map[string]any{"iss": "https://sts.windows.net/" + robin.TenantID + "/"})},
		{"issuer without the version", with(map[string]any{"iss": h.URL + "/" + robin.TenantID})},
		{"issuer left out", with(map[string]any{"iss": nil})},
		{"tid of another tenant", with(map[string]any{"tid": alex.TenantID})},
		{"tid that climbs", with(map[string]any{"tid": "../x", "iss": h.URL + "/../x/v2.0"})},
		{"tid that is the template", with(map[string]any{"tid": "{tenantid}", "iss": h.URL + "/{tenantid}/v2.0"})},
		{"tid in upper case", with(map[string]any{"tid": "AAAAAAAA-2222-3333-4444-555555555555", "iss": h.URL + "/AAAAAAAA-2222-3333-4444-555555555555/v2.0"})},
		{"tid left out", with(map[string]any{"tid": nil})},
		{"tid is common", with(map[string]any{"tid": "common", "iss": h.URL + "/common/v2.0"})},
		{"oid left out", with(map[string]any{"oid": nil})},
		{"oid is an e-mail address", with(map[string]any{"oid": "robin@demo.example"})},
		{"oid is the empty id", with(map[string]any{"oid": emptyGUID})},
		{"wrong audience", with(map[string]any{"aud": "somebody"})},
		{"two audiences", with(map[string]any{"aud": []string{clientID, "somebody"}})},
		{"no audience", with(map[string]any{"aud": nil})},
		{"another nonce", with(map[string]any{"nonce": "x"})},
		{"no nonce", with(map[string]any{"nonce": nil})},
		{"expired", with(map[string]any{"exp": now.Add(-time.Minute).Unix()})},
		{"no expiry", with(map[string]any{"exp": nil})},
		{"not valid yet", with(map[string]any{"nbf": now.Add(time.Hour).Unix()})},
		{"tid is a number", with(map[string]any{"tid": 7})},
		{"a tenant's key for another tenant", func(n string) string { return sign(t, foreign, jose.RS256, "tenant", h.goodClaims(n)) }},
		{"the personal accounts' key for a work tenant", func(n string) string {
			claims := h.goodClaims(n)
			claims["tid"], claims["oid"], claims["iss"] = alex.TenantID, alex.ObjectID, h.URL+"/"+alex.TenantID+"/v2.0"
			return sign(t, foreign, jose.RS256, "msa", claims)
		}},
		{"issuer of a foreign host with a key of no issuer", func(n string) string {
			claims := h.goodClaims(n)
			claims["iss"] = "https://evil.example/" + robin.TenantID + "/v2.0"
			return sign(t, foreign, jose.RS256, "plain", claims)
		}},
		{"tid of another tenant with a key of no issuer", func(n string) string {
			claims := h.goodClaims(n)
			claims["tid"] = alex.TenantID
			return sign(t, foreign, jose.RS256, "plain", claims)
		}},
		{"payload swapped after signing", func(n string) string {
			good, bad := sign(t, own, jose.RS256, "k1", h.goodClaims(n)), unsigned(h.goodClaims(n))
			parts := strings.Split(good, ".")
			return parts[0] + "." + strings.Split(bad, ".")[1] + "x." + parts[2]
		}},
		{"empty", func(string) string { return "" }},
		{"not a token", func(string) string { return "a.b.c" }},
		{"four parts", func(n string) string { return sign(t, own, jose.RS256, "k1", h.goodClaims(n)) + ".x" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			if user, err := h.signIn(t, row.token); kindOf(err) != Untrusted || user != (User{}) {
				t.Errorf("got %+v, %v", user, err)
			}
		})
	}
	if user, err := h.signIn(t, with(nil)); err != nil || user != robin {
		t.Errorf("the honest token: %+v, %v", user, err)
	}
	if _, err := h.signIn(t, func(n string) string { return sign(t, foreign, jose.RS256, "msa", h.goodClaims(n)) }); err != nil {
		t.Errorf("the personal accounts' key for a personal account: %v", err)
	}
}

func unsigned(claims any) string {
	payload, _ := json.Marshal(claims)
	return rawBase64([]byte(`{"alg":"none","kid":"k1"}`)) + "." + rawBase64(payload) + "."
}

func TestTenantSetting(t *testing.T) {
	for _, row := range []struct {
		tenant string
		user   User
		want   Kind
	}{
		{"common", robin, ""}, {"common", alex, ""}, {"", alex, ""},
		{"consumers", robin, ""}, {"consumers", alex, WrongAccountType},
		{"organizations", robin, WrongAccountType}, {"organizations", alex, ""},
		{alex.TenantID, alex, ""}, {strings.ToUpper(alex.TenantID), alex, ""}, {alex.TenantID, robin, WrongAccountType},
		{ConsumersTenant, robin, ""}, {ConsumersTenant, alex, WrongAccountType},
	} {
		t.Run(row.tenant+" with "+row.user.Name, func(t *testing.T) {
			h := newLoginHost(t, row.tenant)
			_, err := h.signIn(t, func(nonce string) string {
				claims := h.goodClaims(nonce)
				claims["tid"], claims["oid"], claims["iss"] = row.user.TenantID, row.user.ObjectID, h.URL+"/"+row.user.TenantID+"/v2.0"
				return sign(t, h.key, jose.RS256, "k1", claims)
			})
			if kindOf(err) != row.want || row.want == "" && err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSameAddressIsNotTheSameUser(t *testing.T) {
	h := newLoginHost(t, "common")
	claim := func(oid string) User {
		user, err := h.signIn(t, func(nonce string) string {
			claims := h.goodClaims(nonce)
			claims["oid"], claims["email"] = oid, "shared@demo.example"
			return sign(t, h.key, jose.RS256, "k1", claims)
		})
		if err != nil {
			t.Fatal(err)
		}
		return user
	}
	one, two := claim("00000000-0000-0000-aaaa-000000000001"), claim("00000000-0000-0000-aaaa-000000000002")
	if one.ID == two.ID || one.Username != two.Username {
		t.Errorf("got %+v and %+v", one, two)
	}
}

// TestMutatedClaims changes any claims to anything: only tokens that still name robin in the
// form that Microsoft writes get through.
func TestMutatedClaims(t *testing.T) {
	h := newLoginHost(t, "common")
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"iss", "aud", "tid", "oid", "nonce", "exp", "nbf", "iat"}).Draw(rt, "claim")
		value := rapid.OneOf(
			rapid.Just[any](nil), rapid.Custom(func(t *rapid.T) any { return rapid.String().Draw(t, "text") }),
			rapid.Custom(func(t *rapid.T) any { return rapid.Int64().Draw(t, "number") }),
			rapid.Custom(func(t *rapid.T) any { return rapid.SliceOf(rapid.String()).Draw(t, "list") }),
			rapid.Just[any](map[string]any{"a": 1}), rapid.Just[any](true),
		).Draw(rt, "value")
		user, err := h.signIn(t, func(nonce string) string {
			claims := h.goodClaims(nonce)
			claims[name] = value
			return sign(t, h.key, jose.RS256, "k1", claims)
		})
		harmless := name == "iat" || name == "nbf" || name == "exp" // times may happen to be good ones
		if err == nil && (!harmless || user != robin) {
			rt.Fatalf("%s = %v gave %+v", name, value, user)
		}
		if err != nil && kindOf(err) != Untrusted {
			rt.Fatalf("%s = %v: %v", name, value, err)
		}
	})
}

func FuzzIDToken(f *testing.F) {
	h := newLoginHost(f, "common")
	good := sign(f, h.key, jose.RS256, "k1", h.goodClaims("n"))
	f.Add(good)
	f.Add(unsigned(h.goodClaims("n")))
	f.Add("..")
	f.Add(`{"payload":"","signatures":[]}`)
	f.Fuzz(func(t *testing.T, raw string) {
		user, err := h.provider.verify(context.Background(), raw, "n")
		if err == nil && (raw != good || user != robin) {
			t.Errorf("accepted %q as %+v", raw, user)
		}
	})
}

func TestSharedFilesAreAskedForOnDemand(t *testing.T) {
	h := newLoginHost(t, "common")
	for _, shared := range []bool{false, true} {
		address, pending := h.provider.Begin(BeginOptions{Shared: shared})
		scope := strings.Fields(mustParse(t, address).Query().Get("scope"))
		if slices.Contains(scope, SharedFiles) != shared || pending.Shared != shared || !slices.Contains(scope, "Files.ReadWrite") {
			t.Errorf("shared %v: asked for %v", shared, scope)
		}
	}
	for given, want := range map[string]bool{
		"": false, "Files.ReadWrite": false, "openid Files.ReadWrite.All": true, "https://graph.microsoft.com/files.readwrite.all profile": true, "Files.ReadWrite.AllX": false,
	} {
		token := (&oauth2.Token{}).WithExtra(map[string]any{"scope": given})
		if Grants(token, SharedFiles) != want {
			t.Errorf("%q grants it: %v", given, !want)
		}
	}
}
