package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"skylift/handlers"
)

// publicRoutes are the only ones that answer somebody who is not signed in. A route that is not
// here must refuse, so a new one is closed until somebody opens it here on purpose.
var publicRoutes = map[string]bool{
	"GET /": true, "GET /auth/login": true, "GET /auth/callback": true, "POST /auth/logout": true,
	"GET /auth/signed-out": true, "GET /gallery": true, "GET /healthz": true, "GET /readyz": true,
	"POST /csp-report": true, "GET /extension": true, "GET /ext/connected": true, "GET /extension.zip": true, "GET /.well-known/skylift": true,
	"GET /panel/office": true, "GET /addin/manifest.xml": true, "GET /addin/manifest-outlook.xml": true, "GET /auth/office/done": true,
	"GET /embed.js": true,
	"GET /panel":    true, "GET /panel/cookies": true, "GET /panel/done": true, "POST /panel/sign-out": true, "GET /auth/panel/done": true,
	"GET /api/v1/openapi.yaml": true, "GET /static/*": true, "GET /favicon.ico": true, "GET /manifest.webmanifest": true,
}

func TestAPageThatIsNotThereKnowsWhoAsks(t *testing.T) {
	s := setup(t)
	for name, want := range map[string]int{"somebody": 1, "a stranger": 0} {
		b := s.browser()
		if name == "somebody" {
			b.signInAs(robin)
		}
		if got := len(b.get("/no/such/page").want(404).page().all("who")); got != want {
			t.Errorf("%s: the account stands on the page %d times, want %d", name, got, want)
		}
	}
}

func TestEveryRouteRefusesStrangersUnlessItIsPublic(t *testing.T) {
	s := setup(t)
	for _, r := range s.handler.Routes() {
		if publicRoutes[r.Method+" "+r.Path] {
			continue
		}
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			stranger, badKey := s.browser(), s.browser()
			badKey.key = "skylift-wrong"
			for who, b := range map[string]*browser{"nobody": stranger, "a wrong key": badKey} {
				got := b.do(r.Method, fill(r.Path, "01K0000000000000000000000A"), "", http.Header{"Content-Type": {"application/json"}})
				if r.Public {
					if got.status < 400 || got.status >= 500 {
						t.Errorf("%s: a public route that is not on the list answers %d", who, got.status)
					}
					continue
				}
				if got.status != http.StatusUnauthorized {
					t.Errorf("%s: %d, want 401", who, got.status)
				}
				if strings.HasPrefix(r.Path, "/api/") && got.code() != "unauthenticated" {
					t.Errorf("%s: code %q", who, got.code())
				}
			}
		})
	}
}

func TestEveryRouteWithAnIDHidesOthersTransfers(t *testing.T) {
	s := setup(t)
	mine, theirs := s.signIn(robin), s.signIn(kim)
	id := theirs.submit(s.sample("meadow.jpg"))
	theirs.final(id)
	key := theirs.form("/settings/devices", "name", "a script").want(200)
	_ = key
	tried := 0
	for _, r := range s.handler.Routes() {
		if !strings.Contains(r.Path, "transfers/:id") {
			continue
		}
		tried++
		got := mine.do(r.Method, fill(r.Path, id), "", nil)
		if got.status != http.StatusNotFound {
			t.Errorf("%s %s = %d, want 404", r.Method, r.Path, got.status)
		}
	}
	if tried < 10 {
		t.Errorf("only %d routes with a transfer's id were tried", tried)
	}
	if state := theirs.get("/api/v1/transfers/" + id).want(200).json()["state"]; state != "completed" {
		t.Errorf("the transfer is %v now", state)
	}
}

func fill(path, id string) string {
	path = strings.ReplaceAll(path, ":id", id)
	return strings.ReplaceAll(path, "*", "x")
}

func TestPagesOfOtherSitesCannotAct(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for name, head := range map[string]http.Header{
		"another site":        {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		"a sibling subdomain": {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.skylift.example"}},
		"an old browser":      {"Origin": {"https://evil.example"}},
		"a sandboxed frame":   {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}},
	} {
		for k, v := range form {
			head[k] = v
		}
		t.Run(name, func(t *testing.T) {
			got := b.do("POST", "/transfers", "urls="+s.sample("meadow.jpg"), head).want(http.StatusForbidden)
			if !strings.Contains(got.body, "Another site sent this.") || got.header("Content-Security-Policy") == "" {
				t.Errorf("answer = %s", got.body)
			}
			if got := b.do("POST", "/api/v1/transfers/retry-failed", "", head).want(http.StatusForbidden); got.code() != "crossSite" {
				t.Errorf("code = %q", got.code())
			}
		})
	}
	if n := len(b.get("/").page().all("transfer")); n != 0 {
		t.Errorf("%d transfers were started", n)
	}
}

// Behind a proxy that changes Host, our own pages in a browser that sends no Sec-Fetch-Site are known by the
// public address.
func TestOurOwnPagesActWhateverTheProxyCallsUs(t *testing.T) {
	s := setup(t, func(o *handlers.Options) { o.URL = &url.URL{Scheme: "https", Host: "Skylift.Example:443"} })
	b := s.signIn(robin)
	for origin, want := range map[string]int{
		"https://skylift.example": 202, s.url: 202, "http://skylift.example": 403, "https://skylift.example:8443": 403,
		"https://evil.example": 403, "https://skylift.example.evil.example": 403, "null": 403,
	} {
		b.do("POST", "/api/v1/transfers/retry-failed", "", http.Header{"Origin": {origin}}).want(want)
	}
}

// A browser says who made it send something: by Origin where it sends one, by Sec-Fetch headers on
// https and localhost. Programs such as curl say nothing.
func TestCookiesCountForOurOwnPagesOnly(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	const extension = "chrome-extension://abcdefghijklmnopabcdefghijklmnop"
	for name, c := range map[string]struct {
		site, mode, origin string
		api, page          int
	}{
		"curl with the cookie":                       {api: 200, page: 200},
		"our own script":                             {site: "same-origin", mode: "cors", api: 200, page: 200},
		"our own script, which names its origin":     {site: "same-origin", mode: "cors", origin: s.url, api: 200, page: 200},
		"our own script in an old browser":           {origin: s.url, api: 200, page: 200},
		"a visit by the address bar":                 {site: "none", mode: "navigate", api: 200, page: 200},
		"a link on another site":                     {site: "cross-site", mode: "navigate", api: 401, page: 200},
		"an extension's script, which names itself":  {site: "none", mode: "cors", origin: extension, api: 401, page: 401},
		"an extension's script without an origin":    {site: "none", mode: "cors", api: 401, page: 401},
		"an extension's picture without an origin":   {site: "none", mode: "no-cors", api: 401, page: 401},
		"an extension in an old browser":             {origin: "moz-extension://0e1e2e3e-0000-4000-8000-000000000000", api: 401, page: 401},
		"a script of another site":                   {site: "cross-site", mode: "cors", origin: "https://evil.example", api: 401, page: 200},
		"a script of another site in an old browser": {origin: "https://evil.example", api: 401, page: 200},
		"a script of a sibling site":                 {site: "same-site", mode: "cors", api: 401, page: 200},
		"a sandboxed frame":                          {origin: "null", api: 401, page: 200},
	} {
		t.Run(name, func(t *testing.T) {
			head := http.Header{"Content-Type": {"application/json"}}
			for k, v := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Origin": c.origin} {
				if v != "" {
					head.Set(k, v)
				}
			}
			b.do("GET", "/api/v1/me", "", head).want(c.api)
			b.do("GET", "/transfers", "", head).want(c.page)
			b.do("GET", "/transfers.csv", "", head).want(c.page)
			for _, path := range []string{"/events", "/api/v1/events"} { // as EventSource asks
				want := c.api
				if path == "/events" {
					want = c.page
				}
				if got := b.events(path, "Sec-Fetch-Site", c.site, "Sec-Fetch-Mode", c.mode, "Origin", c.origin); got.status != want {
					t.Errorf("%s = %d, want %d", path, got.status, want)
				}
			}
			if c.api == 401 {
				got := b.do("POST", "/api/v1/transfers", `{"sourceUrl":"`+s.sample("meadow.jpg")+`"}`, head)
				if got.status != 401 && got.status != 403 {
					t.Errorf("it saves: %d", got.status)
				}
			}
		})
	}
}

func TestADeviceKeyOpensTheAPIAndNothingElse(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	shown := b.form("/settings/devices", "name", "backup script").want(200).page()
	device := s.browser()
	for n := range shown.one("new-key").Descendants() {
		if n.Data == "input" {
			device.key = attr(n, "value")
		}
	}
	if got := device.get("/api/v1/me").want(200).json(); got["displayName"] == "" {
		t.Errorf("me = %v", got)
	}
	// An extension without host permission looks like another site; its key speaks for it.
	head := http.Header{"Origin": {"moz-extension://x"}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"application/json"}}
	device.do("POST", "/api/v1/transfers", `{"sourceUrl":"`+s.sample("meadow.jpg")+`"}`, head).want(202)
	device.get("/settings").want(401)
	device.form("/settings/delete", "confirm", "yes").want(401)

	if strings.Contains(b.get("/settings").body, device.key) {
		t.Error("the key is shown a second time")
	}
	page := b.get("/settings").page()
	var revoke string
	for n := range page.one("device").Descendants() {
		if n.Data == "form" {
			revoke = attr(n, "action")
		}
	}
	s.signIn(kim).form(revoke).want(404)
	device.get("/api/v1/me").want(200)
	b.form(revoke).want(303)
	device.get("/api/v1/me").want(401)
	if log := s.log.String(); strings.Contains(log, device.key) {
		t.Error("the key is in the log")
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for _, path := range []string{"/", "/transfers", "/transfers.csv", "/settings", "/folders", "/gallery", "/nope", "/api/v1/me", "/api/v1/nope", "/healthz"} {
		got := b.get(path)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin-allow-popups", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got.header(name) != want {
				t.Errorf("%s: %s = %q", path, name, got.header(name))
			}
		}
		csp := got.header("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: policy without %s", path, part)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: unsafe policy %s", path, csp)
		}
		if got.header("Strict-Transport-Security") != "" {
			t.Errorf("%s: HSTS on plain http", path)
		}
	}
}

func TestPolicyReportsAreCounted(t *testing.T) {
	s := setup(t)
	s.browser().do("POST", "/csp-report", `{"csp-report":{"blocked-uri":"https://secret.example/?t=1"}}`, http.Header{"Content-Type": {"application/csp-report"}}).want(204)
	if n := s.handler.CSPReports(); n != 1 {
		t.Errorf("reports = %d", n)
	}
	if strings.Contains(s.log.String(), "secret.example") {
		t.Error("the report's content is in the log")
	}
}

func TestForwardedAddressesCountFromTrustedProxiesOnly(t *testing.T) {
	s := setup(t, func(o *handlers.Options) {
		o.Limits = handlers.Limits{SignIn: handlers.Limit{PerSecond: 0.01, Burst: 3}}
	})
	b := s.browser()
	for i := range 5 {
		got := b.do("GET", "/auth/login", "", http.Header{"X-Forwarded-For": {"198.51.100." + string(rune('1'+i))}, "X-Real-Ip": {"198.51.100.77"}})
		want := http.StatusSeeOther
		if i >= 3 {
			want = http.StatusTooManyRequests
		}
		if got.status != want {
			t.Fatalf("request %d = %d, want %d", i, got.status, want)
		}
		if want == http.StatusTooManyRequests && got.header("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if strings.Contains(s.log.String(), "198.51.100") {
		t.Error("a forged address is in the log")
	}
}
