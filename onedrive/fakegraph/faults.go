package fakegraph

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Phase names a kind of request that a Fault can hit. A request can have several.
type Phase string

// The phases of the drive half and of the identity platform.
const (
	PhaseGraph          Phase = "graph" // any call to the drive part of Graph
	PhaseDrive          Phase = "drive"
	PhaseItem           Phase = "item"
	PhaseChildren       Phase = "children"
	PhaseSearch         Phase = "search"
	PhaseDelta          Phase = "delta"
	PhaseFolder         Phase = "createFolder"
	PhaseNative         Phase = "native"  // the POST of upload-from-URL
	PhaseMonitor        Phase = "monitor" // a question to a monitor URL
	PhasePut            Phase = "put"     // simple PUT of content
	PhaseSession        Phase = "createSession"
	PhaseFragment       Phase = "fragment"
	PhaseFragmentFirst  Phase = "fragmentFirst"
	PhaseFragmentMiddle Phase = "fragmentMiddle"
	PhaseFragmentLast   Phase = "fragmentLast"
	PhaseUploadStatus   Phase = "uploadStatus"
	PhaseUploadCancel   Phase = "uploadCancel"
	PhaseComplete       Phase = "complete" // the request that makes an upload a file
	PhaseContent        Phase = "content"  // content and download addresses
	PhaseThumbnails     Phase = "thumbnails"
	PhasePatch          Phase = "patch"
	PhaseDelete         Phase = "delete"
	PhaseCopy           Phase = "copy"
	PhaseBatch          Phase = "batch"
	PhaseSource         Phase = "source" // OneDrive's own fetch of the source URL: Status only

	PhaseDiscover  Phase = "discover" // OpenID configuration
	PhaseKeys      Phase = "keys"     // JWKS
	PhaseAuthorize Phase = "authorize"
	PhaseToken     Phase = "token"
	PhaseRefresh   Phase = "refresh"
	PhaseMe        Phase = "me"
)

// Action is what happens to a request besides an error answer.
type Action string

// The actions of the fault matrix (security.md §3.3).
const (
	Answer      Action = ""            // the Status with Body and Header
	Reset       Action = "reset"       // the connection is cut
	Stall       Action = "stall"       // nothing happens until the order is released or For is over
	Truncate    Action = "truncate"    // half of the answer, then the connection is cut
	WrongLength Action = "wrongLength" // a Content-Length smaller than the answer
	WrongJSON   Action = "wrongJSON"   // 200 with something that is no JSON
	WrongShape  Action = "wrongShape"  // 200 with JSON of another shape
	Duplicate   Action = "duplicate"   // the answer comes twice on the connection
	Slow        Action = "slow"        // the answer trickles
	Garbage     Action = "garbage"     // bytes that are no HTTP, as after a broken TLS hand-shake
)

// Fault is an order to spoil requests.
type Fault struct {
	Phase   Phase  // empty: all
	Account string // login name; empty: every account
	Nth     int    // the first matching request to spoil, counted from 1; 0 is 1
	Times   int    // how many in a row; 0 is 1, negative until Remove

	Action Action
	// After spoils only the answer: the request takes effect first. (Truncate, WrongLength,
	// Duplicate and Slow always do.)
	After  bool
	Status int               // of Answer
	Code   string            // of Graph's envelope, or AADSTS50173 and the like; empty picks the status's usual one
	Body   string            // instead of the envelope; with a Content-Type in Header
	Header map[string]string // further headers, such as Retry-After

	For            time.Duration // of Stall, by the server's clock; 0 is until Release
	BytesPerSecond int           // of Slow; 0 is 1
}

// touches reports whether the fault can hit an account's requests.
func (f *Fault) touches(login string) bool {
	return f.Account == "" || strings.EqualFold(f.Account, login)
}

// Order is a Fault that was ordered.
type Order struct {
	fault    Fault
	faults   *Faults
	seen     int
	hits     atomic.Int64
	released chan struct{}
	once     sync.Once
	entered  chan struct{}
	first    sync.Once
}

// Hits is how many requests the order has spoiled.
func (o *Order) Hits() int { return int(o.hits.Load()) }

// Hit is closed when the first request is spoiled.
func (o *Order) Hit() <-chan struct{} { return o.entered }

// Release lets stalled requests go on, and later ones pass at once.
func (o *Order) Release() { o.once.Do(func() { close(o.released) }) }

// Remove takes the order back and releases what it stalls.
func (o *Order) Remove() {
	o.Release()
	o.faults.mu.Lock()
	defer o.faults.mu.Unlock()
	if i := slices.Index(o.faults.orders, o); i >= 0 {
		o.faults.orders = slices.Delete(o.faults.orders, i, i+1)
		o.faults.active.Add(-1)
	}
}

// Faults is the list of ordered faults. The zero value is ready.
type Faults struct {
	active atomic.Int64 // len(orders), to pass quickly
	mu     sync.Mutex
	orders []*Order
}

// Faults gives the server's faults, to order some.
func (s *Server) Faults() *Faults { return &s.cloud.faults }

// Add orders a fault. Of several that match, the oldest hits.
func (f *Faults) Add(fault Fault) *Order {
	o := &Order{fault: fault, faults: f, released: make(chan struct{}), entered: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, o)
	f.active.Add(1)
	return o
}

// Clear takes all orders back.
func (f *Faults) Clear() { f.clear(func(Fault) bool { return true }) }

// clear takes the orders back that are so.
func (f *Faults) clear(so func(Fault) bool) {
	f.mu.Lock()
	orders := slices.Clone(f.orders)
	f.mu.Unlock()
	for _, o := range orders {
		if so(o.fault) {
			o.Remove()
		}
	}
}

// match finds the order that this request falls to and counts it.
func (f *Faults) match(login string, phases []Phase) *Order {
	if f.active.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.orders {
		if o.fault.Phase != "" && !slices.Contains(phases, o.fault.Phase) || !o.fault.touches(login) {
			continue
		}
		o.seen++
		first := max(1, o.fault.Nth)
		if o.seen < first || o.fault.Times >= 0 && o.seen >= first+max(1, o.fault.Times) {
			continue
		}
		o.hits.Add(1)
		o.first.Do(func() { close(o.entered) })
		return o
	}
	return nil
}

// Matrix is the fault matrix of security.md §3.3 by name. TLS and DNS failures never reach a
// server: "garbage" is the nearest that an HTTP handler can do.
func Matrix() map[string]Fault {
	m := map[string]Fault{
		"429": {Status: 429, Header: map[string]string{"Retry-After": "1"}}, "429 fraction": {Status: 429, Header: map[string]string{"Retry-After": "0.25"}},
		"429 without header": {Status: 429}, "503 page": {Status: 503, Body: htmlUnavailable, Header: map[string]string{"Content-Type": "text/html"}},
		"401 RPS":      {Status: 401, Body: unableRPS, Header: map[string]string{"Content-Type": "application/json"}},
		"503 date":     {Status: 503, Header: map[string]string{"Retry-After": "date:1s"}},
		"wrong length": {Action: WrongLength}, "wrong JSON": {Action: WrongJSON}, "wrong shape": {Action: WrongShape},
		"answer lost": {Action: Reset, After: true}, "slow": {Action: Slow, BytesPerSecond: 1},
	}
	for _, status := range []int{400, 401, 403, 404, 409, 410, 412, 413, 416, 423, 500, 502, 504, 507, 509} {
		m[strconv.Itoa(status)] = Fault{Status: status}
	}
	for _, action := range []Action{Reset, Stall, Truncate, Duplicate, Garbage} {
		m[string(action)] = Fault{Action: action}
	}
	return m
}

// unableRPS is the 401 that says nothing of the token and passes by itself (OAD#1489).
const unableRPS = `{"error":{"code":"InvalidAuthenticationToken","message":"Unable to initialize RPS","innerError":{}}}`

const htmlUnavailable = "<!DOCTYPE html>\n<html><head><title>503 Service Unavailable</title></head><body><h1>Our services aren't available right now</h1></body></html>\n"

// codes are the usual top-level codes of statuses (microsoft.md §5.5).
var codes = map[int]string{
	400: "invalidRequest", 401: "InvalidAuthenticationToken", 403: "accessDenied", 404: "itemNotFound", 405: "notAllowed", 409: "nameAlreadyExists",
	410: "resyncRequired", 412: "notAllowed", 413: "invalidRequest", 416: "invalidRange", 423: "accessDenied", 429: "activityLimitReached",
	500: "generalException", 501: "notSupported", 502: "generalException", 503: "serviceNotAvailable", 504: "generalException", 507: "quotaLimitReached", 509: "activityLimitReached",
}

// withFaults serves a request to Graph by handle, unless an ordered fault spoils it.
func (s *Server) withFaults(w http.ResponseWriter, r *http.Request, login string, phases []Phase, handle func(http.ResponseWriter)) {
	s.withRefusal(w, r, login, phases, func(f *Fault) { f.answer(s, w, r) }, handle)
}

// withRefusal is withFaults for callers that have a way of their own to say no.
func (s *Server) withRefusal(w http.ResponseWriter, r *http.Request, login string, phases []Phase, refuse func(*Fault), handle func(http.ResponseWriter)) {
	came := s.now() // whoever hears of the match may move the clock at once
	o := s.cloud.faults.match(login, phases)
	if o == nil {
		handle(w)
		return
	}
	s.count("faults")
	switch o.fault.Action {
	case Stall:
		if o.fault.After {
			rec := record(w, handle)
			if s.stalled(r.Context(), o, came) == nil {
				rec.replay(w)
			}
			return
		}
		if s.stalled(r.Context(), o, came) == nil {
			handle(w)
		}
	case Answer, WrongJSON, WrongShape, Reset, Garbage:
		if o.fault.After {
			record(w, handle)
		}
		o.fault.spoil(w, refuse)
	default:
		o.fault.maul(r.Context(), w, record(w, handle))
	}
}

// stalled waits until the order is released or its time since came is over.
func (s *Server) stalled(ctx context.Context, o *Order, came time.Time) error {
	if o.fault.For > 0 {
		until, released := context.WithCancel(ctx)
		defer released()
		go func() { // ends with the stall
			select {
			case <-o.released:
				released()
			case <-until.Done():
			}
		}()
		_ = s.waitUntil(until, came.Add(o.fault.For), nil) // its end, a release and a lost client are told apart by ctx
		return ctx.Err()
	}
	select {
	case <-o.released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spoil answers in the place of the handler.
func (f *Fault) spoil(w http.ResponseWriter, refuse func(*Fault)) {
	switch f.Action {
	case Reset:
		cut(w)
	case Garbage:
		raw(w, []byte("\x15\x03\x01\x00\x02\x02\x28")) // a TLS alert: handshake_failure
	case WrongJSON:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"value":[{"id":"1",`))
	case WrongShape:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`[{"id":17,"name":{},"size":"many","status":[],"percentageComplete":{},"error":"no"}]`))
	default:
		refuse(f)
	}
}

// headers puts the ordered headers on an answer.
func (f *Fault) headers(s *Server, w http.ResponseWriter) {
	for name, value := range f.Header {
		if wait, ok := strings.CutPrefix(value, "date:"); ok {
			d, _ := time.ParseDuration(wait)
			value = s.now().Add(d).UTC().Format(http.TimeFormat)
		}
		w.Header().Set(name, value)
	}
}

// answer refuses in Graph's way.
func (f *Fault) answer(s *Server, w http.ResponseWriter, r *http.Request) {
	f.headers(s, w)
	if f.Body != "" {
		s.stamp(w, r)
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
		return
	}
	code := f.Code
	if code == "" {
		code = codes[f.Status]
	}
	refuse(f.Status, code, "Ordered fault.").write(s, w, r)
}

// recording is an answer held back.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recording) Header() http.Header { return r.header }
func (r *recording) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}
func (r *recording) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// record runs handle and holds its answer back.
func record(w http.ResponseWriter, handle func(http.ResponseWriter)) *recording {
	rec := &recording{header: w.Header().Clone()}
	handle(rec)
	rec.WriteHeader(http.StatusOK)
	return rec
}

func (r *recording) replay(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes())
}

// bytes is the answer as it stands on an HTTP/1.1 connection.
func (r *recording) bytes(length int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	h := r.header.Clone()
	h.Set("Content-Length", strconv.Itoa(length))
	_ = h.Write(&b)
	b.WriteString("\r\n")
	b.Write(r.body.Bytes())
	return b.Bytes()
}

// maul sends the handler's own answer in a broken way.
func (f *Fault) maul(ctx context.Context, w http.ResponseWriter, rec *recording) {
	n := rec.body.Len()
	switch f.Action {
	case Truncate:
		whole := rec.bytes(n + 1)
		raw(w, whole[:len(whole)-n/2])
	case WrongLength:
		raw(w, rec.bytes(max(0, n-n/3-1)))
	case Duplicate:
		raw(w, append(rec.bytes(n), rec.bytes(n)...))
	case Slow:
		trickle(ctx, w, rec, max(1, f.BytesPerSecond))
	default:
		rec.replay(w)
	}
}

// trickle sends the body byte by byte for as long as somebody listens.
func trickle(ctx context.Context, w http.ResponseWriter, rec *recording, perSecond int) {
	for name, values := range rec.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(rec.body.Len()))
	w.WriteHeader(rec.status)
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for _, b := range rec.body.Bytes() {
		_, _ = w.Write([]byte{b})
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// cut breaks the connection off, with a reset where the transport allows.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the server resets the stream
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// raw writes bytes to the connection as they are and closes it.
func raw(w http.ResponseWriter, p []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	_, _ = conn.Write(p)
}
