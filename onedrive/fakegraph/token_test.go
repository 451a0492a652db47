package fakegraph

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTokenRefuses(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	spent := v.code("robin@demo.example")
	refreshed := v.tokens(spent).text("refresh_token")
	old := v.code("robin@demo.example")
	v.Advance(10*time.Minute + time.Second)
	plain := v.code("robin@demo.example", "code_challenge", strings.Repeat("p", 43), "code_challenge_method", "-")
	bare := v.code("robin@demo.example", "code_challenge", "-", "code_challenge_method", "-")
	fresh := v.code("robin@demo.example")
	noor := v.redirect(v.press(v.press(v.authorize("common"), "login", "noor@demo.example"), "consent", "accept")).Get("code")
	for _, row := range []struct {
		name    string
		tenant  string
		form    url.Values
		headers []string
		status  int
		err     string
		number  int
	}{
		{"no grant type", "", codeForm(fresh, "grant_type", "-"), nil, 400, "invalid_request", 900144},
		{"the password grant", "", codeForm(fresh, "grant_type", "password"), nil, 400, "unsupported_grant_type", 70003},
		{"no client id", "", codeForm(fresh, "client_id", "-"), nil, 400, "invalid_request", 900144},
		{"two client ids", "", codeForm(fresh), []string{"Authorization", basic("another", "any")}, 400, "invalid_request", 9002313},
		{"no code", "", codeForm(""), nil, 400, "invalid_request", 900144},
		{"a code that nobody issued", "", codeForm("M.R3_BAY.x"), nil, 400, "invalid_grant", 70000},
		{"a made-up code", "", codeForm("made-up"), nil, 400, "invalid_grant", 9002313},
		{"a made-up code of a personal account", "consumers", codeForm("made-up"), nil, 400, "invalid_grant", 70000},
		{"a code of another client", "", codeForm(fresh, "client_id", "another"), nil, 400, "invalid_grant", 70000},
		{"a code used before (§6.2)", "", codeForm(spent), nil, 400, "invalid_grant", 54005},
		{"a code older than ten minutes (§6.2)", "", codeForm(old), nil, 400, "invalid_grant", 70008},
		{"another redirect URI", "", codeForm(fresh, "redirect_uri", testRedirect+"/"), nil, 400, "invalid_client", 500112},
		{"no redirect URI", "", codeForm(fresh, "redirect_uri", "-"), nil, 400, "invalid_client", 500112},
		{"no verifier", "", codeForm(fresh, "code_verifier", "-"), nil, 400, "invalid_grant", 501481},
		{"another verifier", "", codeForm(fresh, "code_verifier", strings.Repeat("v", 43)), nil, 400, "invalid_grant", 501481},
		{"the challenge as verifier", "", codeForm(fresh, "code_verifier", testChallenge), nil, 400, "invalid_grant", 501481},
		{"a verifier that is too short", "", codeForm(fresh, "code_verifier", "short"), nil, 400, "invalid_grant", 501481},
		{"a wrong plain verifier", "", codeForm(plain, "code_verifier", strings.Repeat("q", 43)), nil, 400, "invalid_grant", 501481},
		{"a verifier where no challenge was sent", "", codeForm(bare), nil, 400, "invalid_grant", 501481},
		{"neither secret nor PKCE", "", codeForm(bare, "code_verifier", "-", "client_secret", "-"), nil, 401, "invalid_client", 7000218},
		{"a secret beside an Origin header (§6.2)", "", codeForm(fresh), []string{"Origin", "https://spa.example"}, 400, "invalid_request", 9002326},
		{"a script without PKCE", "", codeForm(bare, "code_verifier", "-", "client_secret", "-"), []string{"Origin", "https://spa.example"}, 400, "invalid_request", 9002325},
		{"an account that the tenant doesn't admit", "organizations", codeForm(fresh), nil, 400, "invalid_grant", 500208},
		{"a permission beyond the consent (§6.6)", "", codeForm(noor, "scope", "Mail.Read"), nil, 400, "invalid_grant", 65001},
		{"a scope that is no permission", "", codeForm(fresh, "scope", "everything"), nil, 400, "invalid_scope", 70011},
		{"a tenant that nobody belongs to", "nowhere", codeForm(fresh), nil, 400, "invalid_request", 90002},
		{"no refresh token", "", refreshForm(""), nil, 400, "invalid_request", 900144},
		{"a refresh token that nobody issued", "", refreshForm("M.C5_BAY.x"), nil, 400, "invalid_grant", 70000},
		{"a refresh token of another client", "", refreshForm(refreshed, "client_id", "another"), nil, 400, "invalid_grant", 70000},
		{"a refresh without the secret that the code came with", "", refreshForm(refreshed, "client_secret", "-"), nil, 401, "invalid_client", 7000218},
		{"an access token as refresh token", "", refreshForm(v.Token("robin@demo.example")), nil, 400, "invalid_grant", 70000},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.tenant == "" {
				row.tenant = "common"
			}
			correlation := "8d4cdf3c-9a3b-4e6f-8f6e-3a2f2a6f8e11"
			got := v.post("/"+row.tenant+"/oauth2/v2.0/token", row.form, append(row.headers, "client-request-id", correlation)...)
			if got.StatusCode != row.status || got.text("error") != row.err {
				t.Fatalf("got %d %s, want %d %s", got.StatusCode, got.body, row.status, row.err)
			}
			if !strings.HasPrefix(got.text("error_description"), fmt.Sprintf("AADSTS%d: ", row.number)) || fmt.Sprint(got.json["error_codes"]) != fmt.Sprint([]any{float64(row.number)}) {
				t.Errorf("got %s, want number %d (§6.6)", got.body, row.number)
			}
			if got.text("correlation_id") != correlation || got.text("trace_id") == "" || got.text("timestamp") == "" || !strings.Contains(got.text("error_uri"), "/demo/error?code=") {
				t.Errorf("got %s, want ids, time and error_uri (§6.6)", got.body)
			}
			if strings.Contains(got.body, row.form.Get("code")) && row.form.Get("code") != "" || strings.Contains(got.body, refreshed) {
				t.Errorf("the answer repeats a secret: %s", got.body)
			}
		})
	}
	t.Run("a refused code stays good", func(t *testing.T) { v.tokens(fresh) })
	t.Run("a plain challenge takes the verifier itself", func(t *testing.T) { v.tokens(plain, "code_verifier", strings.Repeat("p", 43)) })
	t.Run("parameters of the address don't count", func(t *testing.T) {
		got := v.post("/common/oauth2/v2.0/token?"+codeForm(v.code("robin@demo.example")).Encode(), url.Values{})
		if got.StatusCode == http.StatusOK {
			t.Errorf("got %s", got.body)
		}
	})
	t.Run("GET is refused in words", func(t *testing.T) {
		if got := v.get("/common/oauth2/v2.0/token"); got.StatusCode != 400 || !strings.Contains(got.body, "AADSTS900561") {
			t.Errorf("got %d %s", got.StatusCode, got.body)
		}
	})
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(user)+":"+url.QueryEscape(password)))
}

func TestTokenAnswer(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	for _, row := range []struct {
		name    string
		scope   string
		headers []string
		form    []string
		answer  string // scope of the answer
		refresh bool
		id      bool
	}{
		{name: "all that Skylift asks for", scope: "openid profile offline_access User.Read Files.ReadWrite", answer: "User.Read Files.ReadWrite openid profile", refresh: true, id: true},
		{name: "refresh_token only with offline_access", scope: "openid Files.ReadWrite", answer: "Files.ReadWrite openid", id: true},
		{name: "id_token only with openid", scope: "offline_access Files.ReadWrite", answer: "Files.ReadWrite", refresh: true},
		{name: "permissions in Microsoft's spelling, each once", scope: "files.readwrite FILES.READWRITE user.read", answer: "Files.ReadWrite User.Read"},
		{name: "addresses of scopes come back as sent", scope: "https://graph.microsoft.com/files.readwrite", answer: "https://graph.microsoft.com/Files.ReadWrite"},
		{name: "the secret may come by Basic (§6.2)", scope: "Files.Read", headers: []string{"Authorization", basic(testClient, "any")}, form: []string{"client_id", "-", "client_secret", "-"}, answer: "Files.Read"},
		{name: "a public client needs only PKCE", scope: "Files.Read offline_access", form: []string{"client_secret", "-"}, answer: "Files.Read", refresh: true},
		{name: "a later scope narrows", scope: "Files.ReadWrite Files.Read offline_access", form: []string{"scope", "Files.Read"}, answer: "Files.Read", refresh: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := v.token(codeForm(v.code("alex@work.example", "scope", row.scope), row.form...), row.headers...)
			if got.StatusCode != 200 || got.text("token_type") != "Bearer" || got.text("scope") != row.answer || got.json["expires_in"] != 3599.0 {
				t.Fatalf("got %d %s, want scope %q", got.StatusCode, got.body, row.answer)
			}
			if (got.text("refresh_token") != "") != row.refresh || (got.text("id_token") != "") != row.id {
				t.Errorf("got %s, want refresh %v, id %v", got.body, row.refresh, row.id)
			}
			if !strings.Contains(got.Header.Get("Cache-Control"), "no-store") || got.json["client_info"] != nil {
				t.Errorf("got headers %v, body %s", got.Header, got.body)
			}
			if token := got.text("access_token"); !strings.HasPrefix(token, "demo-") || len(token) < 1000 {
				t.Errorf("access token %.20s… of %d bytes", token, len(token))
			}
		})
	}
	got := v.tokens(v.code("robin@demo.example"), "client_info", "1")
	info, err := base64.RawURLEncoding.DecodeString(got.text("client_info"))
	if want := `{"uid":"00000000-0000-0000-3f1c-9a2b64d07e11","utid":"` + ConsumersTenant + `"}`; err != nil || string(info) != want {
		t.Errorf("client_info %s (%v), want %s", info, err, want)
	}
}

func TestAccessTokensKeepToTheirScopes(t *testing.T) {
	v := newSite(t, Options{})
	v.SetConsent("robin@demo.example", "all")
	kims := "/v1.0/drives/" + driveID(v.account("kim@demo.example")) + "/root"
	for _, row := range []struct {
		name, scope, method, path string
		status                    int
	}{
		{"User.Read reads me", "User.Read", "GET", "/v1.0/me", 200},
		{"Files.Read does not", "Files.Read", "GET", "/v1.0/me", 403},
		{"openid reads userinfo", "openid", "GET", "/oidc/userinfo", 200},
		{"User.Read alone does not", "User.Read", "GET", "/oidc/userinfo", 403},
		{".default may all", "https://graph.microsoft.com/.default", "GET", "/v1.0/me", 200},
		{"Files.ReadWrite ends at the own drive", "Files.ReadWrite", "GET", kims, 403},
		{"Files.ReadWrite.All reaches others", "Files.ReadWrite.All", "GET", kims, 404}, // it is not shared
		{"Files.Read.All only reads them", "Files.Read.All Files.ReadWrite", "POST", kims + "/children", 403},
		{"a token for another resource may nothing", "api://" + testClient + "/access", "GET", "/v1.0/me", 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := v.tokens(v.code("robin@demo.example", "scope", row.scope)).text("access_token")
			r, _ := http.NewRequest(row.method, v.url+row.path, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			if got := v.do(r); got.StatusCode != row.status {
				t.Errorf("got %d %s, want %d", got.StatusCode, got.body, row.status)
			}
		})
	}
	for _, row := range []struct {
		scope, method string
		ok            bool
	}{{"Files.Read", "GET", true}, {"Files.Read", "POST", false}, {"Files.ReadWrite", "POST", true}, {"User.Read", "GET", false}} {
		r, _ := http.NewRequest(row.method, v.url+"/v1.0/me/drive", nil)
		r.Header.Set("Authorization", "Bearer "+v.tokens(v.code("robin@demo.example", "scope", row.scope)).text("access_token"))
		if a, _, e := v.bearer(r); (e == nil) != row.ok || row.ok && a.Login != "robin@demo.example" {
			t.Errorf("%s with %s: got %v, %v, want allowed %v", row.method, row.scope, a, e, row.ok)
		}
	}
}

func TestRefresh(t *testing.T) {
	v := newSite(t, Options{})
	first := v.tokens(v.code("alex@work.example")).text("refresh_token")
	second := v.token(refreshForm(first))
	if second.StatusCode != 200 || second.text("refresh_token") == "" || second.text("refresh_token") == first || second.text("id_token") == "" {
		t.Fatalf("got %d %s, want new tokens", second.StatusCode, second.body)
	}
	if got := v.me(second.text("access_token")); got.StatusCode != 200 || got.text("userPrincipalName") != "alex@work.example" {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	if got := v.token(refreshForm(first)); got.StatusCode != 200 {
		t.Errorf("the old token died: %s (§6.5: it isn't revoked at once)", got.body)
	}
	v.StrictRefresh(true)
	if got := v.token(refreshForm(first)); got.text("error") != "invalid_grant" {
		t.Errorf("strict: got %d %s for a used token", got.StatusCode, got.body)
	}
	v.StrictRefresh(false)
	last := second.text("refresh_token")
	v.Advance(89 * 24 * time.Hour)
	if got := v.token(refreshForm(last)); got.StatusCode != 200 {
		t.Errorf("after 89 days: %s", got.body)
	}
	v.Advance(2 * 24 * time.Hour)
	if got := v.token(refreshForm(last)); fmt.Sprint(got.json["error_codes"]) != "[700082]" {
		t.Errorf("after 91 days: got %s", got.body)
	}
	if got := v.Counts(); got["refresh"] != 5 || got["refreshReused"] != 2 {
		t.Errorf("counted %v, want 5 refreshes, 2 with a used token", got)
	}
}

func TestRevokedGrants(t *testing.T) {
	for login, number := range map[string]string{"alex@work.example": "[50173]", "robin@demo.example": "[70000]"} {
		v := newSite(t, Options{})
		got := v.tokens(v.code(login))
		other := v.tokens(v.code("kim@demo.example"))
		v.RevokeGrants(strings.ToUpper(login))
		if refused := v.token(refreshForm(got.text("refresh_token"))); refused.text("error") != "invalid_grant" || fmt.Sprint(refused.json["error_codes"]) != number {
			t.Errorf("%s: got %s, want %s", login, refused.body, number)
		}
		if me := v.me(got.text("access_token")); me.StatusCode != 200 {
			t.Errorf("%s: the access token died with the grant: %d", login, me.StatusCode)
		}
		if fine := v.token(refreshForm(other.text("refresh_token"))); fine.StatusCode != 200 {
			t.Errorf("another account's grant died too: %s", fine.body)
		}
		if again := v.token(refreshForm(v.tokens(v.code(login)).text("refresh_token"))); again.StatusCode != 200 {
			t.Errorf("%s: signing in again doesn't help: %s", login, again.body)
		}
	}
}

func TestAScriptsTokensLiveADay(t *testing.T) {
	now := time.Now()
	v := newSite(t, Options{Now: func() time.Time { return now }})
	origin := []string{"Origin", "https://spa.example"}
	first := v.token(codeForm(v.code("robin@demo.example"), "client_secret", "-"), origin...)
	if first.StatusCode != 200 || first.Header.Get("Access-Control-Allow-Origin") != "*" || first.json["refresh_token_expires_in"] != 86400.0 {
		t.Fatalf("got %d %v %s", first.StatusCode, first.Header, first.body)
	}
	token := first.text("refresh_token")
	if got := v.token(refreshForm(token, "client_secret", "-")); fmt.Sprint(got.json["error_codes"]) != "[9.002327e+06]" {
		t.Errorf("without Origin: got %s", got.body)
	}
	v.Advance(23 * time.Hour)
	second := v.token(refreshForm(token, "client_secret", "-"), origin...)
	if second.StatusCode != 200 || second.json["refresh_token_expires_in"] != 3600.0 {
		t.Fatalf("got %d %s", second.StatusCode, second.body)
	}
	v.Advance(2 * time.Hour)
	if got := v.token(refreshForm(second.text("refresh_token"), "client_secret", "-"), origin...); got.text("error") != "invalid_grant" {
		t.Errorf("after 25 hours: got %d %s", got.StatusCode, got.body)
	}
	r, _ := http.NewRequest("OPTIONS", v.url+"/common/oauth2/v2.0/token", nil)
	r.Header.Set("Access-Control-Request-Headers", "content-type")
	if got := v.do(r); got.StatusCode != 200 || got.Header.Get("Access-Control-Allow-Headers") != "content-type" {
		t.Errorf("preflight: %d %v", got.StatusCode, got.Header)
	}
}

func TestRegisteredApps(t *testing.T) {
	v := newSite(t, Options{Apps: []App{
		{ID: testClient, Name: "Skylift", Secrets: []string{"one", "two"}, ExpiredSecrets: []string{"past"}, RedirectURIs: []string{testRedirect}},
		{ID: "native", RedirectURIs: []string{testRedirect}},
		{ID: "personal", SignInAudience: "PersonalMicrosoftAccount", RedirectURIs: []string{testRedirect}},
		{ID: "work", SignInAudience: "AzureADMultipleOrgs", RedirectURIs: []string{testRedirect}},
		{ID: "one-org", SignInAudience: "AzureADMyOrg", RedirectURIs: []string{testRedirect}},
	}})
	for _, row := range []struct {
		name, tenant string
		changes      []string
		page, number string // the error page's, or the redirect's
	}{
		{"an unknown client id", "common", []string{"client_id", "nobody"}, "AADSTS700016", ""},
		{"a redirect URI that isn't registered", "common", []string{"redirect_uri", "http://localhost:8080/auth/Callback?from=demo"}, "AADSTS50011", ""},
		{"a redirect URI with a slash more", "common", []string{"redirect_uri", testRedirect + "/"}, "AADSTS50011", ""},
		{"127.0.0.1 is not localhost", "common", []string{"redirect_uri", "http://127.0.0.1:8080/auth/callback?from=demo"}, "AADSTS50011", ""},
		{"a personal app at common", "common", []string{"client_id", "personal"}, "AADSTS9002331", ""},
		{"a work app at consumers", "consumers", []string{"client_id", "work"}, "AADSTS9002332", ""},
		{"an app of one organisation at common", "common", []string{"client_id", "one-org"}, "AADSTS50194", ""},
		{"an app of one organisation at consumers", "consumers", []string{"client_id", "one-org"}, "AADSTS9002332", ""},
		{"a personal account in a work app", "common", []string{"client_id", "work", "prompt", "none", "login_hint", "robin@demo.example"}, "", "AADSTS500208"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := v.authorize(row.tenant, row.changes...)
			if row.page != "" && (got.StatusCode != 400 || !strings.Contains(got.body, row.page)) {
				t.Errorf("got %d, want a page with %s:\n%s", got.StatusCode, row.page, got.body)
			}
			if row.number != "" && !strings.HasPrefix(v.redirect(got).Get("error_description"), row.number) {
				t.Errorf("got %s, want %s", got.Header.Get("Location"), row.number)
			}
		})
	}
	for _, row := range []struct {
		name, client, secret string
		status               int
		number               string
	}{
		{"the first secret", testClient, "one", 200, ""},
		{"the second secret", testClient, "two", 200, ""},
		{"a wrong secret", testClient, "three", 401, "AADSTS7000215"},
		{"an expired secret", testClient, "past", 401, "AADSTS7000222"},
		{"no secret", testClient, "-", 401, "AADSTS7000218"},
		{"a public client", "native", "-", 200, ""},
		{"a public client with a secret", "native", "one", 401, "AADSTS700025"},
		{"an unknown client", "nobody", "one", 400, "AADSTS700016"},
		{"a made-up code with the secret", testClient, "one", 400, "AADSTS9002313"},
	} {
		t.Run(row.name, func(t *testing.T) {
			code := "x"
			if row.status == 200 {
				code = v.code("robin@demo.example", "client_id", row.client)
			}
			got := v.token(codeForm(code, "client_id", row.client, "client_secret", row.secret))
			if got.StatusCode != row.status || !strings.HasPrefix(got.text("error_description"), row.number) {
				t.Errorf("got %d %s, want %d %s", got.StatusCode, got.body, row.status, row.number)
			}
		})
	}
	t.Run("the port of localhost doesn't count (§6.7)", func(t *testing.T) {
		other := strings.Replace(testRedirect, "8080", "3000", 1)
		got := v.authorize("common", "redirect_uri", other, "prompt", "none", "login_hint", "robin@demo.example")
		if to := got.Header.Get("Location"); !strings.HasPrefix(to, other) {
			t.Errorf("went to %q", to)
		}
	})
	t.Run("the page names the app", func(t *testing.T) {
		if got := v.authorize("common"); !strings.Contains(got.body, "<strong>Skylift</strong>") {
			t.Errorf("got %s", got.body)
		}
	})
	t.Run("logout only goes to registered addresses", func(t *testing.T) {
		if got := v.get("/common/oauth2/v2.0/logout?post_logout_redirect_uri=http://evil.example/"); got.StatusCode != 200 {
			t.Errorf("went to %s", got.Header.Get("Location"))
		}
	})
}

func TestDeviceCode(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	form := url.Values{"client_id": {testClient}, "scope": {"openid offline_access Files.ReadWrite"}}
	start := func() (answer, url.Values) {
		got := v.post("/common/oauth2/v2.0/devicecode", form)
		if got.StatusCode != 200 || got.json["interval"] != 5.0 || got.json["expires_in"] != 900.0 || !strings.Contains(got.text("message"), got.text("user_code")) {
			t.Fatalf("got %d %s", got.StatusCode, got.body)
		}
		return got, url.Values{"client_id": {testClient}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {got.text("device_code")}}
	}
	poll := func(form url.Values, want string) answer {
		t.Helper()
		got := v.token(form)
		if got.text("error") != want {
			t.Errorf("got %d %s, want %q", got.StatusCode, got.body, want)
		}
		return got
	}
	enter := func(code string) answer {
		page := v.get("/common/oauth2/deviceauth")
		return v.post("/common/oauth2/deviceauth", url.Values{"otc": {code}}, "Referer", page.Request.URL.String())
	}

	got, form1 := start()
	if want := v.url + "/common/oauth2/deviceauth"; got.text("verification_uri") != want {
		t.Errorf("verification_uri %q, want %q", got.text("verification_uri"), want)
	}
	poll(form1, "authorization_pending")
	poll(with(form1, "client_id", "another"), "bad_verification_code")
	if page := enter("WRONG"); !strings.Contains(page.body, "didn&#39;t work") {
		t.Errorf("a wrong code: %s", page.body)
	}
	done := v.press(enter(" "+strings.ToLower(got.text("user_code"))), "login", "robin@demo.example")
	if !strings.Contains(done.body, "You have signed in") {
		t.Errorf("got %s", done.body)
	}
	answer := poll(form1, "")
	if answer.text("refresh_token") == "" || answer.text("id_token") == "" {
		t.Errorf("got %s", answer.body)
	}
	if again := v.token(refreshForm(answer.text("refresh_token"), "client_secret", "-")); again.StatusCode != 200 {
		t.Errorf("refresh: %s", again.body)
	}
	poll(form1, "invalid_grant") // used

	got, form2 := start()
	v.press(enter(got.text("user_code")), "cancel", "1")
	poll(form2, "authorization_declined")

	got, form3 := start()
	consent := v.press(enter(got.text("user_code")), "login", "noor@demo.example")
	poll(form3, "authorization_pending")
	v.press(consent, "consent", "accept")
	poll(form3, "")

	got, form4 := start()
	v.Advance(16 * time.Minute)
	poll(form4, "expired_token")
	if page := enter(got.text("user_code")); !strings.Contains(page.body, "didn&#39;t work") {
		t.Errorf("an expired code: %s", page.body)
	}
}

func TestOfHundredRedemptionsOneWins(t *testing.T) {
	v := newSite(t, Options{})
	form := codeForm(v.code("robin@demo.example", "scope", "Files.ReadWrite"))
	var won, reused int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			response, err := http.PostForm(v.url+"/common/oauth2/v2.0/token", form)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			switch response.StatusCode {
			case http.StatusOK:
				won++
			case http.StatusBadRequest:
				reused++
			}
		})
	}
	wg.Wait()
	if won != 1 || reused != 99 {
		t.Errorf("%d won, %d were told 54005; want 1 and 99", won, reused)
	}
}

func TestManySignInsAtOnce(t *testing.T) {
	v := newSite(t, Options{})
	logins := []string{"robin@demo.example", "kim@demo.example", "alex@work.example"}
	var wg sync.WaitGroup
	for i := range 12 {
		login := logins[i%len(logins)]
		wg.Go(func() {
			mine := &site{Server: v.Server, t: t, url: v.url}
			mine.newBrowser()
			for range 5 {
				got := mine.tokens(mine.code(login))
				me := mine.me(mine.token(refreshForm(got.text("refresh_token"))).text("access_token"))
				if me.text("userPrincipalName") != login {
					t.Errorf("got %s, want %s", me.body, login)
				}
			}
			if i == 5 {
				v.RotateKeys()
				v.ExpireTokens("noor@demo.example")
				v.RevokeGrants("noor@demo.example")
			}
		})
	}
	wg.Wait()
}

func TestShelfStaysSmall(t *testing.T) {
	s := newShelf[int, int](10)
	now := time.Now()
	for i := range 1000 {
		s.put(i, i, now.Add(time.Minute))
		if i%3 == 0 {
			s.drop(i)
		}
	}
	if len(s.items) > 10 || len(s.order) > 30 {
		t.Errorf("%d items, %d in order; want at most 10 and 30", len(s.items), len(s.order))
	}
	if _, _, ok := s.get(998, now); !ok {
		t.Error("the newest went")
	}
	if _, _, ok := s.get(900, now); ok {
		t.Error("an old one stayed")
	}
	if _, expired, ok := s.get(998, now.Add(time.Minute)); !ok || !expired {
		t.Error("an entry doesn't expire on time")
	}
}
