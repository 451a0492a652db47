package transfer

import (
	"testing"

	"skylift/onedrive/fakegraph"
)

// sourceKinds are all kinds of sources with the end that each must take, whatever the account.
var sourceKinds = []struct {
	path, page string
	name       string // on the drive
	content    []byte
	code       string // of the failure
	relayOnly  bool   // no account fetches it by itself
}{
	{path: "/tabby.jpg", name: "tabby.jpg", content: tabby},
	{path: "/tabby.jpg?w=10&sig=secret#top", name: "tabby.jpg", content: tabby},
	{path: "/photo", name: "photo.jpg", content: tabby},
	{path: "/image.php?id=7", name: "", content: whisker},
	{path: "/wrong.jpg", name: "", content: whisker},
	{path: "/download", name: "Kätzchen.jpg", content: tabby},
	{path: "/moved", name: "tabby.jpg", content: tabby},
	{path: "/nohead.jpg", name: "nohead.jpg", content: tabby},
	{path: "/large.bin", name: "large.bin", content: large},
	{path: "/larger.bin", name: "larger.bin", content: larger},
	{path: "/chunked.bin", name: "chunked.bin", content: middle},
	{path: "/chunkedlarge.bin", name: "chunkedlarge.bin", content: large},
	{path: "/guarded.jpg", page: "/gallery.html", name: "guarded.jpg", content: tabby, relayOnly: true},
	{path: "/guarded.jpg", code: codeSourceNotAFile, relayOnly: true},
	{path: "/article.html", name: "article.html", content: page},
	{path: "/login.jpg", code: codeSourceNotAFile, relayOnly: true},
	{path: "/empty.jpg", code: codeEmptyFile},
	{path: "/gone.jpg", code: codeSourceNotFound},
	{path: "/private.jpg", code: codeSourceUnauthorized},
	{path: "/broken.jpg", code: codeSourceUnavailable},
	{path: "/short.jpg", code: codeSizeMismatch},
}

// tempers are the ways in which an account's OneDrive takes the native call, with the code for
// which the native route is left and the route by which files arrive.
var tempers = []struct {
	what, login string
	change      func(*fakegraph.Conduct)
	route       Route
	why         string
}{
	{"fetches", robin, nil, Native, ""},
	{"retired", kim, nil, Relay, reasonRefused},
	{"work account", alex, nil, Relay, reasonWork},
	{"accepts and fails", robin, func(c *fakegraph.Conduct) { c.Temper = "retired202" }, Relay, reasonFailed},
	{"makes an empty file", robin, func(c *fakegraph.Conduct) { c.Temper = "retired201" }, Relay, reasonRefused},
	{"accepts without a monitor", robin, func(c *fakegraph.Conduct) { c.Temper = "retiredNoLocation" }, Relay, reasonStalled},
	{"queues for ever", robin, func(c *fakegraph.Conduct) { c.Stuck = true }, Relay, reasonStalled},
	{"forgets the job", robin, func(c *fakegraph.Conduct) { c.MonitorLost = true }, Relay, reasonForgotten},
	{"says done without a file", robin, func(c *fakegraph.Conduct) { c.Vanish = true }, Relay, reasonForgotten},
	{"points its addresses elsewhere", robin, func(c *fakegraph.Conduct) { c.Lies = "http://127.0.0.1:1/x" }, "", ""},
	{"refuses with 403", robin, func(c *fakegraph.Conduct) {
		c.Temper, c.RefusalStatus, c.RefusalCode = "retired", 403, "accessDenied"
	}, Relay, reasonRefused},
	{"refuses with 404", robin, func(c *fakegraph.Conduct) {
		c.Temper, c.RefusalStatus, c.RefusalCode = "retired", 404, "itemNotFound"
	}, Relay, reasonRefused},
}

// Every kind of source with every kind of account: the end is true on the drive.
func TestEverySourceWithEveryTemper(t *testing.T) {
	for _, temper := range tempers {
		t.Run(temper.what, func(t *testing.T) {
			t.Parallel()
			for _, kind := range sourceKinds {
				w := newWorld(t)
				if temper.change != nil {
					w.ms.SetConduct(temper.login, temper.change)
				}
				r := Request{SourceURL: kind.path}
				if kind.page != "" {
					r.PageURL = w.web.URL + kind.page
				}
				tr := w.drive(t, w.ask(t, temper.login, r))
				w.checkEnd(t, temper.route, temper.why, tr, kind.name, kind.content, kind.code, kind.relayOnly)
			}
		})
	}
}

func (w *world) checkEnd(t *testing.T, route Route, why string, tr *Transfer, name string, content []byte, code string, relayOnly bool) {
	t.Helper()
	if counts := w.ms.Counts(); counts["bearerOnMonitor"]+counts["bearerOnUpload"] != 0 || counts["postSourceUrl"] > 1 {
		t.Errorf("%s: %v", tr.SourceURL, counts)
	}
	if route == "" && len(content) > 4<<20 {
		return // an upload URL that points elsewhere is refused; that it ended is all
	}
	if code != "" {
		if tr.State != Failed || tr.Failure.Code != code {
			t.Errorf("%s: %s by %s (%s), %+v; want %s", tr.SourceURL, tr.State, tr.Route, tr.RouteReason, tr.Failure, code)
		}
		if n := len(w.ms.Files(tr.Owner)) - w.seeded(t, tr.Owner); n != 0 {
			t.Errorf("%s: %d files are left", tr.SourceURL, n)
		}
		return
	}
	w.check(t, tr, name, content)
	if n := w.count(tr.Owner, content); n != 1 {
		t.Errorf("%s: %d copies", tr.SourceURL, n)
	}
	if route != "" && !relayOnly && (tr.Route != route || tr.RouteReason != why) {
		t.Errorf("%s: by %s (%s); want %s (%s)", tr.SourceURL, tr.Route, tr.RouteReason, route, why)
	}
}

// seeded is how many files a fresh drive of the account holds.
func (w *world) seeded(t *testing.T, login string) int {
	return len(newWorldFiles(t, login))
}

func newWorldFiles(t *testing.T, login string) []fakegraph.File {
	s := fakegraph.New(fakegraph.Options{})
	defer s.Close()
	return s.Files(login)
}
