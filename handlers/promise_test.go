package handlers_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"skylift/handlers"
	"skylift/onedrive"
)

// What any client of HTTP may expect of any route.

func TestHeadAnswersLikeGetWithoutABody(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	id := b.submit(s.sample("meadow.jpg"))
	b.final(id)
	own := []string{"/auth/callback", "/auth/panel/done"} // each answer of these is another one
	for _, r := range s.handler.Routes() {
		path := strings.Replace(fill(r.Path, id), "/static/x", "/static/favicon.svg", 1)
		if r.Method != http.MethodGet || slices.Contains(own, r.Path) {
			continue
		}
		head := b.do(http.MethodHead, path, "", nil)
		if head.body != "" {
			t.Errorf("HEAD %s has a body", path)
		}
		if strings.HasSuffix(path, "/events") { // a GET of these does not end
			if head.status != 200 || head.header("Content-Type") != "text/event-stream" {
				t.Errorf("HEAD %s = %d %s", path, head.status, head.header("Content-Type"))
			}
			continue
		}
		get := b.get(path)
		if head.status != get.status || head.header("Content-Type") != get.header("Content-Type") {
			t.Errorf("HEAD %s = %d %q, GET = %d %q", path, head.status, head.header("Content-Type"), get.status, get.header("Content-Type"))
		}
	}
}

func TestASlashAtTheEndChangesNothing(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for _, path := range []string{"/transfers", "/settings", "/healthz", "/api/v1/me", "/api/v1/transfers"} {
		b.get(path + "/").want(200)
	}
	if got := b.json("POST", "/api/v1/transfers/", map[string]any{"sourceUrl": s.sample("meadow.jpg")}); got.status != 202 {
		t.Errorf("POST with a slash = %d", got.status)
	}
	for _, path := range []string{"//evil.example/", "/evil.example//", "/nothing/"} {
		if got := b.get(s.url + path); got.status != 404 || got.header("Location") != "" {
			t.Errorf("%s = %d to %q", path, got.status, got.header("Location"))
		}
	}
	for _, path := range []string{"/api/v1/", "/api/v1", "/api", "/api/", "/api/v2/me"} {
		if code := b.get(path).want(404).code(); code != "notFound" {
			t.Errorf("%s: code = %q", path, code)
		}
	}
}

func TestACursorThatNoListGaveIsRefused(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for _, cursor := range []string{"x", "%00", "..", strings.Repeat("A", 3000)} {
		if code := b.get("/api/v1/transfers?cursor=" + cursor).want(400).code(); code != "invalidRequest" {
			t.Errorf("code = %q", code)
		}
	}
	b.get("/transfers?cursor=x").want(400)
}

func TestTheWebManifestSharesToTheSavePage(t *testing.T) {
	s := setup(t)
	b := s.browser()
	got := b.get("/manifest.webmanifest").want(200)
	m := got.json()
	share, _ := m["share_target"].(map[string]any)
	if got.header("Content-Type") != "application/manifest+json" || share["action"] != "/save" || share["method"] != "POST" || share["enctype"] != "multipart/form-data" {
		t.Errorf("%s: %v", got.header("Content-Type"), m)
	}
	icons, _ := m["icons"].([]any)
	for _, icon := range icons {
		b.get(icon.(map[string]any)["src"].(string)).want(200)
	}
	if len(icons) < 2 || !strings.Contains(b.get("/").body, `<link rel="manifest" href="/manifest.webmanifest"`) {
		t.Error("no icons, or no page names the manifest")
	}
}

// A client that promises a body and sends none must not hold a connection, whoever reads the body.
func TestABodyThatNeverComesIsNotWaitedFor(t *testing.T) {
	s := setup(t, func(o *handlers.Options) { o.Limits.Body = 100 * time.Millisecond })
	for _, path := range []string{"/csp-report", "/api/v1/devices/token", "/nothing-here"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", path)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err == nil {
			_, err = r.Discard(1 << 20) // until the server hangs up
			resp.Body.Close()
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Errorf("%s: the server still waits", path)
		}
	}
}

// A client that sends all of its body before it looks finds the answer, however much too large the body is.
func TestARefusalReachesWhoIsStillSending(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	host := strings.TrimPrefix(s.url, "http://")
	cookie := b.http.Jar.Cookies(must(url.Parse(s.url))(t))[0].String()
	body := make([]byte, 15<<20)
	for request, want := range map[string]int{"POST /api/v1/transfers": 413, "PUT /api/v1/transfers/01K0000000000000000000000A/content": 404, "POST /transfers": 413} {
		conn := must(net.Dial("tcp", host))(t)
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", request, host, cookie, len(body))
		if _, err := conn.Write(body); err != nil {
			t.Errorf("%s: %v while it sends", request, err)
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v %v, want %d", request, resp, err, want)
		}
	}
}

// The time that a body may take must not end a request whose body has come and whose answer takes longer.
func TestAnAnswerMayTakeLongerThanABody(t *testing.T) {
	const body = 100 * time.Millisecond
	s := setup(t, func(o *handlers.Options) {
		o.Limits.Body = body
		client := o.Client
		o.Client = func(ctx context.Context, user string) (*onedrive.Client, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(3 * body):
				return client(ctx, user)
			}
		}
	})
	b := s.signIn(robin)
	b.json("POST", "/api/v1/folders", map[string]any{"name": "Slowly made"}).want(201)
}

func TestABatchsKeyIsNoSingleTransfersKey(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	post := func(path, key, body string) answer {
		return b.do("POST", path, body, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}}).want(202)
	}
	line := func() string {
		value, _ := post("/api/v1/transfers/batch", "k", `{"transfers":[{"sourceUrl":"`+s.sample("meadow.jpg")+`"}]}`).json()["value"].([]any)
		return value[0].(map[string]any)["id"].(string)
	}
	first := line()
	for _, key := range []string{"k", "k/0", "k-0", "k0"} {
		if id := post("/api/v1/transfers", key, `{"sourceUrl":"`+s.sample("aurora.png")+`"}`).json()["id"]; id == first {
			t.Errorf("key %q stands for the first line of the batch with key k", key)
		}
	}
	if again := line(); again != first {
		t.Errorf("the same batch again made %s, want %s", again, first)
	}
}
