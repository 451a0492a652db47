package handlers_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"skylift/handlers"
)

// What a client says about who it is and where it came in changes nothing that is handed out; the address
// that counts and is logged is the connection's, or what a trusted proxy says.
func TestForgedForwardingChangesNothing(t *testing.T) {
	const proxy, client = "127.0.0.1", "198.51.100.1"
	for name, c := range map[string]struct {
		header, value string
		ip            string // behind a trusted proxy
	}{
		"nothing":                          {"", "", proxy},
		"the client's address":             {"X-Forwarded-For", client, client},
		"an address before the client's":   {"X-Forwarded-For", "203.0.113.66, " + client, client},
		"a proxy behind the client":        {"X-Forwarded-For", client + ", " + proxy, client},
		"a proxy's address before it":      {"X-Forwarded-For", proxy + ", " + client, client},
		"an address before one inside":     {"X-Forwarded-For", client + ", 10.0.0.1", "10.0.0.1"},
		"an address inside before it":      {"X-Forwarded-For", "10.0.0.1, " + client, client},
		"no address":                       {"X-Forwarded-For", "<script>\r\n", proxy},
		"X-Real-IP":                        {"X-Real-Ip", client, proxy},
		"Forwarded":                        {"Forwarded", "for=" + client + ";host=evil.example;proto=https", proxy},
		"X-Forwarded-Host":                 {"X-Forwarded-Host", "evil.example", proxy},
		"X-Forwarded-Proto":                {"X-Forwarded-Proto", "https", proxy},
		"X-Forwarded-Port":                 {"X-Forwarded-Port", "8443", proxy},
		"X-Forwarded-Prefix":               {"X-Forwarded-Prefix", "/evil", proxy},
		"X-Original-URL":                   {"X-Original-Url", "/settings", proxy},
		"another method":                   {"X-Http-Method-Override", "DELETE", proxy},
		"Host":                             {"Host", "evil.example", proxy},
		"Host with what is none":           {"Host", "localhost:8080@evil.example", proxy},
		"an address of the whole internet": {"X-Client-Ip", client, proxy},
	} {
		for where, trusted := range map[string][]netip.Prefix{"no proxy": nil, "a trusted proxy": {netip.MustParsePrefix(proxy + "/32")}, "a proxy elsewhere": {netip.MustParsePrefix("192.0.2.0/24")}} {
			t.Run(name+" with "+where, func(t *testing.T) {
				s := setup(t, func(o *handlers.Options) { o.TrustedProxies = trusted })
				ask := func(path string, forged bool) *httptest.ResponseRecorder {
					r := httptest.NewRequest("GET", path, nil)
					r.RemoteAddr = proxy + ":4711"
					if c.header == "Host" && forged {
						r.Host = c.value
					} else if c.header != "" && forged {
						r.Header.Set(c.header, c.value)
					}
					w := httptest.NewRecorder()
					s.handler.ServeHTTP(w, r)
					return w
				}
				for _, path := range []string{"/extension.zip", "/addin/manifest.xml", "/addin/manifest-outlook.xml", "/.well-known/skylift", "/manifest.webmanifest", "/", "/auth/signed-out"} {
					if got, want := ask(path, true), ask(path, false); got.Code != want.Code || got.Body.String() != want.Body.String() {
						t.Errorf("%s differs", path)
					}
				}
				login := ask("/auth/login", true)
				at := must(url.Parse(login.Header().Get("Location")))(t)
				if back := at.Query().Get("redirect_uri"); back != s.url+"/auth/callback" {
					t.Errorf("Microsoft is told to answer to %q", back)
				}
				if login.Header().Get("Strict-Transport-Security") != "" || strings.Contains(login.Header().Get("Set-Cookie"), "Secure") {
					t.Error("it believes that it came by https")
				}
				want := proxy
				if where == "a trusted proxy" {
					want = c.ip
				}
				var last struct{ Path, IP string }
				for text := range strings.Lines(s.log.String()) { // the engine writes there, too
					var line struct{ Path, IP string }
					if json.Unmarshal([]byte(text), &line) == nil && line.Path == "/auth/login" {
						last = line
					}
				}
				if last.IP != want {
					t.Errorf("logged as from %q, want %q", last.IP, want)
				}
			})
		}
	}
}

func TestHTTPSIsKept(t *testing.T) {
	s := setup(t, func(o *handlers.Options) { o.URL = must(url.Parse("https://skylift.example"))(t) })
	for _, path := range []string{"/", "/healthz", "/nope", "/api/v1/me", "/static/nope", "/panel"} {
		if got := s.browser().get(path).header("Strict-Transport-Security"); !strings.HasPrefix(got, "max-age=31536000") {
			t.Errorf("%s: Strict-Transport-Security %q", path, got)
		}
	}
}
