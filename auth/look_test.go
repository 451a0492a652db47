package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skylift/auth"
	"skylift/onedrive/fakegraph"
)

// registered is a stand-in that knows some apps, and the provider of one of them there.
func registered(t *testing.T, client, secret, tenant string) (*fakegraph.Server, *auth.Provider) {
	t.Helper()
	microsoft := fakegraph.New(fakegraph.Options{Apps: []fakegraph.App{
		{ID: "app", Secrets: []string{"marked-secret"}, ExpiredSecrets: []string{"marked-past"}},
		{ID: "personal", Secrets: []string{"marked-secret"}, SignInAudience: "PersonalMicrosoftAccount"},
		{ID: "one-org", Secrets: []string{"marked-secret"}, SignInAudience: "AzureADMyOrg"},
		{ID: "public"},
	}})
	host := httptest.NewServer(microsoft)
	t.Cleanup(host.Close)
	return microsoft, auth.NewProvider(auth.Config{ClientID: client, ClientSecret: secret, Tenant: tenant, LoginURL: host.URL, HTTP: host.Client()})
}

func TestTheClientIsTriedWithAMadeUpCode(t *testing.T) {
	trouble := &fakegraph.Fault{Phase: fakegraph.PhaseToken, Status: 503}
	for _, row := range []struct {
		name, client, secret, tenant string
		fault                        *fakegraph.Fault
		want                         auth.Kind
		number                       string
	}{
		{"both right", "app", "marked-secret", "common", nil, "", ""},
		{"both right for personal accounts", "personal", "marked-secret", "consumers", nil, "", ""},
		{"a wrong secret", "app", "marked-id-of-secret", "common", nil, auth.SecretWrong, "7000215"},
		{"a secret that has run out", "app", "marked-past", "common", nil, auth.SecretExpired, "7000222"},
		{"a public client", "public", "marked-secret", "common", nil, auth.SecretWrong, "700025"},
		{"an unknown client", "nobody", "marked-secret", "common", nil, auth.ClientUnknown, "700016"},
		{"a personal app at common", "personal", "marked-secret", "common", nil, auth.AudienceMismatch, "9002331"},
		{"an app of one organisation at common", "one-org", "marked-secret", "common", nil, auth.AudienceMismatch, "50194"},
		{"trouble at Microsoft's", "app", "marked-secret", "common", trouble, auth.TryAgain, "90033"},
	} {
		t.Run(row.name, func(t *testing.T) {
			microsoft, provider := registered(t, row.client, row.secret, row.tenant)
			if row.fault != nil {
				microsoft.Faults().Add(*row.fault)
			}
			err := provider.TryClient(t.Context())
			var e *auth.SignInError
			if row.want == "" && err != nil || row.want != "" && (!errors.As(err, &e) || e.Kind != row.want || e.AADSTS != row.number) {
				t.Errorf("got %v, want %q AADSTS%s", err, row.want, row.number)
			}
			if err != nil && strings.Contains(err.Error(), "marked") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// Which Microsoft looks at first is documented nowhere.
func TestAHostThatMindsTheCodeFirstProvesNothing(t *testing.T) {
	secrets := map[string]bool{}
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secrets[r.FormValue("client_secret")] = true
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"AADSTS9002313: Invalid request."}`))
	}))
	t.Cleanup(host.Close)
	provider := auth.NewProvider(auth.Config{ClientID: "app", ClientSecret: "marked-secret", LoginURL: host.URL, HTTP: host.Client()})
	if err := provider.TryClient(t.Context()); !errors.Is(err, auth.ErrUnproven) || len(secrets) != 2 {
		t.Errorf("got %v after %d secrets", err, len(secrets))
	}
}

func TestTheLoginHostIsLookedAt(t *testing.T) {
	for _, row := range []struct{ name, tenant, code string }{
		{"everybody", "common", ""},
		{"personal accounts", "consumers", ""},
		{"personal accounts by their id", auth.ConsumersTenant, ""},
		{"work accounts", "organizations", ""},
		{"one tenant", "7A3D2F10-5B64-4C0E-9E1F-0C9D8E7F6A5B", "90002"},
	} {
		_, provider := registered(t, "app", "marked-secret", row.tenant)
		host, err := provider.LookAtHost(t.Context())
		var e *auth.SignInError
		if row.code == "" && err != nil || row.code != "" && (!errors.As(err, &e) || e.AADSTS != row.code) {
			t.Errorf("%s: got %v, want AADSTS%s", row.name, err, row.code)
		}
		if d := host.Clock.Sub(host.Seen).Abs(); d > 5*time.Second {
			t.Errorf("%s: the clocks of one machine are %s apart", row.name, d)
		}
	}
}

func TestALoginHostOfOthersIsNotTaken(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"another tenant": func(body string) string { return strings.Replace(body, "{tenantid}", auth.ConsumersTenant, 1) },
		"endpoints elsewhere": func(body string) string {
			return strings.Replace(body, `token_endpoint":"http://127.0.0.1`, `token_endpoint":"http://evil.example`, 1)
		},
	} {
		microsoft := fakegraph.New(fakegraph.Options{})
		host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			microsoft.ServeHTTP(answer, r)
			w.WriteHeader(answer.Code)
			_, _ = w.Write([]byte(change(answer.Body.String())))
		}))
		t.Cleanup(host.Close)
		provider := auth.NewProvider(auth.Config{ClientID: "app", LoginURL: host.URL, HTTP: host.Client()})
		var e *auth.SignInError
		if _, err := provider.LookAtHost(t.Context()); !errors.As(err, &e) || e.Kind != auth.Misconfigured {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
