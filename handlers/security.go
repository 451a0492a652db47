package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/labstack/echo/v4"
)

// errCrossSite is what another site gets that makes a browser send something to us.
var errCrossSite = errors.New("handlers: the request came from another site")

// cspReports is where browsers send what the policy stopped.
const cspReports = "/csp-report"

// crossOrigin stops requests that another site makes a browser send with our cookies. It stands
// in front of everything. A request that carries a device key is let by: it does not count by
// its cookies (see identify), and an extension without host permission looks like another site.
func (h *Handler) crossOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	if origin := h.publicOrigin(); origin != "" { // a proxy may have changed Host, which else says what our origin is
		_ = protection.AddTrustedOrigin(origin) // it is one: the address comes from the settings
	}
	deny := h.observe(h.securityHeaders(func(echo.Context) error { return errCrossSite }))
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = deny(h.echo.NewContext(r, w))
	}))
	protected := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if withoutCookies(r) {
			next.ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// publicOrigin is publicURL as a browser writes an origin: in lower case, without the scheme's own port.
func (h *Handler) publicOrigin() string {
	origin := strings.ToLower(h.publicURL())
	if port, ok := map[string]string{"http": ":80", "https": ":443"}[strings.SplitN(origin, ":", 2)[0]]; ok {
		origin = strings.TrimSuffix(origin, port)
	}
	return origin
}

// withoutCookies reports whether the route that r goes to ignores cookies for r: the API with a
// bearer, and the exchange of an extension's code for its key.
func withoutCookies(r *http.Request) bool {
	if !isAPI(r.URL.Path) {
		return false
	}
	_, ok := bearer(r)
	return ok || r.URL.Path == apiBase+"/devices/token"
}

// securityHeaders sets on every answer what keeps browsers strict with our pages.
func (h *Handler) securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h.setHeaders(c.Response().Header(), noAncestors)
		return next(c)
	}
}

func (h *Handler) setHeaders(header http.Header, ancestors string) {
	header.Set("Content-Security-Policy", contentPolicy(ancestors))
	header.Set("Reporting-Endpoints", `csp="`+cspReports+`"`)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()")
	header.Set("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Frame-Options", "DENY")
	if ancestors != noAncestors {
		header.Del("X-Frame-Options")
	}
	if h.o.URL != nil && h.o.URL.Scheme == "https" {
		header.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}

// contentPolicy is the Content-Security-Policy: only our own files run or style. Pictures may
// come from https, because thumbnails live on Microsoft's hosts, and from data:, because Pico
// draws its small icons so.
func contentPolicy(ancestors string) string {
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "font-src 'self'",
		"img-src 'self' https: data: blob:", "connect-src 'self'", "manifest-src 'self'",
		"form-action 'self'", "base-uri 'none'", "frame-ancestors " + ancestors,
		"report-uri " + cspReports, "report-to csp",
	}, "; ")
}

// recoverPanic turns a bug into an answer and a line in the log.
func (h *Handler) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				h.log.Error("panic", "request", supportCode(c), "route", c.Path(), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				err = echo.NewHTTPError(http.StatusInternalServerError)
			}
		}()
		return next(c)
	}
}
