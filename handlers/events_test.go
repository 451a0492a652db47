package handlers_test

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
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
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	r, _ := http.NewRequestWithContext(ctx, "GET", b.s.url+path, nil)
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
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

func TestTheOldestOfTooManyStreamsEnds(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	var streams []*eventStream
	for range 5 {
		streams = append(streams, b.events("/events"))
	}
	if e := streams[0].next(); e.name != "bye" || e.data != "replaced" {
		t.Errorf("oldest stream: %+v, want it to end", e)
	}
	id := b.submit(s.sample("meadow.jpg"))
	for _, stream := range streams[1:] {
		stream.until(id, "completed")
	}
}

func TestSigningOutEverywhereEndsStreams(t *testing.T) {
	s := setup(t)
	b, other := s.signIn(robin), s.signIn(robin)
	stream := other.events("/events")
	b.form("/settings/sign-out-everywhere").want(303)
	if e := stream.next(); e.name != "bye" || e.data != "signedOut" {
		t.Errorf("stream of the other browser: %+v", e)
	}
	other.get("/transfers").want(401)
}
