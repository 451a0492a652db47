package sse_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skylift/handlers/sse"
)

// parse reads a stream as the standard says that browsers do.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
func parse(stream string) []sse.Event {
	var events []sse.Event
	var e sse.Event
	var data []string
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(stream)
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if data != nil {
				e.Data = []byte(strings.Join(data, "\n"))
				events = append(events, e)
			}
			e, data = sse.Event{}, nil
		case name == "event":
			e.Name = value
		case name == "data":
			data = append(data, value)
		}
	}
	return events
}

func FuzzEventIsExactlyOneEvent(f *testing.F) {
	for _, s := range []string{"", "{}", "a\nb", "a\r\nb", "a\rb", "\n\nevent: x\ndata: y\n\n", "\r\r", "id: 9", ": c", "\u2028\u2029\x00", "data"} {
		f.Add("transfer", s)
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, name, data string) {
		wire := sse.Event{ID: 7, Name: name, Data: []byte(data)}.AppendTo(nil)
		events := parse(string(wire))
		if len(events) != 1 {
			t.Fatalf("%q %q became %d events: %q", name, data, len(events), wire)
		}
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
		if got := string(events[0].Data); got != want {
			t.Errorf("data %q arrived as %q", want, got)
		}
		if bytes.ContainsAny([]byte(events[0].Name), "\r\n") {
			t.Errorf("name %q", events[0].Name)
		}
	})
}

func TestOpenSendsHeadersAtOnce(t *testing.T) {
	w := httptest.NewRecorder()
	s, err := sse.Open(w)
	if err != nil || !w.Flushed {
		t.Fatalf("Open: %v, flushed %v", err, w.Flushed)
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if err := s.Send(sse.Event{ID: 1, Name: "a", Data: []byte("x")}, sse.Event{ID: 2, Name: "b", Data: []byte("y")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(); err != nil {
		t.Fatal(err)
	}
	if got := parse(w.Body.String()); len(got) != 2 {
		t.Errorf("%d events in %q", len(got), w.Body.String())
	}
}

func TestLastEventIDPrefersTheHeader(t *testing.T) {
	for _, c := range []struct {
		header, query string
		want          uint64
	}{{"", "", 0}, {"5", "", 5}, {"", "7", 7}, {"5", "7", 5}, {"x", "7", 7}, {"-1", "", 0}, {"18446744073709551616", "", 0}} {
		r, _ := http.NewRequest("GET", "/events?since="+c.query, nil)
		r.Header.Set("Last-Event-ID", c.header)
		if got := sse.LastEventID(r); got != c.want {
			t.Errorf("header %q, query %q: %d, want %d", c.header, c.query, got, c.want)
		}
	}
}

func TestPumpEndsWithItsContextAndItsSequence(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := func(yield func(int, error) bool) {
		for i := 0; yield(i, nil); i++ {
		}
	}
	out := sse.Pump(ctx, endless, func(error) {})
	if first := <-out; first != 0 {
		t.Errorf("first = %d", first)
	}
	cancel()
	for range out { // ends, or the test hangs
	}
	broken := errors.New("broken")
	var got error
	out = sse.Pump(t.Context(), func(yield func(int, error) bool) { yield(0, broken) }, func(err error) { got = err })
	for range out {
	}
	if got != broken {
		t.Errorf("failed with %v", got)
	}
}
