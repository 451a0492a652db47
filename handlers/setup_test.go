package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/net/html"

	"skylift/auth"
	"skylift/handlers"
	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

const (
	robin = "robin@demo.example"
	kim   = "kim@demo.example"
	alex  = "alex@work.example"
)

// site is a whole Skylift with the stand-in for Microsoft, on local listeners.
type site struct {
	t         *testing.T
	url       string
	microsoft *onedrivetest.Server
	handler   *handlers.Handler
	options   handlers.Options
	log       *safeBuffer
	store     jetstream.JetStream
}

// setup builds the real parts. change may alter the options before the handler is made.
func setup(t *testing.T, change ...func(*handlers.Options)) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, microsoft: onedrivetest.NewServer(t, fakegraph.Options{Own: "demo"}), log: &safeBuffer{}}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := httptest.NewUnstartedServer(nil)
	s.url = "http://" + server.Listener.Addr().String()
	base, _ := url.Parse(s.url)
	s.options = handlers.Options{URL: base, Demo: true, Log: log}
	s.parts(log)
	for _, f := range change {
		f(&s.options)
	}
	s.handler = handlers.New(s.options)
	server.Config.Handler = s.handler
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(s.handler.Drain)
	return s
}

// parts fills in the options what main would.
func (s *site) parts(log *slog.Logger) {
	t, ctx, o := s.t, s.t.Context(), &s.options
	node := must(natsd.Start(natsd.Options{Dir: natsd.Memory}))(t)
	t.Cleanup(func() { _ = node.Close(context.Background()) })
	js := node.JetStream()
	s.store = js
	keys := must(auth.OpenKeyring(auth.NewKey()))(t)
	o.Provider = auth.NewProvider(auth.Config{ClientID: "demo", ClientSecret: "demo", LoginURL: s.microsoft.LoginURL,
		RedirectURL: s.url + "/auth/callback", HTTP: onedrive.NewHTTPClient()})
	o.Tokens = must(auth.OpenTokens(ctx, js, 1, keys, o.Provider))(t)
	o.Users = must(auth.OpenUsers(ctx, js, 1))(t)
	o.Devices = must(auth.OpenDevices(ctx, js, 1, ""))(t)
	o.Pendings = must(auth.OpenPendings(ctx, js, 1, keys, auth.PendingOptions{}))(t)
	o.Sessions = must(auth.OpenSessions(ctx, js, 1, keys, auth.SessionOptions{}))(t)
	o.Panels = must(auth.OpenSessions(ctx, js, 1, keys, auth.SessionOptions{Secure: true, Panel: true}))(t)
	o.Handoffs = must(auth.OpenHandoffs(ctx, js, 1))(t)
	o.Store = must(transfer.OpenStore(ctx, js, node.Conn(), transfer.StoreOptions{Sealer: keys}))(t)
	t.Cleanup(o.Store.Close)
	o.Client = s.client
	host := strings.TrimPrefix(s.microsoft.URL, "http://")
	host, _, _ = strings.Cut(host, "/")
	source := transfer.NewSource(transfer.SourceOptions{Allow: []string{host}})
	o.Saver = transfer.NewSaver(transfer.SaverOptions{Client: s.client, Source: source, Log: log, SpoolDir: t.TempDir()})
	o.Runner = transfer.NewRunner(o.Store, o.Saver, transfer.RunnerOptions{Log: log})
	if err := o.Runner.Start(ctx); err != nil {
		t.Fatalf("Runner.Start: %v", err)
	}
	t.Cleanup(func() { _ = o.Runner.Stop(context.Background()) })
}

func (s *site) client(_ context.Context, userID string) (*onedrive.Client, error) {
	return s.microsoft.Graph.Client(func(ctx context.Context, stale string) (string, error) {
		token, err := s.options.Tokens.Access(ctx, userID, stale)
		if errors.Is(err, auth.ErrSignInRequired) { // as main has it
			return "", fmt.Errorf("%w: %w", onedrive.ErrUnauthenticated, err)
		}
		return token, err
	}), nil
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// sample is the address of one of the stand-in's own files.
func (s *site) sample(name string) string { return s.microsoft.URL + "/samples/" + name }

// browser is one person's browser: it keeps cookies and follows no redirects.
type browser struct {
	s    *site
	http *http.Client
	key  string // a device key instead of cookies
}

func (s *site) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{s: s, http: &http.Client{Jar: jar, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signIn signs a new browser in as an account of the stand-in, by the same pages that people see.
func (s *site) signIn(login string) *browser {
	s.t.Helper()
	b := s.browser()
	b.signInAs(login)
	return b
}

// signInAs signs the browser in, whoever was signed in before.
func (b *browser) signInAs(login string) {
	s := b.s
	s.t.Helper()
	at := must(url.Parse(b.get("/auth/login").header("Location")))(s.t)
	q := at.Query()
	q.Set("prompt", "none")
	q.Set("login_hint", login)
	at.RawQuery = q.Encode()
	answer := b.get(at.String())
	back := answer.header("Location")
	if !strings.HasPrefix(back, s.url+"/auth/callback?") {
		s.t.Fatalf("the stand-in answered %d to %q", answer.status, back)
	}
	if landed := b.get(back); landed.status != http.StatusSeeOther || landed.header("Location") != "/" {
		s.t.Fatalf("callback = %d to %q: %s", landed.status, landed.header("Location"), landed.body)
	}
}

// cookie is the Cookie header that the browser sends.
func (b *browser) cookie() string {
	var pairs []string
	for _, c := range b.http.Jar.Cookies(must(url.Parse(b.s.url))(b.s.t)) {
		pairs = append(pairs, c.String())
	}
	return strings.Join(pairs, "; ")
}

// makeKey makes a key in the settings and reads it off the page.
func (b *browser) makeKey() string {
	b.s.t.Helper()
	for n := range b.form("/settings/devices", "name", "a script").want(200).page().one("new-key").Descendants() {
		if n.Data == "input" {
			return attr(n, "value")
		}
	}
	b.s.t.Fatal("no key on the page")
	return ""
}

// deviceID is the id of the only device that the browser's person has.
func (s *site) deviceID(b *browser) string {
	s.t.Helper()
	for n := range b.get("/settings").want(200).page().one("device").Descendants() {
		if n.Data == "form" {
			return strings.Split(attr(n, "action"), "/")[3]
		}
	}
	s.t.Fatal("no device on the page")
	return ""
}

// answer is a response with its body read.
type answer struct {
	t      *testing.T
	what   string
	status int
	head   http.Header
	body   string
}

func (a answer) header(name string) string { return a.head.Get(name) }

// want fails the test unless the status is the given one.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s = %d, want %d\n%s", a.what, a.status, status, a.body)
	}
	return a
}

// json decodes the body.
func (a answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return v
}

// code is the code of a problem.
func (a answer) code() string {
	a.t.Helper()
	if typ := a.header("Content-Type"); typ != "application/problem+json" {
		a.t.Errorf("%s: type %q, want a problem", a.what, typ)
	}
	code, _ := a.json()["code"].(string)
	return code
}

func (a answer) page() *page {
	a.t.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		a.t.Fatal(err)
	}
	return &page{a.t, root}
}

func (b *browser) get(path string) answer { return b.do("GET", path, "", nil) }

func (b *browser) form(path string, pairs ...string) answer {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return b.do("POST", path, v.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

func (b *browser) json(method, path string, body any) answer {
	text, _ := json.Marshal(body)
	return b.do(method, path, string(text), http.Header{"Content-Type": {"application/json"}})
}

func (b *browser) do(method, path, body string, head http.Header) answer {
	b.s.t.Helper()
	address := path
	if strings.HasPrefix(path, "/") {
		address = b.s.url + path
	}
	r, err := http.NewRequestWithContext(b.s.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		b.s.t.Fatal(err)
	}
	for k, v := range head {
		r.Header[k] = v
	}
	if b.key != "" {
		r.Header.Set("Authorization", "Bearer "+b.key)
	}
	resp, err := b.http.Do(r)
	if err != nil {
		b.s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		b.s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{b.s.t, method + " " + path, resp.StatusCode, resp.Header, string(content)}
}

// submit saves one address through the API and returns the transfer's id.
func (b *browser) submit(source string) string {
	b.s.t.Helper()
	id, _ := b.json("POST", "/api/v1/transfers", map[string]any{"sourceUrl": source}).want(202).json()["id"].(string)
	return id
}

// final waits until a transfer has come to its end and returns it.
func (b *browser) final(id string) map[string]any {
	b.s.t.Helper()
	events := b.events("/api/v1/events")
	for {
		if t := b.get("/api/v1/transfers/" + id).want(200).json(); isFinal(t["state"]) {
			return t
		}
		e := events.next()
		if e.name == "transfer" && strings.Contains(e.data, id) {
			var t map[string]any
			_ = json.Unmarshal([]byte(e.data), &t)
			if isFinal(t["state"]) {
				return t
			}
		}
	}
}

func isFinal(state any) bool {
	return state == "completed" || state == "failed" || state == "cancelled"
}

// page is a parsed page to look things up in.
type page struct {
	t    *testing.T
	root *html.Node
}

// all are the elements with the given data-testid.
func (p *page) all(id string) []*html.Node {
	var found []*html.Node
	for n := range p.root.Descendants() {
		if attr(n, "data-testid") == id {
			found = append(found, n)
		}
	}
	return found
}

// one is the only element with the given data-testid.
func (p *page) one(id string) *html.Node {
	p.t.Helper()
	found := p.all(id)
	if len(found) != 1 {
		p.t.Fatalf("%d elements %q on the page, want 1", len(found), id)
	}
	return found[0]
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what a person reads in n.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// deleteFolder removes a folder behind Skylift's back.
func (s *site) deleteFolder(login, id string) {
	s.t.Helper()
	if err := s.microsoft.Client(s.t, login).Delete(s.t.Context(), onedrive.Ref{ID: id}, ""); err != nil {
		s.t.Fatal(err)
	}
}
