package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func TestEveryFamilyOfMicrosoftsErrorsHasItsKind(t *testing.T) {
	rows := map[Kind]string{
		RedirectUnknown:   "50011",
		WrongAccountType:  "50020 50034 500208 51004 16000",
		AudienceMismatch:  "50194 9002331 9002332 9002346 9001023 90124 90130",
		ClientUnknown:     "700016",
		SecretWrong:       "7000215 7000218 700025",
		SecretExpired:     "7000222",
		Expired:           "501481 50147 501491",
		Replayed:          "54005",
		SessionExpired:    "70000 70008 700082 70043 50173 50132 50133 50089",
		ConsentNeeded:     "65001",
		Declined:          "65004",
		AdminNeeded:       "65005 90094 90095 50105",
		InteractionNeeded: "50074 50076 50079 50058",
		Blocked:           "53000 53001 53003 530032",
		AccountLocked:     "50053 50055 50057",
		Loop:              "50196",
		Misconfigured:     "70011 700054",
		TryAgain:          "70012 90033 50033 90006 90024",
	}
	seen := 0
	for kind, numbers := range rows {
		for number := range strings.FieldsSeq(numbers) {
			seen++
			e := signInError("access_denied", "AADSTS"+number+": Some text about robin@demo.example. Trace ID: 1")
			if e.Kind != kind || e.AADSTS != number {
				t.Errorf("AADSTS%s is %s (%s), want %s", number, e.Kind, e.AADSTS, kind)
			}
			if strings.Contains(e.Error(), "robin") {
				t.Errorf("AADSTS%s: the error repeats Microsoft's text", number)
			}
		}
	}
	if seen != len(kindOfNumber) {
		t.Errorf("%d numbers tested, %d known", seen, len(kindOfNumber))
	}
}

func TestErrorsWithoutANumber(t *testing.T) {
	for _, row := range []struct {
		code, description string
		want              Kind
	}{
		{"access_denied", "The user has denied access", Declined},
		{"access_denied", "AADSTS99999999: a number of tomorrow", Declined},
		{"login_required", "", InteractionNeeded},
		{"consent_required", "", ConsentNeeded},
		{"server_error", "", TryAgain},
		{"temporarily_unavailable", "", TryAgain},
		{"invalid_scope", "", Misconfigured},
		{"something_else", "", Misconfigured},
		{"<script>", "AADSTS1<script>", Misconfigured},
		{"access_denied", "AADSTS65005x: glued", Declined},
	} {
		e := signInError(row.code, row.description)
		if e.Kind != row.want {
			t.Errorf("%s %q is %s, want %s", row.code, row.description, e.Kind, row.want)
		}
		if strings.Contains(e.Error(), "<") {
			t.Errorf("%q is shown as it came: %v", row.code, e)
		}
	}
}

func TestDeclinedConsentReachesTheCaller(t *testing.T) {
	h := newLoginHost(t, "common")
	_, pending := h.provider.Begin(BeginOptions{})
	_, _, err := h.provider.Finish(t.Context(), pending, url.Values{
		"state": {pending.State}, "error": {"access_denied"}, "error_description": {"AADSTS65004: User declined to consent"},
	})
	var e *SignInError
	if !errors.As(err, &e) || e.Kind != Declined || e.AADSTS != "65004" || e.Code != "access_denied" {
		t.Errorf("got %+v", err)
	}
}

func TestTokenEndpointErrors(t *testing.T) {
	for _, row := range []struct {
		name        string
		status      int
		body        map[string]any
		finish      Kind
		refresh     error
		wantNumbers string
	}{
		{"code used already", 400, failure("invalid_grant", 54005), Replayed, ErrSignInRequired, "54005"},
		{"verifier does not fit", 400, failure("invalid_grant", 501481), Expired, ErrSignInRequired, "501481"},
		{"code too old", 400, failure("invalid_grant", 70008), Expired, ErrSignInRequired, "70008"}, // whoever waited had no session yet
		{"grant revoked", 400, failure("invalid_grant", 50173), Expired, ErrSignInRequired, "50173"},
		{"extra verification", 400, failure("interaction_required", 50076), InteractionNeeded, ErrSignInRequired, "50076"},
		{"consent withdrawn", 400, failure("consent_required", 65001), ConsentNeeded, ErrSignInRequired, "65001"},
		{"wrong secret", 401, failure("invalid_client", 7000215), SecretWrong, ErrMisconfigured, "7000215"},
		{"secret has run out", 401, failure("invalid_client", 7000222), SecretExpired, ErrMisconfigured, "7000222"},
		{"client unknown", 400, failure("unauthorized_client", 700016), ClientUnknown, ErrMisconfigured, "700016"},
		{"personal service error with a grant code", 400, failure("invalid_grant", 70012), TryAgain, ErrSignInRequired, "70012"},
		{"bad scope", 400, failure("invalid_scope", 70011), Misconfigured, ErrMisconfigured, "70011"},
		{"busy", 503, failure("temporarily_unavailable", 90033), TryAgain, ErrTemporary, "90033"},
		{"temporary with 400", 400, failure("temporarily_unavailable", 0), TryAgain, ErrTemporary, ""},
		{"throttled", 429, map[string]any{}, TryAgain, ErrTemporary, ""},
		{"a broken gateway", 502, map[string]any{}, TryAgain, ErrTemporary, ""},
		{"a numbers list only", 400, map[string]any{"error": "invalid_grant", "error_codes": []int{70008}}, Expired, ErrSignInRequired, "70008"},
		{"a 5xx that says the grant is bad", 500, failure("invalid_grant", 50173), TryAgain, ErrTemporary, "50173"},
		{"a proxy's page", 403, nil, Misconfigured, ErrMisconfigured, ""},
		{"a redirect", 302, nil, Misconfigured, ErrMisconfigured, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newLoginHost(t, "common")
			h.status, h.failure = row.status, row.body
			_, err := h.signIn(t, func(n string) string { return sign(t, h.key, jose.RS256, "k1", h.goodClaims(n)) })
			var e *SignInError
			if !errors.As(err, &e) || e.Kind != row.finish || e.AADSTS != row.wantNumbers {
				t.Errorf("finish: got %v, want %s", err, row.finish)
			}
			_, err = h.provider.Refresh(t.Context(), "marked-old-refresh")
			for _, kind := range []error{ErrSignInRequired, ErrMisconfigured, ErrTemporary} {
				if got := errors.Is(err, kind); got != (kind == row.refresh) {
					t.Errorf("refresh: errors.Is(%v, %v) is %v", err, kind, got)
				}
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "marked") {
				t.Errorf("the error shows a token: %v", err)
			}
		})
	}
}

func failure(code string, number int) map[string]any {
	body := map[string]any{"error": code, "trace_id": "t", "correlation_id": "c"}
	if number != 0 {
		body["error_description"] = fmt.Sprintf("AADSTS%d: Words about robin@demo.example and marked-old-refresh", number)
		body["error_codes"] = []int{number}
	}
	return body
}

func TestUnreachableLoginHost(t *testing.T) {
	h := newLoginHost(t, "common")
	address, pending := h.provider.Begin(BeginOptions{})
	h.set(func() {
		h.idToken = sign(t, h.key, jose.RS256, "k1", h.goodClaims(mustParse(t, address).Query().Get("nonce")))
	})
	h.Close()
	_, err := h.provider.Refresh(t.Context(), "marked-old-refresh")
	if !errors.Is(err, ErrTemporary) || errors.Is(err, ErrSignInRequired) {
		t.Errorf("refresh: %v", err)
	}
	_, _, err = h.provider.Finish(t.Context(), pending, url.Values{"code": {"marked-code"}, "state": {pending.State}})
	if kindOf(err) != TryAgain || strings.Contains(err.Error(), "marked") {
		t.Errorf("finish: %v", err)
	}
	if _, err := h.provider.verify(t.Context(), h.idToken, "n"); kindOf(err) != TryAgain {
		t.Errorf("keys: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.provider.Refresh(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRefreshSendsWhatMicrosoftWants(t *testing.T) {
	h := newLoginHost(t, "consumers")
	token, err := h.provider.Refresh(t.Context(), "marked-old-refresh")
	if err != nil || token.RefreshToken != "marked-refresh" || token.AccessToken != "marked-access" {
		t.Fatalf("got %v", err)
	}
	for name, want := range map[string]string{"grant_type": "refresh_token", "refresh_token": "marked-old-refresh", "client_id": clientID, "client_secret": "marked-client-secret"} {
		if got := h.form.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, err := h.provider.Refresh(t.Context(), ""); !errors.Is(err, ErrSignInRequired) {
		t.Errorf("no refresh token: %v", err)
	}
}

func TestNoClientIsAnErrorNotTheDefaultClient(t *testing.T) {
	p := NewProvider(Config{ClientID: clientID})
	if _, err := p.Refresh(t.Context(), "x"); !errors.Is(err, errNoClient) {
		t.Errorf("got %v", err)
	}
	_, pending := p.Begin(BeginOptions{})
	if _, _, err := p.Finish(t.Context(), pending, url.Values{"state": {pending.State}, "code": {"x"}}); !errors.Is(err, errNoClient) {
		t.Errorf("got %v", err)
	}
}

func TestLogoutURL(t *testing.T) {
	p := NewProvider(Config{ClientID: clientID, LoginURL: "https://login.example/", Tenant: "consumers", RedirectURL: "https://skylift.example/auth/callback", HTTP: &http.Client{}})
	if got := p.LogoutURL(); got != "https://login.example/consumers/oauth2/v2.0/logout?post_logout_redirect_uri=https%3A%2F%2Fskylift.example%2Fauth%2Fcallback" {
		t.Errorf("got %s", got)
	}
}

func FuzzSignInError(f *testing.F) {
	f.Add("access_denied", "AADSTS65004: x")
	f.Add("\x00", "AADSTS")
	f.Fuzz(func(t *testing.T, code, description string) {
		e := signInError(code, description)
		if e.Kind == "" || len(e.Error()) > 200 || strings.ContainsAny(e.Error(), "<>\"\n\x00") {
			t.Errorf("got %q", e.Error())
		}
	})
}

var _ Refresher = (*Provider)(nil)
