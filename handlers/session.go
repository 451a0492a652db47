package handlers

import (
	"cmp"
	"context"
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
	panelKey  = "panel"
	holderKey = "holder"
	routeKey  = "route"
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

// inPanel reports whether a panel's cookie or bearer made the request: a frame in somebody else's
// page, in which nothing may be destroyed (see atTop).
func inPanel(c echo.Context) bool {
	panel, _ := c.Get(panelKey).(bool)
	return panel
}

// holder is the session or device that makes the request, by a name that opens nothing. "" when
// nobody is signed in.
func holder(c echo.Context) string {
	name, _ := c.Get(holderKey).(string)
	return name
}

// holderOf is the name of a device as a holder.
func holderOf(deviceID string) string { return "device " + deviceID }

// needUser refuses who is not signed in.
func (h *Handler) needUser(r route, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := h.admit(c, r); err != nil {
			return err
		}
		if _, ok := user(c); !ok {
			return errSignedOut
		}
		if anothers(c) {
			return bad("otherAccount")
		}
		return next(c)
	}
}

// accountHeader is what our pages' scripts name the account of their page by, as forms do by the field who.
const accountHeader = "Skylift-Account"

// anothers reports a form or a script of a page that was another account's: somebody else has signed in
// since, in another tab of the same browser.
func anothers(c echo.Context) bool {
	r := c.Request()
	who := r.Header.Get(accountHeader)
	if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		who = cmp.Or(c.FormValue("who"), who)
	}
	return who != "" && who != whose(owner(c))
}

// withUser finds out who it is, if anybody.
func (h *Handler) withUser(r route, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := h.admit(c, r); err != nil && r.access != apiPublic && !errors.Is(err, errSignedOut) {
			return err
		}
		return next(c)
	}
}

// identify puts the user into the context: by device key on the API, else by the session
// cookie, on a panel's routes by the panel's cookie or bearer too. A request with a bearer never
// counts by its cookie, and an extension's never does.
func (h *Handler) identify(c echo.Context, r route) error {
	c.Set(routeKey, r)
	who, err := h.callerOf(c.Request(), r)
	if who.user.ID != "" {
		c.Set(userKey, who.user)
		c.Set(holderKey, who.holder)
	}
	c.Set(panelKey, who.panel)
	return err
}

// caller is who makes a request, and by what they are known.
type caller struct {
	user   auth.User
	panel  bool   // a panel's cookie or bearer did, which is good for less
	holder string // the session or device
}

// callerOf finds out who makes a request to a route. The error is errSignedOut for a key that is
// no good, else the store's.
func (h *Handler) callerOf(req *http.Request, r route) (caller, error) {
	if r.access == apiPublic {
		return caller{}, nil
	}
	if key, ok := bearer(req); ok {
		switch {
		case r.panel && auth.IsPanelBearer(key):
			return h.panelCaller(req.Context(), key)
		case r.access == apiUser:
			return h.deviceCaller(req.Context(), key)
		}
		return caller{}, nil
	}
	if !h.cookiesCount(req, r) {
		return caller{}, nil
	}
	u, ok, err := h.o.Sessions.Lookup(req)
	if ok || err != nil || !r.panel {
		return caller{user: u, holder: "session " + h.o.Sessions.Mark(req)}, err
	}
	u, ok, err = h.o.Panels.Lookup(req)
	return caller{user: u, panel: ok, holder: "panel " + h.o.Panels.Mark(req)}, err
}

func (h *Handler) panelCaller(ctx context.Context, key string) (caller, error) {
	u, err := h.o.Panels.Bearer(ctx, key)
	if errors.Is(err, auth.ErrBadBearer) {
		return caller{}, errSignedOut
	}
	return caller{user: u, panel: err == nil, holder: bearerHolder(key)}, err
}

func (h *Handler) deviceCaller(ctx context.Context, key string) (caller, error) {
	d, err := h.o.Devices.Authenticate(ctx, key)
	if errors.Is(err, auth.ErrBadKey) {
		return caller{}, errSignedOut
	}
	if err != nil {
		return caller{}, err
	}
	u, err := h.o.Users.Get(ctx, d.UserID)
	if errors.Is(err, auth.ErrNotFound) {
		return caller{}, errSignedOut
	}
	return caller{user: u, holder: holderOf(d.ID)}, err
}

// bearerHolder is the name of a panel's bearer as a holder.
func bearerHolder(key string) string { return "bearer " + auth.Mark(key) }

// bearer is the key of an Authorization header.
func bearer(r *http.Request) (string, bool) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(key), true
}

// cookiesCount reports whether a request counts by its cookies. Any installed extension can send
// them; none may use them. It shows by its Origin or, where browsers send none, as a request that
// no page made and that is no visit. The API is for our own pages' scripts and for curl besides:
// what another site's page makes a browser send has a Sec-Fetch-Site or an Origin that is not ours.
// https://www.w3.org/TR/fetch-metadata/
func (h *Handler) cookiesCount(req *http.Request, r route) bool {
	site, visit := req.Header.Get("Sec-Fetch-Site"), req.Header.Get("Sec-Fetch-Mode") == "navigate"
	if fromExtension(req) || site == "none" && !visit {
		return false
	}
	if r.access != apiUser {
		return true
	}
	return (site == "" || site == "none" || site == "same-origin") && h.ownOrigin(req)
}

// ownOrigin reports whether a request's Origin is ours, or missing: browsers send none with most
// GETs, and programs none at all.
func (h *Handler) ownOrigin(req *http.Request) bool {
	origin := req.Header.Get("Origin")
	_, host, _ := strings.Cut(origin, "://")
	return origin == "" || origin == h.publicOrigin() || host == req.Host
}

// fromExtension reports whether a browser extension made the request, as its Origin tells.
func fromExtension(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Origin"), "://")
	return strings.HasSuffix(strings.ToLower(scheme), "-extension")
}
