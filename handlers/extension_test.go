package handlers

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"skylift/auth"
	"skylift/onedrive/transfer/natsd"
	"skylift/static"
	"skylift/views"
)

// deviceSite is the web side with what devices need, over HTTP, and a person who is signed in.
type deviceSite struct {
	*httptest.Server
	handler *Handler
	devices *auth.Devices
	cookie  *http.Cookie
	user    auth.User
}

func newDeviceSite(t *testing.T) *deviceSite {
	t.Helper()
	node, err := natsd.Start(natsd.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close(context.WithoutCancel(t.Context())) })
	ctx, js := t.Context(), node.JetStream()
	keyring := must(auth.OpenKeyring(auth.NewKey()))
	sessions := must(auth.OpenSessions(ctx, js, 1, keyring, auth.SessionOptions{}))
	users := must(auth.OpenUsers(ctx, js, 1))
	devices := must(auth.OpenDevices(ctx, js, 1, ""))
	u := auth.User{ID: strings.Repeat("a", 26), Name: "Robin", Username: "robin@demo.example"}
	if err := users.Put(ctx, u); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := sessions.SignIn(w, httptest.NewRequest(http.MethodGet, "/", nil), u); err != nil {
		t.Fatal(err)
	}
	public := must(url.Parse("http://localhost:8080"))
	h := New(Options{URL: public, Sessions: sessions, Users: users, Devices: devices, Log: slog.New(slog.DiscardHandler)})
	s := &deviceSite{httptest.NewServer(h), h, devices, w.Result().Cookies()[0], u}
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(s.Close)
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ask sends a request; headers come in pairs.
func (s *deviceSite) ask(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

const (
	testVerifier = "a-verifier-of-forty-three-characters-or-more"
	testState    = "state-of-the-extension"
	goodRedirect = "https://" + chromiumID + ".chromiumapp.org/connect"
)

func connectValues(change map[string]string) url.Values {
	sum := sha256.Sum256([]byte(testVerifier))
	v := url.Values{
		"redirect_uri": {goodRedirect}, "state": {testState}, "name": {"Chromium on Linux"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for name, value := range change {
		v.Set(name, value)
	}
	return v
}

func TestConnectIsAskedAndAnsweredOnce(t *testing.T) {
	t.Run("a window", func(t *testing.T) {
		testConnect(t, goodRedirect, "form-action 'self' https://"+chromiumID+".chromiumapp.org;")
	})
	t.Run("a tab", func(t *testing.T) {
		testConnect(t, "http://localhost:8080"+connectedPath, "form-action 'self' http://localhost:8080;")
	})
}

func testConnect(t *testing.T, redirect, formAction string) {
	s := newDeviceSite(t)
	values := connectValues(map[string]string{"redirect_uri": redirect}).Encode()
	cookie := s.cookie.Name + "=" + s.cookie.Value

	res, _ := s.ask(t, http.MethodGet, "/ext/connect?"+values, "")
	if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/auth/login?return=") {
		t.Errorf("somebody who is not signed in got %d to %q, want the sign-in that comes back", res.StatusCode, to)
	}
	res, page := s.ask(t, http.MethodGet, "/ext/connect?"+values, "", "Cookie", cookie)
	if res.StatusCode != http.StatusOK || !strings.Contains(page, "Connect this browser?") || !strings.Contains(page, "robin@demo.example") {
		t.Errorf("the consent page is %d\n%s", res.StatusCode, page)
	}
	if list, _ := s.devices.List(t.Context(), s.user.ID); len(list) != 0 {
		t.Errorf("looking at the consent page made devices: %v", list)
	}
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, formAction) || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("the policy of the consent page is %s", policy)
	}

	res, _ = s.ask(t, http.MethodPost, "/ext/connect", values, "Cookie", cookie, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
	to, _ := url.Parse(res.Header.Get("Location"))
	if got := to.Scheme + "://" + to.Host + to.Path; res.StatusCode != http.StatusSeeOther || got != redirect || to.RawQuery != "" {
		t.Fatalf("the answer is %d to %s", res.StatusCode, to)
	}
	answer, _ := url.ParseQuery(to.Fragment)
	if answer.Get("state") != testState {
		t.Errorf("the state is %q", answer.Get("state"))
	}

	redeem := func(verifier string) (*http.Response, string) {
		body, _ := json.Marshal(map[string]string{"code": answer.Get("code"), "code_verifier": verifier})
		return s.ask(t, http.MethodPost, "/api/v1/devices/token", string(body), "Content-Type", "application/json", "Origin", "moz-extension://any", "Sec-Fetch-Site", "cross-site")
	}
	res, body := redeem(testVerifier)
	var token struct {
		Key     string `json:"access_token"`
		Expires int    `json:"expires_in"`
		Device  struct{ ID, Name string }
	}
	if err := json.Unmarshal([]byte(body), &token); err != nil || res.StatusCode != http.StatusOK || token.Device.Name != "Chromium on Linux" || token.Expires < 3600 {
		t.Fatalf("the exchange answers %d %s", res.StatusCode, body)
	}
	if d, err := s.devices.Authenticate(t.Context(), token.Key); err != nil || d.UserID != s.user.ID {
		t.Errorf("the key belongs to %v, %v", d, err)
	}
	if res, body := redeem(testVerifier); res.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"codeInvalid"`) {
		t.Errorf("the second exchange answers %d %s", res.StatusCode, body)
	}
}

func TestConnectFollowsNoOtherAddress(t *testing.T) {
	s := newDeviceSite(t)
	cookie := s.cookie.Name + "=" + s.cookie.Value
	cases := map[string]map[string]string{
		"another extension":         {"redirect_uri": "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.chromiumapp.org/connect"},
		"another path":              {"redirect_uri": goodRedirect + "/x"},
		"a query at the end":        {"redirect_uri": goodRedirect + "?x"},
		"a host that begins alike":  {"redirect_uri": "https://" + chromiumID + ".chromiumapp.org.evil.example/connect"},
		"plain http":                {"redirect_uri": "http://" + chromiumID + ".chromiumapp.org/connect"},
		"our own site":              {"redirect_uri": "/"},
		"another page of ours":      {"redirect_uri": "http://localhost:8080/ext/connect"},
		"the tab of another server": {"redirect_uri": "http://localhost:8081/ext/connected"},
		"the tab's path alone":      {"redirect_uri": "/ext/connected"},
		"a script":                  {"redirect_uri": "javascript:alert(1)"},
		"nothing":                   {"redirect_uri": ""},
		"no challenge":              {"code_challenge": ""},
		"a plain challenge":         {"code_challenge_method": "plain"},
		"a short state":             {"state": "x"},
		"a state with a line break": {"state": "0123456789abcdef\r\nLocation: x"},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			form := connectValues(change).Encode()
			for _, ask := range []func() (*http.Response, string){
				func() (*http.Response, string) {
					return s.ask(t, http.MethodGet, "/ext/connect?"+form, "", "Cookie", cookie)
				},
				func() (*http.Response, string) {
					return s.ask(t, http.MethodPost, "/ext/connect", form, "Cookie", cookie, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
				},
			} {
				res, body := ask()
				if res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" || strings.Contains(body, "chromiumapp") || strings.Contains(body, "evil") {
					t.Errorf("%s answers %d, Location %q", res.Request.Method, res.StatusCode, res.Header.Get("Location"))
				}
			}
		})
	}
	t.Run("a form of another site", func(t *testing.T) {
		res, _ := s.ask(t, http.MethodPost, "/ext/connect", connectValues(nil).Encode(), "Cookie", cookie, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("answers %d, want 403", res.StatusCode)
		}
	})
}

// The API takes an extension's key and never its cookies, and no other extension may read it.
func TestAPIIsForBearersAndOneExtension(t *testing.T) {
	s := newDeviceSite(t)
	key, _, err := s.devices.Make(t.Context(), s.user.ID, "script")
	if err != nil {
		t.Fatal(err)
	}
	cookie := s.cookie.Name + "=" + s.cookie.Value
	const other = "chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	cases := []struct {
		name, method string
		headers      []string
		status       int
		allowed      string
	}{
		{"our extension asks first", http.MethodOptions, []string{"Origin", extensionOrigin, "Access-Control-Request-Method", "POST"}, 204, extensionOrigin},
		{"another extension asks first", http.MethodOptions, []string{"Origin", other, "Access-Control-Request-Method", "POST"}, 204, ""},
		{"a site asks first", http.MethodOptions, []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 204, ""},
		{"a cookie of our extension", http.MethodPost, []string{"Origin", extensionOrigin, "Sec-Fetch-Site", "none", "Cookie", cookie}, 401, extensionOrigin},
		{"a cookie of another extension", http.MethodPost, []string{"Origin", other, "Sec-Fetch-Site", "none", "Cookie", cookie}, 401, ""},
		{"a cookie of a Firefox extension", http.MethodPost, []string{"Origin", "moz-extension://0", "Sec-Fetch-Site", "same-origin", "Cookie", cookie}, 401, ""},
		{"a wrong key with a good cookie", http.MethodPost, []string{"Authorization", "Bearer skl_wrong", "Cookie", cookie}, 401, ""},
		{"a key", http.MethodPost, []string{"Authorization", "Bearer " + key, "Origin", extensionOrigin, "Sec-Fetch-Site", "none"}, 415, extensionOrigin},
		{"a key from a browser without permission", http.MethodPost, []string{"Authorization", "Bearer " + key, "Origin", "moz-extension://0", "Sec-Fetch-Site", "cross-site"}, 415, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			res, body := s.ask(t, c.method, "/api/v1/transfers", "", c.headers...)
			if res.StatusCode != c.status { // 415: past the door, and only then the missing type is looked at
				t.Errorf("answers %d, want %d: %s", res.StatusCode, c.status, body)
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != c.allowed {
				t.Errorf("allows the origin %q, want %q", got, c.allowed)
			}
			if res.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("allows cookies to come along")
			}
		})
	}
}

func TestExtensionZipKnowsItsServer(t *testing.T) {
	s := newDeviceSite(t)
	res, body := s.ask(t, http.MethodGet, "/extension.zip", "")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/zip" {
		t.Fatalf("answers %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	z, err := zip.NewReader(bytes.NewReader([]byte(body)), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	preset, err := z.Open("preset.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(preset); string(got) != `{"server":"http://localhost:8080"}` {
		t.Errorf("preset.json is %s", got)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	for _, want := range []string{"manifest.json", "background.js", "popup.html", "icons/128.png"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not in the zip: %v", want, names)
		}
	}
	again, _ := s.ask(t, http.MethodGet, "/extension.zip", "", "If-None-Match", res.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("the same zip is sent again: %d", again.StatusCode)
	}
}

// Strangers may ask for the zip; to compress it costs, so that is done once.
func TestExtensionZipIsMadeOnce(t *testing.T) {
	s := newDeviceSite(t)
	s.ask(t, http.MethodGet, "/extension.zip", "")
	first, second := must(s.handler.extension()), must(s.handler.extension())
	if &first[0] != &second[0] {
		t.Error("it is compressed for each who asks")
	}
	if _, body := s.ask(t, http.MethodGet, "/extension.zip", ""); body != string(first) {
		t.Error("another zip is sent")
	}
}

func TestExtensionPageExplainsEachPermission(t *testing.T) {
	s := newDeviceSite(t)
	_, page := s.ask(t, http.MethodGet, "/extension", "")
	var m struct {
		Permissions []string `json:"permissions"`
		Hosts       []string `json:"optional_host_permissions"`
	}
	file, err := static.Extension().Open("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(file).Decode(&m); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(m.Permissions, m.Hosts...) {
		p, err := views.PermissionReason(name)
		if err != nil || !strings.Contains(page, "<code>"+name+"</code>") || len(p.Why) < 30 {
			t.Errorf("the page does not explain %s (%v)", name, err)
		}
	}
	if _, err := views.PermissionReason("tabs"); err == nil {
		t.Error("a permission that nobody explained has a reason")
	}
}

func TestWellKnownSaysWhoAnswers(t *testing.T) {
	s := newDeviceSite(t)
	_, body := s.ask(t, http.MethodGet, "/.well-known/skylift", "")
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil || got["product"] != "skylift" || got["url"] != "http://localhost:8080" || got["api"] != "/api/v1" {
		t.Errorf("answers %s", body)
	}
}

// The description is a promise: each route stands in it, and nothing else does.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	var served []string
	for _, r := range New(Options{}).table {
		if path, ok := strings.CutPrefix(r.path, apiBase); ok {
			served = append(served, r.method+" "+regexp.MustCompile(`:([a-z]+)`).ReplaceAllString(path, "{$1}"))
		}
	}
	file, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	described, problems := operations(string(file))
	for _, p := range problems {
		t.Error(p)
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("the routes are\n  %s\nbut described are\n  %s", strings.Join(served, "\n  "), strings.Join(described, "\n  "))
	}
	node := must(natsd.Start(natsd.Options{Dir: natsd.Memory}))
	t.Cleanup(func() { node.Close(context.WithoutCancel(t.Context())) })
	for _, secure := range []bool{false, true} {
		cookie := must(auth.OpenSessions(t.Context(), node.JetStream(), 1, nil, auth.SessionOptions{Secure: secure})).Name()
		if !regexp.MustCompile(`\n    session: .*\s` + cookie + `\b`).Match(file) {
			t.Errorf("the cookie %s is not described", cookie)
		}
	}
	for _, ref := range regexp.MustCompile(`#/components/([a-zA-Z]+)/([A-Za-z]+)`).FindAllStringSubmatch(string(file), -1) {
		_, components, _ := strings.Cut(string(file), "\ncomponents:")
		_, section, ok := strings.Cut(components, "\n  "+ref[1]+":")
		if !ok || !regexp.MustCompile(`\n    `+ref[2]+`:`).MatchString(section) {
			t.Errorf("%s is not described", ref[0])
		}
	}
}

// operations reads the paths of a description that is written as ours is: a path at two spaces,
// its methods at four, their parts at six.
func operations(yaml string) (found, problems []string) {
	_, rest, _ := strings.Cut(yaml, "\npaths:\n")
	rest, _, _ = strings.Cut(rest, "\ncomponents:")
	path, parts := "", map[string]string{}
	for _, line := range strings.Split(rest, "\n") {
		name := strings.TrimSpace(strings.SplitN(line, ":", 2)[0])
		switch indent := len(line) - len(strings.TrimLeft(line, " ")); {
		case indent == 2:
			path = name
		case indent == 4 && name != "parameters":
			found = append(found, strings.ToUpper(name)+" "+path)
			parts[found[len(found)-1]] = ""
		case indent == 6 && len(found) > 0:
			parts[found[len(found)-1]] += name + " "
		}
	}
	for operation, have := range parts {
		for _, want := range []string{"summary", "responses"} {
			if !strings.Contains(have, want) {
				problems = append(problems, operation+" has no "+want)
			}
		}
	}
	return found, problems
}
