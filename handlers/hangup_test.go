package handlers_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skylift/handlers"
)

// hung serves an answer that never ends to a client that takes nothing, and waits for the handler's end.
func hung(t *testing.T, limit time.Duration, begin func(http.ResponseWriter)) {
	t.Helper()
	ended := make(chan error, 1)
	server := httptest.NewServer(handlers.HangUp(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begin(w)
		for piece := make([]byte, 1<<20); ; {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	}), limit))
	defer server.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a client that takes nothing still holds the handler")
	}
}

func TestAClientThatTakesNothingIsHungUpOn(t *testing.T) {
	t.Parallel()
	hung(t, 100*time.Millisecond, func(http.ResponseWriter) {})
}

// An event stream has a shorter patience.
func TestAHandlersOwnDeadlineCounts(t *testing.T) {
	t.Parallel()
	hung(t, time.Hour, func(w http.ResponseWriter) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	})
}

// Who takes a little now and then gets it all, however long that takes in all; so does who asks again on a
// connection whose last answer is long past.
func TestASlowLineGetsTheWholeAnswer(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	want := bytes.Repeat([]byte("picture "), 2<<20)
	server := httptest.NewServer(handlers.HangUp(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(want) }), limit))
	defer server.Close()
	for again := range 2 {
		if again > 0 {
			<-time.After(limit + limit/4)
		}
		began := time.Now()
		res, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for err == nil && time.Since(began) < limit+limit/4 {
			_, err = io.CopyN(&got, res.Body, 256<<10)
			<-time.After(limit / 20)
		}
		if err == nil {
			_, err = io.Copy(&got, res.Body)
		}
		res.Body.Close()
		if (err != nil && err != io.EOF) || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d of %d bytes in %v: %v", got.Len(), len(want), time.Since(began), err)
		}
	}
}
