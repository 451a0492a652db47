// Package sse writes Server-Sent Events: framing, flushing, and a comment now and then that
// keeps the line open. https://html.spec.whatwg.org/multipage/server-sent-events.html
package sse

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Event is one event of a stream.
type Event struct {
	ID   uint64 // 0: the event has no id
	Name string // one word; "" is the default event, "message"
	Data []byte // any text: line breaks of all kinds stay inside this one event
}

// AppendTo appends the event as it goes over the wire.
func (e Event) AppendTo(b []byte) []byte {
	if e.ID != 0 {
		b = append(b, "id: "...)
		b = strconv.AppendUint(b, e.ID, 10)
		b = append(b, '\n')
	}
	if e.Name != "" {
		b = append(b, "event: "...)
		b = append(b, oneLine(e.Name)...)
		b = append(b, '\n')
	}
	for line := range lines(e.Data) {
		b = append(b, "data: "...)
		b = append(b, line...)
		b = append(b, '\n')
	}
	return append(b, '\n')
}

// lines yields the lines of data. CR, LF and CRLF all end a line in an event stream, so all of
// them are line breaks here; the browser joins the lines with LF.
func lines(data []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for {
			i := bytes.IndexAny(data, "\r\n")
			if i < 0 {
				yield(data)
				return
			}
			if !yield(data[:i]) {
				return
			}
			if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
				i++
			}
			data = data[i+1:]
		}
	}
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, s)
}

// Writer writes one stream. It is not safe for concurrent use.
type Writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
	buffer  []byte
}

// WriteLimit is how long one write may take before the reader counts as gone.
const WriteLimit = 10 * time.Second

// Open starts a stream: the headers go out at once, so the browser knows that it stands.
func Open(w http.ResponseWriter) (*Writer, error) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx must pass each event on at once
	s := &Writer{w: w, control: http.NewResponseController(w), limit: WriteLimit}
	w.WriteHeader(http.StatusOK)
	return s, s.flush([]byte(": hello\n\n"))
}

// Send writes events and flushes them together.
func (s *Writer) Send(events ...Event) error {
	b := s.buffer[:0]
	for _, e := range events {
		b = e.AppendTo(b)
	}
	s.buffer = b
	return s.flush(b)
}

// Ping writes a comment: proxies see life, and a reader who is gone is found out.
func (s *Writer) Ping() error { return s.flush([]byte(": ping\n\n")) }

// Retry tells the browser how long to wait before it comes back.
func (s *Writer) Retry(d time.Duration) error {
	return s.flush(fmt.Appendf(nil, "retry: %d\n\n", d.Milliseconds()))
}

// flush writes under a deadline of its own: the server has none for whole answers, and a reader
// that takes nothing must not hold a goroutine for ever.
func (s *Writer) flush(b []byte) error {
	// A ResponseWriter without deadlines (a test's recorder) is written to without one.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.limit))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}

// LastEventID is where a reader wants to go on: the header that browsers send when they come
// back, else the query parameter "since" of the first call. 0 means that neither was sent; a reader
// who says that the last it saw was 0 wants everything, and gets 1, which is before every event.
func LastEventID(r *http.Request) uint64 {
	for _, s := range []string{r.Header.Get("Last-Event-ID"), r.URL.Query().Get("since")} {
		if id, err := strconv.ParseUint(s, 10, 64); err == nil {
			return max(id, 1)
		}
	}
	return 0
}

// Pump carries items from a sequence, which blocks, into a channel that a select can wait on.
// The goroutine ends with ctx or with the sequence, whichever is first; then the channel closes.
func Pump[T any](ctx context.Context, seq func(yield func(T, error) bool), failed func(error)) <-chan T {
	out := make(chan T)
	go func() { // owned by the caller through ctx
		defer close(out)
		for item, err := range seq {
			if err != nil {
				failed(err)
				return
			}
			select {
			case out <- item:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
