package fakegraph_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"skylift/onedrive/fakegraph"
)

// signIn goes the whole way with other people's libraries: x/oauth2 for the code, PKCE and the
// refresh, go-oidc for the ID token. It gives the token and the verified ID token.
func signIn(t *testing.T, base, tenant, login, nonce string, keys oidc.KeySet) (*oauth2.Token, *oidc.IDToken, error) {
	t.Helper()
	config := oauth2.Config{
		ClientID: "an-app", ClientSecret: "a secret with + and &", RedirectURL: "http://app.example/callback",
		Scopes: []string{"openid", "profile", "email", "offline_access", "User.Read", "Files.ReadWrite"},
		Endpoint: oauth2.Endpoint{
			AuthURL: base + "/" + tenant + "/oauth2/v2.0/authorize", TokenURL: base + "/" + tenant + "/oauth2/v2.0/token",
		},
	}
	verifier := oauth2.GenerateVerifier()
	address := config.AuthCodeURL("the state", oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce),
		oauth2.SetAuthURLParam("prompt", "none"), oauth2.SetAuthURLParam("login_hint", login))
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	back, err := response.Location()
	if err != nil {
		t.Fatal(err)
	}
	token, err := config.Exchange(t.Context(), back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	check := oidc.NewVerifier("", keys, &oidc.Config{ClientID: "an-app", SkipIssuerCheck: true, SupportedSigningAlgs: []string{oidc.RS256}})
	id, err := check.Verify(t.Context(), raw)
	return token, id, err
}

// metadata is the part of the discovery document that the test reads.
type metadata struct {
	Issuer  string `json:"issuer"`
	KeysURI string `json:"jwks_uri"`
	Auth    string `json:"authorization_endpoint"`
	Token   string `json:"token_endpoint"`
	Logout  string `json:"end_session_endpoint"`
	Device  string `json:"device_authorization_endpoint"`
	User    string `json:"userinfo_endpoint"`
}

func read[T any](t *testing.T, address string) (out T) {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", address, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

const work = "5f1b3e0a-8c57-4a83-9d27-61d0f3a7c2be"

func TestSignInWithOtherPeoplesLibraries(t *testing.T) {
	server := httptest.NewServer(fakegraph.New(fakegraph.Options{Prefix: "/demo"}))
	defer server.Close()
	base := server.URL + "/demo"
	for _, row := range []struct{ tenant, login, issuer, tid string }{
		{"common", "robin@demo.example", base + "/{tenantid}/v2.0", fakegraph.ConsumersTenant},
		{"common", "alex@work.example", base + "/{tenantid}/v2.0", work},
		{"consumers", "kim@demo.example", base + "/" + fakegraph.ConsumersTenant + "/v2.0", fakegraph.ConsumersTenant},
		{"organizations", "alex@work.example", base + "/{tenantid}/v2.0", work},
		{work, "alex@work.example", base + "/" + work + "/v2.0", work},
		{"work.example", "alex@work.example", base + "/" + work + "/v2.0", work},
	} {
		t.Run(row.tenant+" "+row.login, func(t *testing.T) {
			m := read[metadata](t, base+"/"+row.tenant+"/v2.0/.well-known/openid-configuration")
			if m.Issuer != row.issuer {
				t.Errorf("issuer %q, want %q", m.Issuer, row.issuer)
			}
			for _, address := range []string{m.KeysURI, m.Auth, m.Token, m.Logout, m.Device, m.User} {
				if !strings.HasPrefix(address, base+"/") {
					t.Errorf("address %q isn't under %s", address, base)
				}
			}
			token, id, err := signIn(t, base, row.tenant, row.login, "the nonce", oidc.NewRemoteKeySet(context.Background(), m.KeysURI))
			if err != nil {
				t.Fatal(err)
			}
			var claims struct {
				Tid, Oid, Ver, Name, Email string
				Username                   string `json:"preferred_username"`
			}
			if err := id.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if id.Nonce != "the nonce" || id.Issuer != base+"/"+row.tid+"/v2.0" || claims.Tid != row.tid || claims.Oid == "" || claims.Ver != "2.0" || claims.Username != row.login || claims.Email != row.login || claims.Name == "" {
				t.Errorf("got %+v %+v", id, claims)
			}
			fresh, err := (&oauth2.Config{ClientID: "an-app", ClientSecret: "x", Endpoint: oauth2.Endpoint{TokenURL: m.Token}}).
				TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil || fresh.RefreshToken == token.RefreshToken || fresh.AccessToken == token.AccessToken {
				t.Errorf("refresh: %v", err)
			}
		})
	}
}

func TestSubjectsArePairwise(t *testing.T) {
	server := httptest.NewServer(fakegraph.New(fakegraph.Options{}))
	defer server.Close()
	keys := oidc.NewRemoteKeySet(context.Background(), server.URL+"/common/discovery/v2.0/keys")
	seen := map[string]bool{}
	for _, login := range []string{"robin@demo.example", "kim@demo.example", "alex@work.example"} {
		_, id, err := signIn(t, server.URL, "common", login, "n", keys)
		if err != nil || seen[id.Subject] {
			t.Errorf("%s: %v, subject %v", login, err, id)
		}
		seen[id.Subject] = true
	}
}

func TestKeysNameTheirIssuerAndRotate(t *testing.T) {
	fake := fakegraph.New(fakegraph.Options{})
	server := httptest.NewServer(fake)
	defer server.Close()
	type keySet struct {
		Keys []struct {
			Kid, Kty, Use, Issuer, N, E string
			X5c                         []string
		}
	}
	issuers := func(tenant string) (out []string) {
		for _, key := range read[keySet](t, server.URL+"/"+tenant+"/discovery/v2.0/keys").Keys {
			if key.Kid == "" || key.Kty != "RSA" || key.Use != "sig" || key.N == "" || len(key.X5c) != 1 {
				t.Errorf("key %+v", key)
			}
			out = append(out, strings.TrimPrefix(key.Issuer, server.URL))
		}
		slices.Sort(out)
		return out
	}
	personal, template, own := "/"+fakegraph.ConsumersTenant+"/v2.0", "/{tenantid}/v2.0", "/"+work+"/v2.0"
	for tenant, want := range map[string][]string{
		"common": {personal, template}, "organizations": {personal, template}, "consumers": {personal}, work: {own},
	} {
		if got := issuers(tenant); !slices.Equal(got, want) {
			t.Errorf("%s: keys for %v, want %v", tenant, got, want)
		}
	}
	keys := oidc.NewRemoteKeySet(context.Background(), server.URL+"/common/discovery/v2.0/keys")
	if _, _, err := signIn(t, server.URL, "common", "robin@demo.example", "n", keys); err != nil {
		t.Fatal(err)
	}
	before := read[keySet](t, server.URL+"/consumers/discovery/v2.0/keys").Keys[0].Kid
	fake.RotateKeys()
	if _, _, err := signIn(t, server.URL, "common", "robin@demo.example", "n", keys); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
	after := read[keySet](t, server.URL+"/consumers/discovery/v2.0/keys").Keys
	if len(after) != 2 || after[0].Kid == before || after[1].Kid != before {
		t.Errorf("after a rotation: %+v, want the new key and %s", after, before)
	}
	stale := oidc.StaticKeySet{}
	if _, _, err := signIn(t, server.URL, "common", "robin@demo.example", "n", &stale); err == nil {
		t.Error("a token passed without its key")
	}
}

func TestInstanceDiscovery(t *testing.T) {
	server := httptest.NewServer(fakegraph.New(fakegraph.Options{Prefix: "/demo"}))
	defer server.Close()
	base := server.URL + "/demo"
	got := read[struct {
		Endpoint string `json:"tenant_discovery_endpoint"`
		Metadata []struct{ Aliases []string }
	}](t, base+"/common/discovery/instance?api-version=1.1&authorization_endpoint="+base+"/consumers/oauth2/v2.0/authorize")
	if got.Endpoint != base+"/consumers/v2.0/.well-known/openid-configuration" || len(got.Metadata) != 1 {
		t.Errorf("got %+v", got)
	}
	response, err := http.Get(base + "/common/discovery/instance?authorization_endpoint=https://evil.example/common/oauth2/v2.0/authorize")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("a foreign host: %s, want 400 (AADSTS50049)", response.Status)
	}
}
