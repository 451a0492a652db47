package handlers

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/static"
)

// serviceRoutes are health checks, reports and files.
func (h *Handler) serviceRoutes() []route {
	files := echo.WrapHandler(static.Handler())
	return []route{
		{method: http.MethodGet, path: "/healthz", access: public, serve: h.healthz, bucket: unlimited},
		{method: http.MethodGet, path: "/readyz", access: public, serve: h.readyz, bucket: unlimited},
		{method: http.MethodPost, path: cspReports, access: public, serve: h.cspReport, body: smallBody},
		{method: http.MethodGet, path: static.Base + "*", access: public, serve: files, bucket: unlimited},
		{method: http.MethodGet, path: "/manifest.webmanifest", access: public, serve: h.webManifest, bucket: unlimited},
		{method: http.MethodGet, path: "/favicon.ico", access: public, serve: h.favicon, bucket: unlimited},
	}
}

// healthz serves GET /healthz: the process is alive.
func (h *Handler) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz serves GET /readyz: transfers can be accepted. It says demo or live, and nothing else
// about the inside.
func (h *Handler) readyz(c echo.Context) error {
	answer := map[string]string{"status": "ready", "mode": "live"}
	if h.o.Demo {
		answer["mode"] = "demo"
	}
	status := http.StatusOK
	select {
	case <-h.draining:
		answer["status"], status = "draining", http.StatusServiceUnavailable
	default:
		if err := h.ready(c.Request().Context()); err != nil {
			h.log.Warn("not ready", "request", supportCode(c), "error", err)
			answer["status"], status = "unready", http.StatusServiceUnavailable
		}
	}
	return c.JSON(status, answer)
}

func (h *Handler) ready(ctx context.Context) error {
	if h.o.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return h.o.Ready(ctx)
}

// cspReport serves POST /csp-report: it counts. What stands in a report came from a browser and
// may hold anything, so only its length is looked at.
func (h *Handler) cspReport(c echo.Context) error {
	n, err := io.Copy(io.Discard, c.Request().Body)
	if err != nil {
		return err
	}
	h.metrics.violations.Inc()
	h.metrics.reports.Add(1)
	h.log.Warn("a browser reported a policy violation", "bytes", n)
	return c.NoContent(http.StatusNoContent)
}

// favicon serves GET /favicon.ico, which browsers ask for without being told.
func (h *Handler) favicon(c echo.Context) error {
	return c.Redirect(http.StatusMovedPermanently, static.URL("favicon.svg"))
}
