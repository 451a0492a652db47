package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// gate stands between the extension and the servers that it talks to. It stops the request that a
// test chooses, before it went out or before its answer comes back, until the test lets it go;
// then the connection is cut.
type gate struct {
	mu      sync.Mutex
	wanted  string // the kind of the request to hold, "" for none
	left    int    // how many of that kind come before it
	after   bool   // held with its answer, not before it went out
	reached chan struct{}
	let     chan struct{}
}

// arm makes the gate hold the extension's nth request of a kind ("PUT content"), from 1. What was
// held before is let go.
func (g *gate) arm(kind string, nth int, after bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.let != nil {
		close(g.let)
	}
	g.wanted, g.left, g.after = kind, nth-1, after
	g.reached, g.let = make(chan struct{}), make(chan struct{})
}

func (g *gate) disarm() { g.arm("", 1, false) }

// next says whether a request is the one, and what to wait for then.
func (g *gate) next(kind string) (hold, after bool, reached, let chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if kind != g.wanted {
		return false, false, nil, nil
	}
	if g.left > 0 {
		g.left--
		return false, false, nil, nil
	}
	g.wanted = ""
	return true, g.after, g.reached, g.let
}

func (g *gate) isReached() bool {
	select {
	case <-g.reached:
		return true
	default:
		return false
	}
}

// around is next behind the gate, for the requests that the extension makes.
func (g *gate) around(next http.Handler, byExtension func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !byExtension(r) {
			next.ServeHTTP(w, r)
			return
		}
		hold, after, reached, let := g.next(kindOf(r))
		if !hold {
			next.ServeHTTP(w, r)
			return
		}
		if after {
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		close(reached)
		<-let
		panic(http.ErrAbortHandler)
	})
}

// kindOf is a request without the id in it.
func kindOf(r *http.Request) string {
	path, _ := strings.CutPrefix(r.URL.Path, "/api/v1/")
	if _, of, ok := strings.Cut(path, "transfers/"); ok {
		if _, deed, ok := strings.Cut(of, "/"); ok {
			return r.Method + " " + deed
		}
		return r.Method + " transfer"
	}
	return r.Method + " " + path
}

// The background is killed by the browser before each request of a save and, where the request
// changes something, before its answer: between any two of its steps. Each time the file must
// arrive, whole and once.
func TestExtensionKilledAtEachStep(t *testing.T) {
	g := &gate{}
	site := newGallerySite(t)
	pictures := httptest.NewServer(g.around(proxyTo(fixed(site.URL), nil), func(r *http.Request) bool {
		return r.URL.Path == "/long.mp4" && strings.Contains(r.UserAgent(), "Chrome")
	}))
	t.Cleanup(pictures.Close)
	listen := freeAddress(t)
	server := httptest.NewServer(g.around(proxyTo(fixed("http://"+listen), nil), func(r *http.Request) bool {
		return strings.Contains(r.UserAgent(), "Chrome") && strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ")
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { g.disarm() }) // before the servers wait for their last requests
	public := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	a := startAt(t, listen, "SKYLIFT_ALLOW_SOURCES="+strings.TrimPrefix(pictures.URL, "http://"), "SKYLIFT_URL="+public)
	a.URL = public
	e := withExtension(t, nil, "http://localhost/*", "http://127.0.0.1/*")
	e.Connect(a, robin)
	page := e.Tab(pictures.URL)
	page.Allow("401|ERR_")
	control := e.Tab("grant.html")
	drive := a.Drive(robin)
	tab := eval[int](control, `chrome.tabs.query({}).then(tabs => tabs.find(t => t.url?.startsWith('`+pictures.URL+`')).id)`)
	blob := eval[string](page, `document.getElementById('blob').src`)

	ways := []struct {
		name, source, kind string
		content            []byte
		points             []string // a question mark: whether it comes to that is a matter of time
	}{
		{"by its address", pictures.URL + "/red.png", "image", red, []string{"POST transfers 1", "GET transfer 1", "GET events 1?"}},
		{"by bytes, in two pieces", pictures.URL + "/long.mp4", "media", site.long, []string{"POST transfers 1", "GET transfer 1", "GET events 1?",
			"GET /long.mp4 1", "POST transfers 2", "GET transfer 2?", "PUT content 1", "PUT content 2", "GET transfer 3?", "DELETE transfer 1"}},
		{"out of the page", blob, "image", red, []string{"POST transfers 1", "GET transfer 1", "PUT content 1", "GET transfer 2"}},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			control := control.In(t)
			save := fmt.Sprintf(`chrome.runtime.sendMessage({do: 'save', kind: %q, from: {tabId: %d, frameId: 0}, requests: [{sourceUrl: %q, pageUrl: %q}]}).catch(() => {})`,
				way.kind, tab, way.source, pictures.URL+"/")
			for _, point := range way.points {
				for _, after := range []bool{false, true} {
					if after && strings.HasPrefix(point, "GET") {
						continue // nothing has changed by it
					}
					point, maybe := strings.CutSuffix(point, "?")
					where := fmt.Sprintf("%s (answered: %v)", point, after)
					at := strings.LastIndexByte(point, ' ')
					before := drive.Names("")
					done := func() bool { return items(control) == 0 && len(drive.Names("")) > len(before) }
					g.arm(point[:at], int(point[at+1]-'0'), after)
					control.run(save)
					eventually(t, where+", or the end", func() bool { return g.isReached() || done() })
					if g.isReached() {
						e.stopBackground(control)
					} else if !maybe {
						t.Errorf("the save ended without %s", where)
					}
					g.disarm()
					control.run(`chrome.runtime.sendMessage({do: 'resume'}).catch(() => {})`)
					eventually(t, "the file, after a death at "+where, done)
					fresh := slices.DeleteFunc(drive.Names(""), func(n string) bool { return slices.Contains(before, n) })
					if len(fresh) != 1 {
						t.Errorf("killed at %s: %d files arrived: %q", where, len(fresh), fresh)
						continue
					}
					if content, _ := drive.Content("/" + fresh[0]); sha256.Sum256(content) != sha256.Sum256(way.content) {
						t.Errorf("killed at %s: %d bytes arrived that are not the %d sent", where, len(content), len(way.content))
					}
				}
			}
			if left := eval[int](control, countBytes); left != 0 {
				t.Errorf("%d pieces of bytes are left behind", left)
			}
		})
	}
}

// countBytes counts the pieces of files that the extension keeps.
const countBytes = `new Promise(done => { const o = indexedDB.open('skylift'); o.onsuccess = () => {
	const all = o.result.transaction('bytes').objectStore('bytes').count(); all.onsuccess = () => { o.result.close(); done(all.result) } } })`

// run runs a statement without waiting for what it begins.
func (p *Page) run(statement string) {
	p.t.Helper()
	eval[bool](p, `(() => { `+statement+`; return true })()`)
}

// stopBackground stops the background as the browser does when it is idle.
func (e *extension) stopBackground(by *Page) {
	e.t.Helper()
	by.call("stop the background", chromedp.Func(func(ctx context.Context, c *chromedp.Target) error {
		if _, err := cdp.Call(ctx, c, serviceworker.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, c, serviceworker.StopAllWorkers, cdp.Empty{})
		return err
	}))
	eventually(e.t, "the background to stop", func() bool {
		return !slices.ContainsFunc(e.targets(), func(i *target.Info) bool { return i.Type == "service_worker" })
	})
}

func fixed(address string) func() string { return func() string { return address } }
