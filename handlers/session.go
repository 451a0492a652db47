package handlers

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/auth"
)

// errSignedOut is what a route answers to somebody whom it does not know.
var errSignedOut = errors.New("handlers: nobody is signed in")

const (
	userKey   = "user"
	deviceKey = "device"
)

// user is who makes the request; ok is false when nobody is signed in.
func user(c echo.Context) (auth.User, bool) {
	u, ok := c.Get(userKey).(auth.User)
	return u, ok
}

// owner is the id of who makes the request. Only routes that need somebody call it.
func owner(c echo.Context) string {
	u, _ := user(c)
	return u.ID
}

// device is the device whose key made the request, if one did.
func device(c echo.Context) (auth.Device, bool) {
	d, ok := c.Get(deviceKey).(auth.Device)
	return d, ok
}

// needUser refuses who is not signed in.
func (h *Handler) needUser(r route, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := h.identify(c, r); err != nil {
			return err
		}
		if _, ok := user(c); !ok {
			return errSignedOut
		}
		return next(c)
	}
}

// withUser finds out who it is, if anybody.
func (h *Handler) withUser(r route, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := h.identify(c, r); err != nil && r.access != apiPublic && !errors.Is(err, errSignedOut) {
			return err
		}
		return next(c)
	}
}

// identify puts the user into the context: by device key on the API, else by the session
// cookie. A request with a bearer never counts by its cookie, and an extension's never does.
func (h *Handler) identify(c echo.Context, r route) error {
	if r.access == apiPublic {
		return nil
	}
	req := c.Request()
	if key, ok := bearer(req); ok {
		if r.access != apiUser {
			return nil
		}
		return h.identifyDevice(c, key)
	}
	if fromExtension(req) {
		return nil
	}
	u, ok, err := h.o.Sessions.Lookup(req)
	if ok {
		c.Set(userKey, u)
	}
	return err
}

func (h *Handler) identifyDevice(c echo.Context, key string) error {
	ctx := c.Request().Context()
	d, err := h.o.Devices.Authenticate(ctx, key)
	if errors.Is(err, auth.ErrBadKey) {
		return errSignedOut
	}
	if err != nil {
		return err
	}
	u, err := h.o.Users.Get(ctx, d.UserID)
	if errors.Is(err, auth.ErrNotFound) {
		return errSignedOut
	}
	if err != nil {
		return err
	}
	c.Set(userKey, u)
	c.Set(deviceKey, d)
	return nil
}

// bearer is the key of an Authorization header.
func bearer(r *http.Request) (string, bool) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(key), true
}

// fromExtension reports whether a browser extension made the request. Any installed extension
// can send our cookies; none may use them (security.md §1.6).
func fromExtension(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	scheme, _, _ := strings.Cut(origin, "://")
	return strings.HasSuffix(strings.ToLower(scheme), "-extension")
}
