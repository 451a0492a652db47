package handlers_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skylift/handlers"
)

// event is one event of a stream as a browser sees it.
type event struct {
	id   uint64
	name string
	data string
}

// eventStream reads one stream.
type eventStream struct {
	t      *testing.T
	status int
	head   http.Header
	lines  *bufio.Scanner
	close  context.CancelFunc
}

func (b *browser) events(path string, head ...string) *eventStream {
	t := b.s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	if strings.HasPrefix(path, "/") {
		path = b.s.url + path
	}
	r, _ := http.NewRequestWithContext(ctx, "GET", path, nil)
	for i := 0; i+1 < len(head); i += 2 {
		if head[i+1] != "" {
			r.Header.Set(head[i], head[i+1])
		}
	}
	if b.key != "" {
		r.Header.Set("Authorization", "Bearer "+b.key)
	}
	client := *b.http
	client.Timeout = 0
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return &eventStream{t, resp.StatusCode, resp.Header, lines, cancel}
}

// next is the next event; comments and retry lines are passed over. At the end of the stream it
// has the name "end".
func (s *eventStream) next() event {
	s.t.Helper()
	var e event
	var data []string
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			e.id, _ = strconv.ParseUint(value, 10, 64)
		case "event":
			e.name = value
		case "data":
			data = append(data, value)
		case "":
			if e.data = strings.Join(data, "\n"); s.lines.Text() == "" && (e.name != "" || e.data != "") {
				return e
			}
		}
	}
	return event{name: "end"}
}

// until reads on to the first event whose data contains all of the given words.
func (s *eventStream) until(words ...string) event {
	s.t.Helper()
next:
	for {
		e := s.next()
		if e.name == "end" {
			s.t.Fatalf("the stream ended before %q", words)
		}
		for _, w := range words {
			if !strings.Contains(e.data, w) {
				continue next
			}
		}
		return e
	}
}

func TestEventsShowATransferToItsEndOnPageAndAPI(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	pages, api := b.events("/events"), b.events("/api/v1/events")
	for _, stream := range []*eventStream{pages, api} {
		if typ := stream.head.Get("Content-Type"); typ != "text/event-stream" {
			t.Fatalf("type = %q", typ)
		}
		if stream.head.Get("X-Accel-Buffering") != "no" {
			t.Error("a proxy would buffer the stream")
		}
	}
	id := b.submit(s.sample("meadow.jpg"))
	row := pages.until(id, `data-state="completed"`)
	if row.name != "transfer" || row.id == 0 || !strings.Contains(row.data, `id="t-`+id+`"`) {
		t.Errorf("event = %+v", row)
	}
	if e := api.until(id, `"state":"completed"`); strings.Contains(e.data, "\n") || e.name != "transfer" {
		t.Errorf("event = %+v, want one line of JSON", e)
	}
	b.do("DELETE", "/api/v1/transfers/"+id, "", nil).want(204)
	if e := api.until(`{"id":"` + id + `"}`); e.name != "deleted" {
		t.Errorf("event = %+v, want deleted", e)
	}
}

func TestEventsGoOnWhereTheReaderLeft(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	first := b.events("/api/v1/events")
	one := b.submit(s.sample("meadow.jpg"))
	seen := first.until(one, `"completed"`)
	first.close()
	two := b.submit(s.sample("meadow.jpg"))
	b.final(two)
	again := b.events("/api/v1/events", "Last-Event-ID", strconv.FormatUint(seen.id, 10))
	if e := again.next(); !strings.Contains(e.data, two) || e.id <= seen.id {
		t.Errorf("first event after %d = %+v, want the transfer that was missed", seen.id, e)
	}
}

func TestEventsOfOthersAreNeverSeen(t *testing.T) {
	s := setup(t)
	mine, theirs := s.signIn(robin), s.signIn(kim)
	stream := mine.events("/api/v1/events")
	foreign := theirs.submit(s.sample("meadow.jpg"))
	theirs.final(foreign)
	own := mine.submit(s.sample("meadow.jpg"))
	for {
		e := stream.next()
		if strings.Contains(e.data, foreign) {
			t.Fatalf("a foreign transfer in the stream: %s", e.data)
		}
		if strings.Contains(e.data, own) && strings.Contains(e.data, `"completed"`) {
			return
		}
	}
}

func TestDrainEndsStreamsWithAWord(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	stream := b.events("/events")
	s.handler.Drain()
	if e := stream.next(); e.name != "bye" || e.data != "drain" {
		t.Errorf("last event = %+v", e)
	}
	if e := stream.next(); e.name != "end" {
		t.Errorf("after the drain came %+v", e)
	}
	b.get("/readyz").want(503)
	b.get("/healthz").want(200)
}

// The session counts, whatever else stands in the Cookie header. Of those that come back at once none
// ends another's stream.
func TestTheOldestOfTooManyStreamsEnds(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.http.Transport = &http.Transport{} // a connection for each stream
	session := b.http.Jar.Cookies(must(url.Parse(s.url))(t))[0].String()
	var streams []*eventStream
	for i := range 33 {
		streams = append(streams, b.events("/events", "Cookie", session+"; junk="+strconv.Itoa(i)))
	}
	if e := streams[0].next(); e.name != "bye" || e.data != "replaced" {
		t.Errorf("oldest stream: %+v, want it to end", e)
	}
	if again := b.events("/events"); again.status != http.StatusTooManyRequests || again.head.Get("Retry-After") != "60" {
		t.Errorf("the one that was ended comes back and gets %d, Retry-After %q", again.status, again.head.Get("Retry-After"))
	}
	id := b.submit(s.sample("meadow.jpg"))
	for _, stream := range streams[1:] {
		stream.until(id, "completed")
	}
}

func TestAUserHasSoManyStreamsAndNoMore(t *testing.T) {
	numbers := prometheus.NewRegistry()
	s := setup(t, func(o *handlers.Options) { o.Metrics = numbers })
	first := s.signIn(robin).events("/events")
	for range 3 {
		b := s.signIn(robin)
		for range 21 {
			b.events("/events")
		}
	}
	s.signIn(kim).events("/events")
	for _, family := range must(numbers.Gather())(t) {
		if n := family.Metric[0].GetGauge().GetValue(); family.GetName() == "skylift_event_streams" && n != 65 {
			t.Fatalf("%v streams are open, want 64 of one user and one of another", n)
		}
	}
	s.signIn(robin).events("/events")
	if e := first.next(); e.name != "bye" || e.data != "replaced" {
		t.Errorf("oldest stream: %+v, want it to end", e)
	}
}

// What has ended hears nothing more: its own streams end with it, others go on.
func TestStreamsEndWithWhatOpenedThem(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*browser)
		want string
	}{
		"signing out":           {func(b *browser) { b.form("/auth/logout").want(303) }, "signedOut"},
		"a new sign-in":         {func(b *browser) { b.signInAs(kim) }, "signedIn"},
		"somebody else's key":   {func(b *browser) { b.s.signIn(kim).form("/settings/devices/" + b.s.deviceID(b) + "/revoke").want(404) }, ""},
		"a key that is revoked": {func(b *browser) { b.form("/settings/devices/" + b.s.deviceID(b) + "/revoke").want(303) }, "the key's"},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t)
			b, other := s.signIn(robin), s.signIn(robin)
			script := s.browser()
			script.key = b.makeKey()
			streams := map[string]*eventStream{"the session's": b.events("/events"), "the key's": script.events("/api/v1/events"), "another session's": other.events("/events")}
			c.end(b)
			for whose, stream := range streams {
				want := event{}
				switch {
				case whose == c.want:
					want = event{name: "bye", data: "signedOut"}
				case whose == "the session's" && c.want != "the key's" && c.want != "":
					want = event{name: "bye", data: c.want}
				}
				if want == (event{}) {
					continue
				}
				if e := stream.next(); e != want {
					t.Errorf("%s stream: %+v, want %+v", whose, e, want)
				}
				delete(streams, whose)
			}
			id := other.submit(s.sample("meadow.jpg"))
			for _, stream := range streams {
				stream.until(id, "completed")
			}
		})
	}
}

// An instance that was not told finds out by itself.
func TestAStreamElsewhereEndsWithTheSession(t *testing.T) {
	s := setup(t)
	options := s.options
	options.Ping = 20 * time.Millisecond
	elsewhere := httptest.NewServer(handlers.New(options))
	t.Cleanup(elsewhere.Close)
	b := s.signIn(robin)
	stream := b.events(elsewhere.URL+"/events", "Cookie", b.cookie())
	script := s.browser()
	script.key = b.makeKey()
	keyed := script.events(elsewhere.URL + "/api/v1/events")
	id := b.submit(s.sample("meadow.jpg"))
	keyed.until(id, "completed")
	stream.until(id, "completed") // many looks at the session later
	b.form("/settings/devices/" + s.deviceID(b) + "/revoke").want(303)
	if e := keyed.next(); e.name != "bye" || e.data != "signedOut" {
		t.Errorf("stream of the key: %+v", e)
	}
	b.form("/auth/logout").want(303)
	if e := stream.next(); e.name != "bye" || e.data != "signedOut" {
		t.Errorf("stream of the session: %+v", e)
	}
}

// A page of one account that comes back with another's cookie gets nothing of the other.
func TestAPageFollowsItsOwnAccountOnly(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.submit(s.sample("meadow.jpg"))
	address := attr(b.get("/").want(200).page().one("transfers"), "data-live")
	if stream := b.events(address); stream.status != http.StatusOK {
		t.Fatalf("the page's own stream %q: %d", address, stream.status)
	}
	b.signInAs(kim)
	if stream := b.events(address); stream.status != http.StatusUnauthorized {
		t.Errorf("another account's cookie: %d, want 401", stream.status)
	}
	if other := attr(b.get("/").want(200).page().one("transfers"), "data-live"); other == address {
		t.Error("two accounts' pages share one stream and one channel")
	}
}

func TestSigningOutEverywhereEndsStreams(t *testing.T) {
	s := setup(t)
	b, other := s.signIn(robin), s.signIn(robin)
	stream := other.events("/events")
	b.form("/settings/sign-out-everywhere").want(200)
	if e := stream.next(); e.name != "bye" || e.data != "signedOut" {
		t.Errorf("stream of the other browser: %+v", e)
	}
	other.get("/transfers").want(401)
}
