package fakegraph

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestAuthorizeRefuses(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	for _, row := range []struct {
		name    string
		tenant  string
		changes []string
		page    string // what the error page says; empty: the error goes to the app
		err     string // error and start of error_description of the redirect
		number  string
	}{
		// Nowhere safe to answer to: the person is told (ENT v2-oauth2-auth-code-flow).
		{"no client id", "common", []string{"client_id", "-"}, "AADSTS900144", "", ""},
		{"no redirect URI", "common", []string{"redirect_uri", "-"}, "AADSTS900971", "", ""},
		{"a redirect URI without a host", "common", []string{"redirect_uri", "/callback"}, "AADSTS50011", "", ""},
		{"a script as redirect URI", "common", []string{"redirect_uri", "javascript:alert(1)"}, "AADSTS50011", "", ""},
		{"a redirect URI with a fragment", "common", []string{"redirect_uri", "http://localhost/x#y"}, "AADSTS50011", "", ""},
		{"a redirect URI with a password", "common", []string{"redirect_uri", "http://a:b@localhost/x"}, "AADSTS50011", "", ""},
		{"a tenant that nobody belongs to", "2f4a9838-26b7-47ee-be60-ccc1fdec5953", nil, "AADSTS90002", "", ""},
		{"a tenant name that is no domain", "nowhere", nil, "AADSTS90002", "", ""},
		{"a query that is too long", "common", []string{"state", strings.Repeat("s", 17<<10)}, "AADSTS90015", "", ""},
		// Errors that the app learns of (§6.6).
		{"no response type", "common", []string{"response_type", "-"}, "", "invalid_request", "AADSTS900144"},
		{"implicit id_token", "common", []string{"response_type", "id_token"}, "", "unsupported_response_type", "AADSTS700054"},
		{"hybrid code id_token", "common", []string{"response_type", "code id_token"}, "", "unsupported_response_type", "AADSTS700054"},
		{"implicit token", "common", []string{"response_type", "token"}, "", "unsupported_response_type", "AADSTS700051"},
		{"an unknown response type", "common", []string{"response_type", "saml"}, "", "unsupported_response_type", "AADSTS70005"},
		{"an unknown response mode", "common", []string{"response_mode", "web_message"}, "", "invalid_request", "AADSTS70007"},
		{"no scope", "common", []string{"scope", "-"}, "", "invalid_request", "AADSTS900144"},
		{"a scope that is no permission", "common", []string{"scope", "openid all-my-files"}, "", "invalid_scope", "AADSTS70011"},
		{".default beside a permission (§6.3)", "common", []string{"scope", "Files.Read https://graph.microsoft.com/.default"}, "", "invalid_scope", "AADSTS70011"},
		{"scopes of two resources", "common", []string{"scope", "Files.Read api://" + testClient + "/x"}, "", "invalid_request", "AADSTS28000"},
		{"a resource that nobody registered", "common", []string{"scope", "https://api.example/read"}, "", "invalid_resource", "AADSTS500011"},
		{"an unknown prompt", "common", []string{"prompt", "maybe"}, "", "invalid_request", "AADSTS90023"},
		{"an unknown PKCE method", "common", []string{"code_challenge_method", "S512"}, "", "invalid_request", "AADSTS50149"},
		{"a PKCE challenge that is too short", "common", []string{"code_challenge", "abc"}, "", "invalid_request", "AADSTS501491"},
		{"a PKCE method without challenge", "common", []string{"code_challenge", "-"}, "", "invalid_request", "AADSTS501491"},
		// prompt=none (ENT v2-oauth2-auth-code-flow).
		{"silent with nobody signed in", "common", []string{"prompt", "none"}, "", "login_required", "AADSTS50058"},
		{"silent for an unknown account", "common", []string{"prompt", "none", "login_hint", "who@demo.example"}, "", "login_required", "AADSTS50058"},
		{"silent for a work account at consumers (§6.1)", "consumers", []string{"prompt", "none", "login_hint", "alex@work.example"}, "", "interaction_required", "AADSTS500208"},
		{"silent for a personal account at organizations", "organizations", []string{"prompt", "none", "login_hint", "robin@demo.example"}, "", "interaction_required", "AADSTS500208"},
		{"silent for a personal account at a work tenant", "work.example", []string{"prompt", "none", "login_hint", "robin@demo.example"}, "", "interaction_required", "AADSTS50020"},
		{"silent without consent", "common", []string{"prompt", "none", "login_hint", "noor@demo.example"}, "", "consent_required", "AADSTS65001"},
		{"silent without the administrator's consent", "common", []string{"prompt", "none", "login_hint", "sam@work.example"}, "", "consent_required", "AADSTS90094"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := v.authorize(row.tenant, row.changes...)
			if row.page != "" {
				if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, row.page) {
					t.Fatalf("got %d, want a page with %s:\n%s", got.StatusCode, row.page, got.body)
				}
				return
			}
			q := v.redirect(got)
			if q.Get("error") != row.err || !strings.HasPrefix(q.Get("error_description"), row.number+":") {
				t.Errorf("got %v, want %s %s", q, row.err, row.number)
			}
			if q.Get("state") != "st&te=" || q.Get("from") != "demo" || q.Has("code") {
				t.Errorf("got %v, want the state and the address's own query back and no code", q)
			}
		})
	}
}

func TestAuthorizeRefusesDoubledParameters(t *testing.T) {
	v := newSite(t, Options{})
	got := v.get("/common/oauth2/v2.0/authorize?" + authorizeForm().Encode() + "&redirect_uri=http://evil.example/")
	if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "AADSTS9000411") {
		t.Errorf("got %d:\n%s", got.StatusCode, got.body)
	}
}

func TestAccountPage(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	for _, row := range []struct {
		name     string
		tenant   string
		changes  []string
		press    []string // name and value, page after page
		code     bool
		err      string
		says     string // the last page
		saysNot  string
		personal bool
	}{
		{name: "it shows every account with its note, and a way out", tenant: "common", says: "OneDrive refuses to fetch URLs"},
		{name: "it names the app", tenant: "common", says: "<strong>localhost:8080</strong>"},
		{name: "it says that it is a demo", tenant: "common", says: "Demo: simulated Microsoft"},
		{name: "domain_hint=consumers leaves out work accounts", tenant: "common", changes: []string{"domain_hint", "consumers"}, says: "robin@demo.example", saysNot: "alex@work.example"},
		{name: "domain_hint=organizations leaves out personal accounts", tenant: "common", changes: []string{"domain_hint", "organizations"}, says: "alex@work.example", saysNot: "robin@demo.example"},
		{name: "pressing an account goes back with a code", tenant: "common", press: []string{"login", "robin@demo.example"}, code: true},
		{name: "a work account gets in by its own tenant", tenant: workTenant, press: []string{"login", "alex@work.example"}, code: true},
		{name: "a work account gets in by its domain", tenant: "work.example", press: []string{"login", "alex@work.example"}, code: true},
		{name: "a personal account gets in by the consumers' id", tenant: ConsumersTenant, press: []string{"login", "robin@demo.example"}, code: true},
		{name: "cancel goes back with access_denied", tenant: "common", press: []string{"cancel", "1"}, err: "access_denied"},
		{name: "consumers refuses a work account", tenant: "consumers", press: []string{"login", "alex@work.example"}, says: "AADSTS500208"},
		{name: "organizations refuses a personal account", tenant: "organizations", press: []string{"login", "kim@demo.example"}, says: "AADSTS500208"},
		{name: "a work tenant refuses a personal account", tenant: "work.example", press: []string{"login", "kim@demo.example"}, says: "AADSTS50020"},
		{name: "another account is asked for by name", tenant: "common", press: []string{"other", "1"}, says: `name="login" type="text"`},
		{name: "the first sign-in of noor asks for consent", tenant: "common", press: []string{"login", "noor@demo.example"}, says: "Have full access to your files"},
		{name: "declined consent goes back with 65004", tenant: "common", press: []string{"login", "noor@demo.example", "consent", "decline"}, err: "access_denied AADSTS65004"},
		{name: "accepted consent goes back with a code", tenant: "common", press: []string{"login", "noor@demo.example", "consent", "accept"}, code: true},
		{name: "consent is remembered", tenant: "common", press: []string{"login", "noor@demo.example"}, code: true},
		{name: "a further permission needs consent again", tenant: "common", changes: []string{"scope", "openid Files.ReadWrite.All"}, press: []string{"login", "noor@demo.example"}, says: "all files you have access to"},
		{name: "prompt=consent always asks", tenant: "common", changes: []string{"prompt", "consent"}, press: []string{"login", "robin@demo.example"}, says: "Accept"},
		{name: "prompt=consent goes on after Accept", tenant: "common", changes: []string{"prompt", "consent"}, press: []string{"login", "robin@demo.example", "consent", "accept"}, code: true},
		{name: "sam needs an administrator", tenant: "common", press: []string{"login", "sam@work.example"}, says: "Need admin approval"},
		{name: "going back from there is access_denied 90094", tenant: "common", press: []string{"login", "sam@work.example", "consent", "decline"}, err: "access_denied AADSTS90094"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v.t = t
			v.newBrowser()
			got := v.authorize(row.tenant, row.changes...)
			for i := 0; i < len(row.press); i += 2 {
				got = v.press(got, row.press[i], row.press[i+1])
			}
			if row.code || row.err != "" {
				q := v.redirect(got)
				err, number, _ := strings.Cut(row.err, " ")
				if q.Has("code") != row.code || q.Get("error") != err || !strings.HasPrefix(q.Get("error_description"), number) || q.Get("state") != "st&te=" {
					t.Errorf("got %v, want code %v, error %q", q, row.code, row.err)
				}
				return
			}
			if !strings.Contains(got.body, row.says) || row.saysNot != "" && strings.Contains(got.body, row.saysNot) {
				t.Errorf("want a page with %q and without %q, got\n%s", row.says, row.saysNot, got.body)
			}
		})
	}
}

func TestAnAdministratorsConsentCannotBeForged(t *testing.T) {
	v := newSite(t, Options{})
	got := v.post("/common/oauth2/login", url.Values{"request": {authorizeForm().Encode()}, "login": {"sam@work.example"}, "consent": {"accept"}})
	if !strings.Contains(got.body, "Need admin approval") {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

// Somebody who is signed in is let through to any app at once, all files included; our own has to ask.
func TestOnlyOurOwnAppAsksForMore(t *testing.T) {
	v := newSite(t, Options{Own: "skylift"})
	for client, want := range map[string]string{testClient: "", "skylift": "consent_required"} {
		for _, scope := range []string{"openid Files.ReadWrite.All", "openid offline_access Files.Read Files.ReadWrite Files.Read.All Files.ReadWrite.All"} {
			q := v.redirect(v.authorize("common", "client_id", client, "scope", scope, "prompt", "none", "login_hint", "robin@demo.example"))
			if q.Get("error") != want || q.Has("code") != (want == "") {
				t.Errorf("%s, %s: %v", client, scope, q)
			}
		}
		if q := v.redirect(v.authorize("common", "client_id", client, "scope", "openid Files.ReadWrite", "prompt", "none", "login_hint", "robin@demo.example")); !q.Has("code") {
			t.Errorf("%s, own files: %v", client, q)
		}
	}
}

func TestBrowserSession(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	v.press(v.authorize("common"), "login", "robin@demo.example")
	for _, cookie := range v.browser.Jar.Cookies(mustParse(t, v.url+"/")) {
		if cookie.Name != sessionCookie {
			t.Errorf("cookie %s, want only %s", cookie.Name, sessionCookie)
		}
	}
	if cookies := v.browser.Jar.Cookies(mustParse(t, strings.TrimSuffix(v.url, "/demo")+"/")); len(cookies) > 0 {
		t.Errorf("cookies %v reach the app beside the prefix", cookies)
	}
	if q := v.redirect(v.authorize("common", "prompt", "none")); !q.Has("code") {
		t.Errorf("got %v, want the one signed in to be taken silently", q)
	}
	if q := v.redirect(v.authorize("common", "login_hint", "ROBIN@demo.example")); !q.Has("code") {
		t.Errorf("got %v, want the hinted account to be taken without a page", q)
	}
	for _, prompt := range []string{"login", "select_account"} {
		if got := v.authorize("common", "prompt", prompt, "login_hint", "robin@demo.example"); got.StatusCode != 200 {
			t.Errorf("prompt=%s: got %d, want the account page", prompt, got.StatusCode)
		}
	}
	if page := v.authorize("common"); !strings.Contains(page.body, "Signed in") {
		t.Error("the account page doesn't tell who is signed in")
	}
	v.press(v.authorize("common"), "login", "alex@work.example")
	if q := v.redirect(v.authorize("common", "prompt", "none")); !strings.HasPrefix(q.Get("error_description"), "AADSTS16000") {
		t.Errorf("got %v, want 16000 when two are signed in", q)
	}
	v.get("/common/oauth2/v2.0/logout?logout_hint=alex@work.example")
	if q := v.redirect(v.authorize("common", "prompt", "none")); !q.Has("code") {
		t.Errorf("got %v, want robin still signed in", q)
	}
	out := v.get("/common/oauth2/v2.0/logout?state=s1&post_logout_redirect_uri=" + url.QueryEscape(testRedirect))
	if to := out.Header.Get("Location"); out.StatusCode != 302 || to != testRedirect+"&state=s1" {
		t.Errorf("logout went to %d %q", out.StatusCode, to)
	}
	if q := v.redirect(v.authorize("common", "prompt", "none")); q.Get("error") != "login_required" {
		t.Errorf("got %v, want login_required after logout", q)
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestResponseModes(t *testing.T) {
	v := newSite(t, Options{})
	fragment := v.authorize("common", "prompt", "none", "login_hint", "robin@demo.example", "response_mode", "fragment")
	to, err := fragment.Location()
	if err != nil {
		t.Fatal(err)
	}
	if q, _ := url.ParseQuery(to.EscapedFragment()); q.Get("code") == "" || q.Get("state") != "st&te=" || to.RawQuery != "from=demo" {
		t.Errorf("fragment: got %s", to)
	}
	post := v.authorize("common", "prompt", "none", "login_hint", "robin@demo.example", "response_mode", "form_post")
	fields := map[string]string{}
	for _, m := range hiddenField.FindAllStringSubmatch(post.body, -1) {
		fields[m[1]] = html.UnescapeString(m[2])
	}
	if action := formAction.FindStringSubmatch(post.body); action == nil || html.UnescapeString(action[1]) != testRedirect || fields["code"] == "" || fields["state"] != "st&te=" {
		t.Errorf("form_post: got %v in\n%s", fields, post.body)
	}
	if !strings.Contains(post.body, "Continue") {
		t.Error("form_post has no button for browsers without script")
	}
	byPost := v.post("/common/oauth2/v2.0/authorize", authorizeForm("prompt", "none", "login_hint", "robin@demo.example"))
	if q := v.redirect(byPost); !q.Has("code") {
		t.Errorf("POST to authorize: got %v", q)
	}
}

func TestPagesAreStrict(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	page := v.authorize("common")
	pages := map[string]answer{
		"accounts": page, "other": v.press(page, "other", "1"), "consent": v.press(page, "login", "noor@demo.example"),
		"admin": v.press(page, "login", "sam@work.example"), "error": v.authorize("common", "client_id", "-"),
		"wrong account": v.press(v.authorize("consumers"), "login", "alex@work.example"), "code": v.get("/common/oauth2/deviceauth"),
		"signed out": v.get("/common/oauth2/v2.0/logout"), "error code": v.get("/error?code=54005"), "own sign-in": v.get("/login?return=/drive"),
		"form post": v.authorize("common", "prompt", "none", "login_hint", "robin@demo.example", "response_mode", "form_post"),
	}
	for name, page := range pages {
		h := page.Header
		if h.Get("X-Frame-Options") != "DENY" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s: X-Frame-Options %q, COOP %q (§6.9, security §0.3)", name, h.Get("X-Frame-Options"), h.Get("Cross-Origin-Opener-Policy"))
		}
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", name, csp)
		}
		if strings.Contains(page.body, " style=") || strings.Contains(page.body, "<style") || strings.Contains(page.body, " on") && strings.Contains(page.body, "onclick") {
			t.Errorf("%s has inline style or script:\n%s", name, page.body)
		}
		if !strings.Contains(page.body, "Demo: simulated Microsoft") {
			t.Errorf("%s doesn't say that it is a demo", name)
		}
	}
	for _, file := range []string{"style.css", "submit.js"} {
		if got := v.get("/login/" + file); got.StatusCode != 200 || len(got.body) == 0 {
			t.Errorf("%s: %d", file, got.StatusCode)
		}
	}
}

func TestPagesTakeNoFormsFromOtherSites(t *testing.T) {
	v := newSite(t, Options{})
	form := url.Values{"request": {authorizeForm().Encode()}, "login": {"robin@demo.example"}, "return": {"/drive"}, "otc": {"X"}}
	for _, path := range []string{"/common/oauth2/login", "/login", "/common/oauth2/deviceauth"} {
		got := v.post(path, form, "Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example")
		if got.StatusCode != http.StatusForbidden || len(got.Cookies()) > 0 {
			t.Errorf("%s: got %d with cookies %v", path, got.StatusCode, got.Cookies())
		}
	}
}

func TestOwnSignIn(t *testing.T) {
	v := newSite(t, Options{Prefix: "/demo"})
	for _, row := range []struct{ name, to, want string }{
		{"a path is kept", "/drive?folder=1", "/demo/drive?folder=1"},
		{"another host is not", "//evil.example", "/demo/drive"},
		{"an address is not", "http://evil.example/", "/demo/drive"},
		{"a backslash is not", `/\evil.example`, "/demo/drive"},
		{"nothing is the drive", "", "/demo/drive"},
	} {
		page := v.get("/login?return=" + url.QueryEscape(row.to))
		if got := v.press(page, "login", "kim@demo.example").Header.Get("Location"); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
	r, _ := http.NewRequest("GET", v.url+"/drive", nil)
	for _, c := range v.browser.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	if a := v.pageAccount(r); a == nil || a.Login != "kim@demo.example" {
		t.Errorf("got %v, want kim signed in on the pages", a)
	}
	v.Reset()
	if a := v.pageAccount(r); a != nil {
		t.Errorf("got %v after a reset", a)
	}
}
