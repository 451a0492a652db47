package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"skylift/onedrive/fakegraph"
)

// clientSecret is the app's secret at the stand-in; no log, page or file may ever show it.
const clientSecret = "marked-client-secret-5f0c"

// microsoft is the stand-in on an origin of its own. It outlives restarts of skylift, and keeps
// every secret that it gives out.
type microsoft struct {
	*fakegraph.Server
	URL string

	mu      sync.Mutex
	secrets map[string]string // what was given out, and what it is
}

func newMicrosoft(t *testing.T) *microsoft {
	t.Helper()
	m := &microsoft{Server: fakegraph.New(fakegraph.Options{Prefix: "/microsoft"}), secrets: map[string]string{clientSecret: "the client secret"}}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	t.Cleanup(m.Close)
	m.URL = s.URL + "/microsoft"
	return m
}

// live starts skylift as with a real app registration, against m. It keeps its data in a folder.
func (m *microsoft) live(t *testing.T, env ...string) *app {
	t.Helper()
	u, err := url.Parse(m.URL)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, append([]string{"SKYLIFT_DATA=data", "SKYLIFT_CLIENT_ID=0f6c1d52-7f0e-4d5c-9f29-5e2a4c6f9b11", "SKYLIFT_CLIENT_SECRET=" + clientSecret,
		"SKYLIFT_LOGIN_URL=" + m.URL, "SKYLIFT_GRAPH_URL=" + m.URL + "/v1.0", "SKYLIFT_MICROSOFT_HOSTS=" + u.Host, "SKYLIFT_ALLOW_SOURCES=" + u.Host}, env...)...)
}

// open opens a profile for pages that show things of m. Its pictures are on an http origin, which
// Microsoft's never are and the policy forbids, and it has no icon of its own.
func (m *microsoft) open(t *testing.T, url string, looks ...look) *Page {
	t.Helper()
	p := open(t, "", looks...)
	p.Allow(`thumbnail`)
	p.Allow(`favicon\.ico`)
	if url != "" {
		p.Open(url)
	}
	return p
}

// sample is the address of one of the stand-in's pictures.
func (m *microsoft) sample(name string) string { return m.URL + "/samples/" + name }

// paths are the files in login's drive below a folder such as "/Trip/".
func (m *microsoft) paths(login, folder string) (paths []string) {
	for _, f := range m.Files(login) {
		if strings.HasPrefix(f.Path, folder) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

func (m *microsoft) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k := &keeper{ResponseWriter: w}
	m.Server.ServeHTTP(k, r)
	m.remember(r.URL.Path, w.Header().Get("Location"), k.body.Bytes())
}

// remember takes the secrets out of an answer: tokens, upload URLs, monitors and codes.
func (m *microsoft) remember(path, location string, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var answer map[string]any
	if strings.HasSuffix(path, "/token") || strings.HasSuffix(path, "createUploadSession") {
		_ = json.Unmarshal(body, &answer)
	}
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		if s, ok := answer[name].(string); ok {
			m.secrets[s] = "the " + name
		}
	}
	if s, ok := answer["uploadUrl"].(string); ok {
		m.secrets[s[strings.LastIndexAny(s, "/=")+1:]] = "an upload URL"
	}
	if _, token, ok := strings.Cut(location, "/monitor/"); ok {
		m.secrets[token] = "a monitor URL"
	}
	if u, err := url.Parse(location); err == nil && u.Query().Get("code") != "" {
		m.secrets[u.Query().Get("code")] = "an authorization code"
	}
}

// Secrets are all secrets that were given out so far.
func (m *microsoft) Secrets() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]string{}
	for s, what := range m.secrets {
		all[s] = what
	}
	return all
}

// keeper keeps the beginning of an answer's body.
type keeper struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (k *keeper) Write(p []byte) (int, error) {
	if k.body.Len() < 64<<10 {
		k.body.Write(p)
	}
	return k.ResponseWriter.Write(p)
}

func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }

// fetch reads an address.
func fetch(t *testing.T, address string) []byte {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", address, res.Status, err)
	}
	return body
}
