package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

// world is everything that a saver meets: a Microsoft, web servers, and a clock that can be moved.
type world struct {
	ms    *onedrivetest.Server
	web   *web
	saver *Saver
	shift atomic.Int64
	opt   SaverOptions
	src   SourceOptions
	wire  *wire  // the network, when it is one in memory
	shown func() // told of progress, if somebody wants to know
}

const (
	robin = "robin@demo.example" // personal, upload-from-URL works
	kim   = "kim@demo.example"   // personal, retired
	alex  = "alex@work.example"  // work
)

// login is the account of an owner; most tests call both the same.
func login(owner string) string {
	switch owner {
	case ownerKim:
		return kim
	case ownerAlex:
		return alex
	}
	return owner
}

func newWorld(t testing.TB, change ...func(*SaverOptions, *SourceOptions)) *world {
	t.Helper()
	return newWorldWith(t, fakegraph.Options{}, change...)
}

func newWorldWith(t testing.TB, o fakegraph.Options, change ...func(*SaverOptions, *SourceOptions)) *world {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o.Fetch = transport
	return (&world{web: newWeb(t), ms: onedrivetest.NewServer(t, o)}).furnish(t, change)
}

// newWorldInABubble is a world on a network in memory, for a test in a synctest bubble. Break, if
// any, spoils requests to Microsoft before they leave.
func newWorldInABubble(t testing.TB, spoil func(*http.Request) error, change ...func(*SaverOptions, *SourceOptions)) *world {
	t.Helper()
	log.SetOutput(io.Discard) // net/http tells of each answer that a fault spoils
	net := newWire()
	l := net.listen()
	way := spoiled{net.transport(t), spoil}
	w := &world{wire: net, web: newWebOn(t, net.listen()), ms: onedrivetest.NewServerOn(t, l, way, fakegraph.Options{Fetch: net.transport(t), Empty: true})}
	return w.furnish(t, change)
}

// spoiled lets requests fail before they have left.
type spoiled struct {
	http.RoundTripper
	why func(*http.Request) error
}

func (s spoiled) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.why != nil {
		if err := s.why(r); err != nil {
			if r.Body != nil {
				r.Body.Close()
			}
			return nil, err
		}
	}
	return s.RoundTripper.RoundTrip(r)
}

// furnish gives the world its saver.
func (w *world) furnish(t testing.TB, change []func(*SaverOptions, *SourceOptions)) *world {
	t.Cleanup(w.ms.Close)
	w.src = SourceOptions{Allow: []string{w.web.host()}, Idle: 2 * time.Second, PerUser: 100, PerHost: 100}
	w.opt = SaverOptions{Now: w.now}
	clients := sync.Map{}
	w.opt.Client = func(_ context.Context, owner string) (*onedrive.Client, error) {
		if c, ok := clients.Load(owner); ok {
			return c.(*onedrive.Client), nil
		}
		c, _ := clients.LoadOrStore(owner, w.ms.Client(t, login(owner)))
		return c.(*onedrive.Client), nil
	}
	for _, c := range change {
		c(&w.opt, &w.src)
	}
	w.restart(t)
	return w
}

// restart is a new process: nothing is left but the records.
func (w *world) restart(t testing.TB) {
	o := w.opt
	o.Source = NewSource(w.src)
	if w.wire != nil {
		o.Source.http.Transport.(*http.Transport).DialContext = w.wire.dial
	}
	t.Cleanup(o.Source.Close)
	w.saver = NewSaver(o)
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.shift.Load())) }

// pass lets time go by, for us and for Microsoft; for real only a little.
func (w *world) pass(d time.Duration) {
	if w.wire != nil { // in a bubble
		time.Sleep(d)
		return
	}
	real := min(d, 10*time.Millisecond)
	timer := time.NewTimer(real)
	<-timer.C
	w.shift.Add(int64(d - real))
	if w.ms != nil { // else it is in another process, and nothing there waits
		w.ms.Advance(d - real)
	}
}

// ask is the record of a request for owner.
func (w *world) ask(t testing.TB, owner string, r Request) *Transfer {
	t.Helper()
	if strings.HasPrefix(r.SourceURL, "/") {
		r.SourceURL = w.web.URL + r.SourceURL
	}
	if err := r.Validate(); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	tr := r.NewTransfer(owner)
	tr.ID, tr.Created = fmt.Sprintf("t%d", rand.Uint64()), w.now()
	return &tr
}

// drive is the runner's loop in small: it steps until the transfer is final or waits for a person.
func (w *world) drive(t testing.TB, tr *Transfer) *Transfer {
	t.Helper()
	return w.driveWith(t, tr, func() error { return nil })
}

// driveWith has the store's part, and calls seen after each step.
func (w *world) driveWith(t testing.TB, tr *Transfer, keep func() error, seen ...func()) *Transfer {
	t.Helper()
	failed := 0
	shown := w.shown
	if shown == nil {
		shown = func() {}
	}
	for range 400 {
		next, err := w.saver.Step(t.Context(), tr, keep, shown)
		if err != nil {
			if failed++; failed > 8 {
				t.Fatalf("step: %v (%+v)", err, tr)
			}
		}
		for _, f := range seen {
			f()
		}
		if tr.State.Final() || tr.State == Waiting && (tr.Reason == SignInRequired || tr.Reason == ClientBytes || tr.Reason == OneDriveFull) {
			return tr
		}
		w.pass(max(next.After, next.Throttled))
	}
	t.Fatalf("no end: %+v", tr)
	return nil
}

// check compares the end with the truth on the stand-in's drive.
func (w *world) check(t testing.TB, tr *Transfer, name string, content []byte) {
	t.Helper()
	if tr.State != Completed || tr.Item == nil {
		t.Errorf("%s is %s by %s (%s), failure %+v, reason %s; want completed", tr.SourceURL, tr.State, tr.Route, tr.RouteReason, tr.Failure, tr.Reason)
		return
	}
	want := sha256Of(content)
	found := 0
	for _, f := range w.ms.Files(login(tr.Owner)) {
		if f.ID == tr.Item.ID {
			found++
			if f.Sent == want { // and changed by a work drive as it was stored
				f.SHA256, f.Size = f.Sent, int64(len(content))
			}
			if f.SHA256 != want || f.Size != int64(len(content)) || f.Name != tr.Name || f.Name != tr.Item.Name {
				t.Errorf("%s: on the drive: %s, %d bytes, %s; want %s, %d bytes, %s", tr.SourceURL, f.Name, f.Size, f.SHA256, tr.Name, len(content), want)
			}
			if name != "" && f.Name != name {
				t.Errorf("%s is named %q; want %q", tr.SourceURL, f.Name, name)
			}
		}
	}
	if found != 1 {
		t.Errorf("%s: %d files of that id on the drive", tr.SourceURL, found)
	}
	if tr.Work.Monitor != "" || tr.Work.UploadURL != "" || len(tr.Work.Inline) > 0 {
		t.Errorf("%s: keys are left in the record", tr.SourceURL)
	}
}

// count is how many files have these bytes.
func (w *world) count(owner string, content []byte) (n int) {
	for _, f := range w.ms.Files(owner) {
		if sum := sha256Of(content); f.SHA256 == sum || f.Sent == sum {
			n++
		}
	}
	return n
}

// sha256Of is remembered: the matrices ask for the same few contents thousands of times.
func sha256Of(content []byte) string {
	if len(content) == 0 {
		return hex.EncodeToString(sha256.New().Sum(nil))
	}
	if sum, ok := sums256.Load(&content[0]); ok && sum.(hashed).size == len(content) {
		return sum.(hashed).sum
	}
	sum := sha256.Sum256(content)
	h := hashed{len(content), hex.EncodeToString(sum[:])}
	sums256.Store(&content[0], h)
	return h.sum
}

type hashed struct {
	size int
	sum  string
}

var sums256 sync.Map // of contents that nobody changes, by their first byte's address

// reload is the record as a restart finds it.
func reload(t testing.TB, tr *Transfer) *Transfer {
	t.Helper()
	b, err := json.Marshal(tr)
	if err != nil {
		t.Fatal(err)
	}
	var again Transfer
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	return &again
}

// web is a server of sources, good and bad.
type web struct {
	*httptest.Server
	mux     *http.ServeMux
	mu      sync.Mutex
	sent    map[string]int64 // bytes by path
	headers []http.Header
	spoil   func(http.ResponseWriter, *http.Request) bool // answers in the place of the sources
}

func (w *web) host() string { return w.Listener.Addr().String() }

var (
	tabby   = picture("jpeg", 320, 200)
	whisker = picture("png", 64, 64)
	large   = fixture(1, 5<<20+123)
	larger  = fixture(2, 11<<20+7)
	middle  = fixture(3, 1<<20+5)
	page    = []byte("<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Password</form></body></html>")
)

func picture(format string, w, h int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.Set(i%w, i/w, color.RGBA{uint8(i), uint8(i >> 3), uint8(i >> 6), 255})
	}
	var b bytes.Buffer
	if format == "png" {
		png.Encode(&b, m)
	} else {
		jpeg.Encode(&b, m, nil)
	}
	return b.Bytes()
}

// fixture is noise, except in a process whose memory is measured (childEnv of the benchmarks).
func fixture(seed uint64, n int) []byte {
	if os.Getenv("SKYLIFT_TEST_CHILD") != "" {
		return nil
	}
	return noise(seed, n)
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

func newWeb(t testing.TB) *web {
	t.Helper()
	return newWebOn(t, nil)
}

// newWebOn is the web on a listener; nil: one of the network's.
func newWebOn(t testing.TB, l net.Listener) *web {
	t.Helper()
	w := &web{mux: http.NewServeMux(), sent: map[string]int64{}}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.headers = append(w.headers, r.Header.Clone())
		spoil := w.spoil
		w.mu.Unlock()
		if spoil != nil && spoil(rw, r) {
			return
		}
		w.mux.ServeHTTP(&counted{ResponseWriter: rw, add: func(n int) {
			w.mu.Lock()
			w.sent[r.URL.Path] += int64(n)
			w.mu.Unlock()
		}}, r)
	}))
	if l != nil {
		w.Server.Listener.Close()
		w.Server.Listener = l
	}
	w.Server.Start()
	t.Cleanup(w.Server.Close)
	w.file("/tabby.jpg", tabby, nil)
	w.file("/photo", tabby, http.Header{"Content-Type": {"image/jpeg"}})
	w.file("/image.php", whisker, http.Header{"Content-Type": {"application/octet-stream"}})
	w.file("/wrong.jpg", whisker, http.Header{"Content-Type": {"image/jpeg"}})
	w.file("/download", tabby, http.Header{"Content-Disposition": {`attachment; filename="plain.jpg"; filename*=UTF-8''K%C3%A4tzchen.jpg`}})
	w.file("/large.bin", large, nil)
	w.file("/larger.bin", larger, nil)
	w.file("/empty.jpg", nil, nil)
	w.file("/login.jpg", page, http.Header{"Content-Type": {"text/html"}})
	w.file("/sneaky.jpg", page, http.Header{"Content-Type": {"image/jpeg"}})
	w.file("/article.html", page, http.Header{"Content-Type": {"text/html"}})
	w.file("/hotlink-forbidden.png", whisker, nil)
	w.mux.HandleFunc("/moved", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/tabby.jpg", http.StatusFound) })
	w.mux.HandleFunc("/gone.jpg", http.NotFound)
	w.mux.HandleFunc("/private.jpg", func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusForbidden) })
	w.mux.HandleFunc("/broken.jpg", func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	w.mux.HandleFunc("/nohead.jpg", func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			rw.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.serve(rw, r, tabby)
	})
	w.mux.HandleFunc("/guarded.jpg", func(rw http.ResponseWriter, r *http.Request) {
		if r.Referer() == "" {
			http.Redirect(rw, r, "/hotlink-forbidden.png", http.StatusFound)
			return
		}
		w.serve(rw, r, tabby)
	})
	w.more()
	w.chunked("/chunked.bin", middle)
	w.chunked("/chunkedlarge.bin", large)
	w.mux.HandleFunc("/short.jpg", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", fmt.Sprint(len(tabby)+1000))
		rw.Write(tabby)
	})
	return w
}

// counted counts what a handler writes.
type counted struct {
	http.ResponseWriter
	add func(int)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.add(n)
	return n, err
}
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (w *web) file(path string, content []byte, header http.Header) {
	w.mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
		for k, v := range header {
			rw.Header()[k] = v
		}
		w.serve(rw, r, content)
	})
}

// serve has ranges and a strong ETag.
func (w *web) serve(rw http.ResponseWriter, r *http.Request, content []byte) {
	rw.Header().Set("ETag", `"`+sha256Of(content)[:16]+`"`)
	http.ServeContent(rw, r, r.URL.Path, time.Time{}, bytes.NewReader(content))
}

// chunked has no length.
func (w *web) chunked(path string, content []byte) {
	w.mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
		http.NewResponseController(rw).Flush()
		for rest := content; len(rest) > 0; {
			n := min(len(rest), 64<<10)
			if _, err := rw.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	})
}
