package transfer

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// sourceKind is a kind of source with the end that it must take, whatever the account.
type sourceKind struct {
	path, page string
	name       string // on the drive; empty: not foretold
	content    []byte
	code       string // of the failure
	relayOnly  bool   // no account fetches it by itself
}

var dot = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

var sourceKinds = []sourceKind{
	{path: "/tabby.jpg", name: "tabby.jpg", content: tabby},
	{path: "/tabby.jpg?w=10&sig=secret#top", name: "tabby.jpg", content: tabby},
	{path: "/photo", name: "photo.jpg", content: tabby},
	{path: "/image.php?id=7", name: "image.png", content: whisker},
	{path: "/other.jpg", name: "other.png", content: whisker},
	{path: "/wrong.jpg", content: whisker},
	{path: "/download", name: "Kätzchen.jpg", content: tabby},
	{path: "/moved", name: "tabby.jpg", content: tabby},
	{path: "/nohead.jpg", name: "nohead.jpg", content: tabby},
	{path: "/large.bin", name: "large.bin", content: large},
	{path: "/larger.bin", name: "larger.bin", content: larger},
	{path: "/chunked.bin", name: "chunked.bin", content: middle, relayOnly: true},
	{path: "/chunkedlarge.bin", name: "chunkedlarge.bin", content: large, relayOnly: true},
	{path: "/noranges.bin", name: "noranges.bin", content: large},
	{path: "/drops.bin", name: "drops.bin", content: large, relayOnly: true},
	{path: "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=", content: dot, relayOnly: true},
	{path: "/guarded.jpg", page: "/gallery.html", name: "guarded.jpg", content: tabby, relayOnly: true},
	{path: "/guarded.jpg", code: codeSourceHotlinkRefused, relayOnly: true},
	{path: "/article.html", name: "article.html", content: page},
	{path: "/login.jpg", code: codeSourceNotAFile, relayOnly: true},
	{path: "/sneaky.jpg", code: codeSourceNotAFile},
	{path: "/empty.jpg", code: codeEmptyFile},
	{path: "/gone.jpg", code: codeSourceNotFound},
	{path: "/private.jpg", code: codeSourceUnauthorized},
	{path: "/broken.jpg", code: codeSourceUnavailable},
	{path: "/short.jpg", code: codeSourceIncomplete},
	{path: "/inside", code: codeSourceRefused},
	{path: "/evil/slow.bin", code: codeSourceTooSlow},
	{path: "/evil/stalled.bin", code: codeSourceTooSlow},
	{path: "/evil/silent.bin", code: codeSourceUnavailable},
	{path: "/evil/endless.bin", code: codeSourceTooLarge},
	{path: "/evil/headers.bin", code: codeSourceUnavailable},
	{path: "/evil/huge.bin", code: codeSourceTooLarge},
	{path: "/evil/round.bin", code: codeSourceTooManyRedirects},
}

// String is the kind in a table.
func (k sourceKind) String() string {
	path, _, _ := strings.Cut(k.path, ";")
	if k.page != "" {
		return path + " with Referer"
	}
	return path
}

func (k sourceKind) evil() bool { return strings.HasPrefix(k.path, "/evil/") }

// temper is a way in which an account's OneDrive takes the native call, with the code for which
// the native route is left and the route by which files arrive.
type temper struct {
	what, login string
	change      func(*fakegraph.Conduct)
	route       Route
	why         string
}

var tempers = []temper{
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

// cell is one transfer of the tables: a source, an account, and what goes wrong meanwhile.
type cell struct {
	kind     sourceKind
	temper   temper
	behavior onedrive.ConflictBehavior
	hit      hit // the zero value hits nothing
}

// ran is what became of a cell.
type ran struct {
	w      *world
	tr     *Transfer
	hits   int
	phases []fakegraph.Phase // that it passed through, each once
	asked  int               // requests to Microsoft
	parked []Reason          // waits that somebody has to end
	took   time.Duration
}

// run takes the cell's transfer to its end. It must be called in a bubble, which makes sure that no
// goroutine is left.
func (c cell) run(t *testing.T) *ran {
	r := &ran{}
	var mu sync.Mutex
	spoil := func(req *http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		r.asked++
		phase := phaseOf(req)
		if !slices.Contains(r.phases, phase) {
			r.phases = append(r.phases, phase)
		}
		if c.hit.before == nil || phase != c.hit.fault.Phase || r.hits >= c.hit.fault.Times {
			return nil
		}
		r.hits++
		return c.hit.before
	}
	w := newWorldInABubble(t, spoil, func(o *SaverOptions, src *SourceOptions) { o.Buffers, src.MaxBytes = 2<<20, 16<<20 })
	r.w = w
	hostile(w.web)
	if c.temper.change != nil {
		w.ms.SetConduct(c.temper.login, c.temper.change)
	}
	order := c.hit.order(w, func() { mu.Lock(); r.hits++; mu.Unlock() })
	request := Request{SourceURL: c.kind.path, ConflictBehavior: c.behavior}
	if c.kind.page != "" {
		request.PageURL = w.web.URL + c.kind.page
	}
	began := time.Now()
	r.tr = w.ask(t, c.temper.login, request)
	r.follow(t)
	r.took = time.Since(began)
	if order != nil {
		r.hits = order.Hits()
	}
	return r
}

// follow is the runner and the person: it goes on with what waits for somebody as if they had come.
func (r *ran) follow(t *testing.T) {
	for range 12 {
		r.w.drive(t, r.tr)
		if r.tr.State.Final() {
			return
		}
		r.parked = append(r.parked, r.tr.Reason)
		time.Sleep(max(time.Minute, time.Until(r.tr.Due)))
	}
	t.Errorf("waits for ever: %+v", r.tr)
}

// end is where it ended, in a word or two.
func (r *ran) end() string {
	s := string(r.tr.Route)
	if r.tr.State == Failed {
		s = r.tr.Failure.Code
	} else if r.tr.RouteReason != "" {
		s += " (" + r.tr.RouteReason + ")"
	}
	for _, reason := range r.parked {
		s = string(reason) + ", " + s
	}
	return s
}

// check holds the end against the truth on the drive and against what must never happen.
func (r *ran) check(t *testing.T, c cell) {
	t.Helper()
	if counts := r.w.ms.Counts(); counts["bearerOnMonitor"]+counts["bearerOnUpload"]+counts["bearerOnFinished"] != 0 || counts["postSourceUrl"] > 1 {
		t.Errorf("%v", counts)
	}
	if strays := r.w.wire.dialled(); len(strays) > 0 {
		t.Errorf("dialled %v", strays)
	}
	files := r.w.ms.Files(r.tr.Owner)
	switch {
	case r.tr.State == Completed:
		name := c.kind.name
		if name != "" && c.blocked() {
			name = r.tr.Name
		}
		if r.w.check(t, r.tr, name, c.kind.content); len(files) != 1 {
			t.Errorf("%d files: %v", len(files), files)
		}
	case len(files) > 0:
		t.Errorf("%s, but there is %v", r.end(), files)
	}
	lost := 0 // sessions of whose address nobody has heard
	if c.hit.fault.Phase == fakegraph.PhaseSession && c.hit.unheard() && r.took < 24*time.Hour {
		lost = r.hits
	}
	if n := r.w.ms.Uploads(r.tr.Owner); n > lost && c.temper.what != "points its addresses elsewhere" {
		t.Errorf("%d upload sessions are left", n)
	}
	if r.asked > 120+8*int(r.took.Hours()) || r.took > maxAge+time.Hour {
		t.Errorf("%d requests to Microsoft, %v", r.asked, r.took)
	}
}

// blocked reports a name that OneDrive calls taken, or that a session holds of which nobody has
// heard (work accounts allow one at a time): the file is saved under the next one.
func (c cell) blocked() bool {
	lost := c.temper.login == alex && c.hit.fault.Phase == fakegraph.PhaseSession && c.hit.unheard()
	return (c.behavior == onedrive.Rename || c.behavior == "") && (lost || c.hit.fault.Status == 409)
}

// phaseOf is the phase of a request, as the stand-in calls it.
func phaseOf(r *http.Request) fakegraph.Phase {
	path := r.URL.Path
	switch {
	case strings.Contains(path, "/monitor/"):
		return fakegraph.PhaseMonitor
	case strings.HasSuffix(path, "/uploadSession") && r.Method == http.MethodGet:
		return fakegraph.PhaseUploadStatus
	case strings.HasSuffix(path, "/uploadSession") && r.Method == http.MethodPut:
		var first, last, total int64
		fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total)
		switch {
		case first == 0:
			return fakegraph.PhaseFragmentFirst
		case last == total-1:
			return fakegraph.PhaseFragmentLast
		}
		return fakegraph.PhaseFragmentMiddle
	case strings.HasSuffix(path, "/uploadSession"):
		return fakegraph.PhaseUploadCancel
	case strings.HasSuffix(path, "/createUploadSession"):
		return fakegraph.PhaseSession
	case strings.HasSuffix(path, "/content"):
		return fakegraph.PhasePut
	case strings.HasSuffix(path, "/children") && r.Method == http.MethodPost:
		return fakegraph.PhaseNative
	case r.Method == http.MethodDelete:
		return fakegraph.PhaseDelete
	case strings.HasSuffix(path, "/drive"):
		return fakegraph.PhaseDrive
	}
	return fakegraph.PhaseItem
}

// Every kind of source with every kind of account: the end is true on the drive. testdata/ends.md
// shows which route each takes.
func TestEverySourceWithEveryTemper(t *testing.T) {
	table := newGrid("ends.md", "source")
	t.Run("all", func(t *testing.T) {
		for _, temper := range tempers {
			for _, kind := range sourceKinds {
				c := cell{kind: kind, temper: temper}
				t.Run(temper.what+"/"+kind.String(), func(t *testing.T) {
					sample(t, 8)
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := c.run(t)
						r.check(t, c)
						c.checkClean(t, r)
						table.set(kind.String(), temper.what, r.end())
					})
				})
			}
		}
	})
	table.compare(t)
}

// checkClean judges the end of a cell in which nothing went wrong on the way.
func (c cell) checkClean(t *testing.T, r *ran) {
	switch {
	case c.temper.route == "" && r.tr.State == Failed && r.tr.Failure.Code == codeInternal:
		// Fetched natively it arrives; an upload URL that points elsewhere is refused.
		if c.kind.path == "/tabby.jpg" {
			t.Errorf("%s", r.end())
		}
	case c.kind.code != "":
		if r.tr.State != Failed || r.tr.Failure.Code != c.kind.code {
			t.Errorf("%s; want %s", r.end(), c.kind.code)
		}
	case r.tr.State != Completed || len(r.parked) > 0:
		t.Errorf("%s; want completed", r.end())
	case c.temper.route != "" && !c.kind.relayOnly && (r.tr.Route != c.temper.route || r.tr.RouteReason != c.temper.why):
		t.Errorf("by %s; want %s (%s)", r.end(), c.temper.route, c.temper.why)
	}
}

// more are sources that only the tables need.
func (w *web) more() {
	w.mux.HandleFunc("/noranges.bin", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", fmt.Sprint(len(large)))
		if r.Method != http.MethodHead {
			io.Copy(rw, strings.NewReader(string(large)))
		}
	})
	w.mux.HandleFunc("/inside", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	})
	w.file("/other.jpg", whisker, http.Header{"Content-Type": {"image/png"}})
	w.dropAt("/drops.bin", large, len(large)*6/10, nil)
}
