package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the numbers of the web side. Labels are route templates and statuses only: never a
// user, an address or an id.
type metrics struct {
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	limited    prometheus.Counter
	violations prometheus.Counter
	reports    atomic.Int64
}

func newMetrics(r prometheus.Registerer, s *streams) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skylift_http_requests_total", Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "skylift_http_request_seconds", Help: "Time to answer, by route; event streams are left out.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2, 10},
		}, []string{"route"}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skylift_http_rate_limited_total", Help: "Requests refused because there were too many.",
		}),
		violations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skylift_csp_reports_total", Help: "Content-Security-Policy violations that browsers reported.",
		}),
	}
	if r == nil {
		return m
	}
	streams := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "skylift_event_streams", Help: "Open event streams.",
	}, func() float64 { return float64(s.count()) })
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.limited, m.violations, streams} {
		// A second Handler in one process shares nothing with the first; its numbers are not shown.
		_ = r.Register(c)
	}
	return m
}

// CSPReports is how many policy violations browsers have reported.
func (h *Handler) CSPReports() int64 { return h.metrics.reports.Load() }

// observe writes a line a request and counts it. Paths are logged without their query: a
// source address or a sign-in code can stand there.
func (h *Handler) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		req, status := c.Request(), c.Response().Status
		route := routeOf(c, status)
		took := time.Since(start)
		h.metrics.requests.WithLabelValues(methodLabel(req.Method), route, strconv.Itoa(status)).Inc()
		if !isStream(route) {
			h.metrics.seconds.WithLabelValues(route).Observe(took.Seconds())
		}
		attrs := []slog.Attr{
			slog.String("request", supportCode(c)), slog.String("method", req.Method), slog.String("path", req.URL.Path), slog.Int("status", status),
			slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int64("bytes", c.Response().Size), slog.String("ip", c.RealIP()),
		}
		if u, ok := user(c); ok {
			attrs = append(attrs, slog.String("user", u.ID))
		}
		level, cutShort := slog.LevelDebug, errors.Is(err, errCutShort)
		switch {
		case status >= 500 || cutShort:
			level = slog.LevelError
			if err != nil {
				attrs = append(attrs, slog.String("error", err.Error()))
			}
		case req.Method != http.MethodGet && req.Method != http.MethodHead || askable(c, status):
			level = slog.LevelInfo
		}
		if errors.Is(err, context.Canceled) {
			level = slog.LevelDebug
		}
		h.log.LogAttrs(req.Context(), level, "request", attrs...)
		if cutShort {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// unknownRoute is the label of what is no route's.
const unknownRoute = "unknown"

// routeOf is the template of the route that answered with a status.
func routeOf(c echo.Context, status int) string {
	route := c.Path()
	if route == "" || status == http.StatusNotFound && route == "/*" {
		return unknownRoute
	}
	return route
}

func methodLabel(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

func isStream(route string) bool { return route == "/events" || route == apiBase+"/events" }
