package main

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestNothingRunsAfterAStop uses the whole program, with a stream that is open until the end and
// transfers of both routes, one of them under way.
func TestNothingRunsAfterAStop(t *testing.T) {
	before := goleak.IgnoreCurrent()
	p := start(t, t.TempDir())
	var callers []*caller
	for _, login := range []string{"robin@demo.example", "alex@work.example"} { // native and relay
		c := p.signIn(t, login)
		callers = append(callers, c)
		saved := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/meadow.jpg"}`)
		if got := c.follow(t, saved.ID)[saved.ID]; got.State != "completed" {
			t.Errorf("%s: %+v, want completed", login, got)
		}
		c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/slow.jpg"}`)
	}
	stream := *callers[0].http
	stream.Timeout = 0
	res, err := stream.Get(p.url + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	p.stop(t)
	for lines.Scan() { // it ends
	}
	res.Body.Close()
	for _, c := range callers {
		c.http.CloseIdleConnections()
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}
