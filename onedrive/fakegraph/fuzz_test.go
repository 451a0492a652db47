package fakegraph

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzSignIn sends any query to authorize and any form to token and the pages: nothing panics,
// no code is given for an address that isn't http(s), and no answer is a server error.
func FuzzSignIn(f *testing.F) {
	s := New(Options{})
	f.Add("common", authorizeForm("prompt", "none", "login_hint", "robin@demo.example").Encode(), "login=robin%40demo.example")
	f.Add("consumers", authorizeForm("redirect_uri", "http://[::1]:99/?a#b", "response_mode", "form_post").Encode(), "cancel=1")
	f.Add("work.example", authorizeForm("scope", "api://x/.default https://graph.microsoft.com//User.Read").Encode(), "login=noor%40demo.example&consent=accept")
	f.Add("common", codeForm("x").Encode(), refreshForm("x").Encode())
	f.Add("%2e%2e", "a=%zz&client_id=1;2", "otc=ABC&otc=DEF")
	f.Fuzz(func(t *testing.T, tenant, query, form string) {
		if len(query)+len(form) > 1<<16 {
			return
		}
		posted := form
		if !strings.Contains(form, "request=") {
			posted += "&request=" + url.QueryEscape(query)
		}
		for _, call := range []struct{ method, path, query, body string }{
			{"GET", "/oauth2/v2.0/authorize", query, ""}, {"POST", "/oauth2/v2.0/authorize", "", query},
			{"POST", "/oauth2/login", "", posted}, {"POST", "/oauth2/v2.0/token", "", query}, {"POST", "/oauth2/v2.0/token", "", form},
			{"POST", "/oauth2/v2.0/devicecode", "", query}, {"POST", "/oauth2/deviceauth", "", form}, {"GET", "/oauth2/v2.0/logout", query, ""},
		} {
			r := httptest.NewRequest(call.method, "http://fake.example/", strings.NewReader(call.body))
			r.URL.Path, r.URL.RawQuery = "/"+tenant+call.path, call.query
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Fatalf("%s %s?%s with %q: %d %s", call.method, r.URL.Path, call.query, call.body, w.Code, w.Body)
			}
			to := w.Header().Get("Location")
			if w.Code != http.StatusFound || strings.HasPrefix(to, "/") {
				continue
			}
			if u, err := url.Parse(to); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				t.Fatalf("%s %s?%s with %q leads to %q (%v)", call.method, r.URL.Path, call.query, call.body, to, err)
			}
		}
	})
}
