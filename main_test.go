package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skylift/onedrive/transfer/natsd"
)

// TestOneURLEndToEnd runs the whole program as a newcomer starts it, and goes one URL's way:
// sign in, save, follow the events, find the file in the demo drive.
func TestOneURLEndToEnd(t *testing.T) {
	p := start(t, t.TempDir())
	c := p.signIn(t, "robin@demo.example")
	saved := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/meadow.jpg"}`)
	missing := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/missing.jpg"}`)
	last := c.follow(t, saved.ID, missing.ID)

	if got := last[saved.ID]; got.State != "completed" || got.Item.Size <= 0 {
		t.Errorf("the good URL ended as %+v, want completed with an item", got)
	}
	if got := last[missing.ID]; got.State != "failed" || got.Error.Code != "sourceNotFound" {
		t.Errorf("the missing URL ended as %+v, want failed with sourceNotFound", got)
	}
	if body := c.get(t, last[saved.ID].Item.WebURL); !strings.Contains(body, last[saved.ID].Name) {
		t.Errorf("the link %s does not show %s", last[saved.ID].Item.WebURL, last[saved.ID].Name)
	}
}

// TestARestartLosesNothing stops the program in the middle of a transfer and starts it again on
// the same folder.
func TestARestartLosesNothing(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	c := p.signIn(t, "robin@demo.example")
	sent := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/slow.jpg"}`)
	p.stop(t)

	// A POST whose answer the stop cut off is looked for as long as a stall takes.
	p = start(t, dir, "-listen", strings.TrimPrefix(p.url, "http://"), "-native-stall", "3s")
	c.base = p.url
	// The stand-in keeps nothing, so its monitor is gone with it: what counts is that the
	// transfer is still there, goes on, and ends.
	if got := c.follow(t, sent.ID)[sent.ID]; got.State != "completed" {
		t.Errorf("after the restart it ended as %+v, want completed", got)
	}
}

// program is a running Skylift.
type program struct {
	url     string
	metrics string // host and port, if it has them
	log     *testLog
	end     context.CancelFunc
	done    chan error // what it ended with, then closed
}

// start runs the program on a free port with its data in dir until the test ends.
func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	log := &testLog{t: t}
	p := &program{log: log, end: cancel, done: make(chan error, 1)}
	go func() {
		p.done <- run(ctx, append([]string{"-listen", "localhost:0", "-data", dir, "-metrics", ""}, args...), nil, in, log)
		close(p.done)
		in.Close()
	}()
	t.Cleanup(func() { p.stop(t); log.close() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "Skylift is at "); ok {
			p.url, p.metrics = address, log.metrics()
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends when run closes in
			return p
		}
	}
	t.Fatalf("the program did not start: %v", <-p.done)
	return nil
}

// stop ends the program as an interrupt does; a second stop does nothing.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.end()
	if err := <-p.done; err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

// testLog hands the program's log to the test, and refuses lines after its end.
type testLog struct {
	mu     sync.Mutex
	t      *testing.T
	listen string   // where the metrics are
	failed []string // the lines of transfers that failed
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	var line struct{ Msg, Listen string }
	if json.Unmarshal(b, &line) == nil && line.Msg == "metrics" {
		l.listen = line.Listen
	}
	if line.Msg == "transfer failed" {
		l.failed = append(l.failed, string(b))
	}
	return len(b), nil
}

func (l *testLog) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failed)
}

func (l *testLog) metrics() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.listen
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = nil
}

// caller is a person's browser as far as cookies go.
type caller struct {
	http *http.Client
	base string
}

// signIn goes through the stand-in's sign-in as somebody whom it knows already.
func (p *program) signIn(t *testing.T, login string) *caller {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{base: p.url, http: &http.Client{Jar: jar, Timeout: time.Minute}}
	c.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/authorize") {
			q := r.URL.Query()
			q.Set("prompt", "none")
			q.Set("login_hint", login)
			r.URL.RawQuery = q.Encode()
		}
		return nil
	}
	if body := c.get(t, p.url+"/auth/login"); !regexp.MustCompile(`(?i)sign out`).MatchString(body) {
		t.Fatalf("not signed in: %s", body)
	}
	return c
}

// seen is what these tests read of a Transfer.
type seen struct {
	ID, State, Route, Name string
	Item                   *struct {
		ID     string
		Size   int64
		WebURL string
	}
	Error *struct{ Code, Message, Advice string }
}

func (c *caller) get(t *testing.T, address string) string {
	t.Helper()
	if _, err := url.Parse(address); err != nil {
		t.Fatal(err)
	}
	res, err := c.http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v", address, res.Status, err)
	}
	return string(body)
}

func (c *caller) post(t *testing.T, path, body string) (s seen) {
	t.Helper()
	res, err := c.http.Post(c.base+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("POST %s: %s %s", path, res.Status, text)
	}
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// follow reads the event stream until all of the transfers are final.
func (c *caller) follow(t *testing.T, ids ...string) map[string]seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "1024") // a short transfer may have ended before this stream opened
	stream := *c.http
	stream.Timeout = 0
	res, err := stream.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	last, open := map[string]seen{}, map[string]bool{}
	for _, id := range ids {
		open[id] = true
	}
	for lines := bufio.NewScanner(res.Body); len(open) > 0 && lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var s seen
		if !ok || json.Unmarshal([]byte(data), &s) != nil {
			continue
		}
		last[s.ID] = s
		if s.State == "completed" || s.State == "failed" || s.State == "cancelled" {
			delete(open, s.ID)
		}
	}
	if len(open) > 0 {
		t.Fatalf("still open when the stream ended: %v; last seen %v", open, last)
	}
	return last
}

func TestATakenMetricsAddressIsFoundBeforeAnythingIsAnnounced(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out strings.Builder
	err = run(t.Context(), []string{"-listen", "localhost:0", "-data", natsd.Memory, "-metrics", taken.Addr().String()}, nil, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "SKYLIFT_METRICS") || out.Len() > 0 {
		t.Errorf("error %v after %q", err, out.String())
	}
}

// With a public address of its own the port that was picked would be printed nowhere.
func TestBothAddressesAreTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { // ends with ctx
		done <- run(ctx, []string{"-listen", "localhost:0", "-url", "https://skylift.example", "-data", natsd.Memory, "-metrics", ""}, nil, in, io.Discard)
		in.Close()
	}()
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "Press") {
			cancel()
		}
	}
	if err := <-done; err != nil || !regexp.MustCompile(`(?m)^Skylift is at https://skylift.example\nIt listens on localhost:[1-9]\d*$`).MatchString(said.String()) {
		t.Errorf("%v: %s", err, said.String())
	}
}

func TestATakenAddressSaysWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	err = run(t.Context(), []string{"-listen", taken.Addr().String(), "-data", natsd.Memory, "-metrics", ""}, nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "choose another address") {
		t.Errorf("error %v", err)
	}
}

// Whoever starts a second one beside the first hears of both, the folder and the address, before anything else is opened.
func TestASecondSkyliftIsToldAllThatIsTaken(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	var out, log strings.Builder
	err := run(t.Context(), []string{"-listen", strings.TrimPrefix(first.url, "http://"), "-data", dir, "-metrics", "localhost:0"}, nil, &out, &log)
	for _, want := range []string{prefix + "DATA: another Skylift", "-data", prefix + "LISTEN: another program", "-listen"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if out.Len() > 0 || strings.Contains(log.String(), "metrics") {
		t.Errorf("it announces %q and logs %s", out.String(), log.String())
	}
}

// What keeps the store from opening is told by the name of the setting to mend, before anything is announced.
func TestAStoreThatDoesNotOpenNamesItsSetting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"DATA": {"-data", file}, "NATS": {"-nats", "nats://127.0.0.1:1"}} {
		var out strings.Builder
		err := run(t.Context(), append(args, "-listen", "localhost:0", "-metrics", ""), nil, &out, io.Discard)
		if err == nil || !strings.Contains(err.Error(), prefix+name+":") || out.Len() > 0 {
			t.Errorf("%s: error %v after %q", name, err, out.String())
		}
	}
}

// A Skylift can be pointed at another one's demo: what that gives out at 127.0.0.1 is the Graph at localhost.
func TestALiveSkyliftWorksWithTheDemoOfAnother(t *testing.T) {
	demo := start(t, natsd.Memory)
	live := start(t, natsd.Memory, "-client-id", "app", "-client-secret", "secret", "-login-url", demo.url+"/demo", "-graph-url", demo.url+"/demo/v1.0",
		"-allow-sources", strings.TrimPrefix(demo.url, "http://"))
	c := live.signIn(t, "robin@demo.example")
	large := c.post(t, "/api/v1/transfers", `{"route":"upload","name":"large.bin"}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, live.url+"/api/v1/transfers/"+large.ID+"/content", bytes.NewReader(make([]byte, 5<<20)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	fetched := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+demo.url+`/demo/samples/redirect.jpg"}`)
	for id, got := range c.follow(t, large.ID, fetched.ID) {
		if got.State != "completed" {
			t.Errorf("%s ended as %+v, want completed", id, got)
		}
	}
}

func TestTheStandInIsGoneOnceAClientIDIsSet(t *testing.T) {
	for _, tt := range []struct {
		mode   string
		status int
		args   []string
	}{
		{"demo", http.StatusOK, nil},
		{"live", http.StatusNotFound, []string{"-client-id", "app", "-client-secret", "secret"}},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			p := start(t, natsd.Memory, tt.args...)
			for path, want := range map[string]int{"/demo/common/v2.0/.well-known/openid-configuration": tt.status, "/demo/samples/meadow.jpg": tt.status, "/demo": tt.status, "/demo/": tt.status, "/gallery": tt.status, "/readyz": 200} {
				resp, err := http.Get(p.url + path)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != want {
					t.Errorf("%s = %d, want %d", path, resp.StatusCode, want)
				}
				if path == "/readyz" && !strings.Contains(string(body), `"mode":"`+tt.mode+`"`) {
					t.Errorf("/readyz says %s", body)
				}
			}
		})
	}
}

// The demo's keys and its way to the sign-in are at the public address, whatever a request says of itself.
func TestTheDemosAddressesAreItsOwn(t *testing.T) {
	p := start(t, t.TempDir())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/demo/common/v2.0/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil.example"
	r.Header.Set("X-Forwarded-Host", "evil.example")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(body), p.url+"/demo/common/discovery/v2.0/keys") || strings.Contains(string(body), "evil") {
		t.Errorf("%s, %v", body, err)
	}
}

// Whom the demo let in stays outside once a client id is set, whichever build made their session and key;
// and whom another tenant let in.
func TestSessionsAndKeysEndWithTheRegistration(t *testing.T) {
	ask := func(t *testing.T, p *program, header, value string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/transfers", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header, value)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for name, earlier := range map[string]bool{"of this build": false, "of an earlier build": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, "data")
			var who struct{ Cookie, Key string }
			if earlier {
				unpack(t, "onedrive/transfer/testdata/records/each-state.tgz", dir)
				text, err := os.ReadFile(filepath.Join(dir, "caller.json"))
				if err != nil || json.Unmarshal(text, &who) != nil {
					t.Fatal(err)
				}
			}
			demo := start(t, data, "-retention", "876000h")
			if !earlier {
				who.Cookie, who.Key = demo.signIn(t, "robin@demo.example").cookieAndKey(t)
			}
			live := []string{"-retention", "876000h", "-client-id", "app", "-client-secret", "secret"}
			for _, restart := range []struct {
				as   string
				args []string
				want int
			}{
				{"the demo", []string{"-retention", "876000h"}, http.StatusOK},
				{"an app registration", live, http.StatusUnauthorized},
				{"one with another tenant", append(live, "-tenant", "organizations"), http.StatusUnauthorized},
				{"the demo once more", []string{"-retention", "876000h"}, http.StatusOK},
			} {
				demo.stop(t)
				demo = start(t, data, restart.args...)
				for by, header := range map[string][2]string{"cookie": {"Cookie", who.Cookie}, "key": {"Authorization", "Bearer " + who.Key}} {
					if got := ask(t, demo, header[0], header[1]); got != restart.want {
						t.Errorf("started as %s, the %s is answered %d, want %d", restart.as, by, got, restart.want)
					}
				}
			}
		})
	}
}

// cookieAndKey are the caller's Cookie header, and a key that they make in the settings.
func (c *caller) cookieAndKey(t *testing.T) (cookie, key string) {
	t.Helper()
	at, err := url.Parse(c.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range c.http.Jar.Cookies(at) {
		cookie += k.String() + "; "
	}
	res, err := c.http.PostForm(c.base+"/settings/devices", url.Values{"name": {"a script"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return cookie, regexp.MustCompile(`skl_[A-Za-z0-9_-]{43}`).FindString(string(page))
}

// deadlines remembers the last deadline of an answer.
type deadlines struct {
	http.ResponseWriter
	last time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.last = t
	return nil
}

// A header that comes drop by drop holds no connection, an answer that nobody takes none either.
func TestNoClientHoldsAConnection(t *testing.T) {
	srv := newServer(http.NotFoundHandler())
	if srv.ReadHeaderTimeout <= 0 || srv.ReadHeaderTimeout > 10*time.Second || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes > 32<<10 {
		t.Errorf("header %v, idle %v, %d bytes of header", srv.ReadHeaderTimeout, srv.IdleTimeout, srv.MaxHeaderBytes)
	}
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	srv.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if left := time.Until(w.last); left <= 0 || left > time.Minute {
		t.Errorf("a client may take nothing of an answer for %v", left)
	}
	srv.ReadHeaderTimeout /= 100
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(ln) // ends with Close
	defer srv.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	drops := time.NewTicker(srv.ReadHeaderTimeout / 4)
	defer drops.Stop()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: ")
	for range 100 {
		if _, err := io.WriteString(conn, "x"); err != nil {
			return // hung up on
		}
		<-drops.C
	}
	t.Error("a header that never ends is still read")
}

func TestWhatIsLoggedStaysOnItsLine(t *testing.T) {
	var out strings.Builder
	newLog(&out, slog.LevelInfo).Info("a", "name", "x\nlevel=ERROR msg=forged\x1b[31m\r")
	if line := strings.TrimSuffix(out.String(), "\n"); strings.ContainsAny(line, "\n\r\x1b") || !json.Valid([]byte(line)) {
		t.Errorf("logged %q", line)
	}
}
