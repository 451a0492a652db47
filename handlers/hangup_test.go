package handlers_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"skylift/handlers"
)

// pipes is a listener without a network, so that its time can be a bubble's.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p <- there
	return here, nil
}

// servePipes serves h until the test ends.
func servePipes(t *testing.T, h http.Handler) pipes {
	p, srv := make(pipes), &http.Server{Handler: h}
	go srv.Serve(p) // ends with p
	t.Cleanup(func() {
		close(p)
		_ = srv.Close()
	})
	return p
}

// hung serves an answer that never ends to a client that takes nothing, and waits for the handler's end.
func hung(t *testing.T, limit time.Duration, begin func(http.ResponseWriter)) {
	t.Helper()
	ended := make(chan error, 1)
	server := servePipes(t, handlers.HangUp(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begin(w)
		for piece := make([]byte, 1<<20); ; {
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	}), limit))
	conn, _ := server.dial(t.Context(), "", "")
	defer conn.Close()
	_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		t.Error("a client that takes nothing still holds the handler")
	}
}

func TestAClientThatTakesNothingIsHungUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { hung(t, time.Minute, func(http.ResponseWriter) {}) })
}

// An event stream has a shorter patience.
func TestAHandlersOwnDeadlineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung(t, time.Hour, func(w http.ResponseWriter) {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
		})
	})
}

// Who takes a little now and then gets it all, however long that takes in all; so does who asks again on a
// connection whose last answer is long past.
func TestASlowLineGetsTheWholeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		want := bytes.Repeat([]byte("picture "), 256<<10)
		server := servePipes(t, handlers.HangUp(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(want) }), limit))
		line := &http.Transport{DialContext: server.dial}
		defer line.CloseIdleConnections()
		for range 2 {
			began := time.Now()
			res, err := (&http.Client{Transport: line}).Get("http://pipe.example/")
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for err == nil {
				_, err = io.CopyN(&got, res.Body, 32<<10)
				time.Sleep(limit / 20)
			}
			res.Body.Close()
			if took := time.Since(began); err != io.EOF || !bytes.Equal(got.Bytes(), want) || took < 2*limit {
				t.Errorf("%d of %d bytes in %v: %v", got.Len(), len(want), took, err)
			}
			time.Sleep(2 * limit)
		}
	})
}
