// Package handlers is Skylift's web side: HTTP comes in, pages, JSON and event streams go out.
// Echo stays inside it. Words for people about what went wrong stand in errors.go only.
package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/static"
)

// Options are the parts that the web side works with. Those without a comment on what nil means
// are needed.
type Options struct {
	URL  *url.URL // the public address; https turns on HSTS
	Demo bool     // shows the demo banner, serves /gallery, /readyz says "demo"

	Provider *auth.Provider
	Pendings *auth.Pendings
	Sessions *auth.Sessions
	Panels   *auth.Sessions // sessions of framed panels
	Handoffs *auth.Handoffs
	Tokens   *auth.Tokens
	Users    *auth.Users
	Devices  *auth.Devices

	Store  *transfer.Store
	Runner *transfer.Runner
	Saver  *transfer.Saver

	// Client is the Graph client of a user: the function that the saver has too.
	Client func(ctx context.Context, userID string) (*onedrive.Client, error)
	// Native says whether OneDrive fetches for this user: "available", "unavailable" or
	// "unknown". nil means unknown for everybody.
	Native func(ctx context.Context, userID string) string
	// Ready is asked by /readyz; nil means always ready.
	Ready func(ctx context.Context) error

	EmbedOrigins   []string       // origins that may frame /panel
	TrustedProxies []netip.Prefix // proxies whose X-Forwarded-For counts
	Limits         Limits         // zero values mean the defaults
	Ping           time.Duration  // how often an event stream shows that it lives; 0 is 15 s

	Metrics prometheus.Registerer // nil: nothing is registered
	Log     *slog.Logger          // nil: slog.Default
	Now     func() time.Time      // nil: time.Now
}

// Handler is the web side: an http.Handler that can be drained.
type Handler struct {
	o        Options
	log      *slog.Logger
	now      func() time.Time
	ping     time.Duration
	echo     *echo.Echo
	handler  http.Handler
	streams  *streams
	limits   *limiters
	metrics  *metrics
	table    []route
	draining chan struct{}
	embed    embedRules

	extension func() ([]byte, error) // the zip
}

// New builds the web side of the given parts.
func New(o Options) *Handler {
	h := &Handler{o: o, log: o.Log, now: o.Now, ping: o.Ping, streams: newStreams(), draining: make(chan struct{})}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.ping == 0 {
		h.ping = pingEvery
	}
	h.extension = sync.OnceValues(func() ([]byte, error) { return packExtension(h.publicURL()) })
	h.limits = newLimiters(o.Limits)
	h.embed = newEmbedRules(o.EmbedOrigins)
	h.metrics = newMetrics(o.Metrics, h.streams)
	h.echo = h.newEcho()
	h.handler = h.crossOrigin(h.echo)
	return h
}

// ServeHTTP serves everything but /demo/, which is mounted beside it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nameRequest(w)
	h.hurry(w, r)
	h.handler.ServeHTTP(w, withoutSlash(r))
}

// withoutSlash is r without a slash at the end of its path: who types one means the same page.
// It is no redirect, which would lose a form and could be led to another host.
func withoutSlash(r *http.Request) *http.Request {
	path, ok := strings.CutSuffix(r.URL.Path, "/")
	if !ok || path == "" || strings.HasPrefix(r.URL.Path, static.Base) {
		return r
	}
	u := *r.URL
	u.Path, u.RawPath = path, strings.TrimSuffix(u.RawPath, "/")
	r = r.WithContext(r.Context()) // a copy: the request belongs to the caller
	r.URL = &u
	return r
}

// Drain makes /readyz answer 503 and ends all event streams, each with a word to come back
// later. Call it before http.Server.Shutdown, which would wait for the streams.
func (h *Handler) Drain() {
	select {
	case <-h.draining:
		return
	default:
		close(h.draining)
	}
	h.streams.closeAll()
}

func (h *Handler) newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = ipExtractor(h.o.TrustedProxies)
	e.HTTPErrorHandler = h.onError
	e.Use(h.observe, h.recoverPanic, h.securityHeaders, cors, h.limitUnknown)
	h.table = h.routes()
	for _, r := range h.table {
		serve := h.guard(r)(r.serve)
		e.Add(r.method, r.path, serve)
		if r.method == http.MethodGet { // net/http sends the head of the answer only
			e.Add(http.MethodHead, r.path, serve)
		}
	}
	return e
}
