package handlers

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
)

// access says who may call a route. The zero value lets in only who is signed in, so that a
// route that forgets to say is closed, not open.
type access int

const (
	signedIn  access = iota // a page: needs the session cookie
	public                  // a page or file for everybody
	apiUser                 // JSON: a device key, or the session cookie from our own origin
	apiPublic               // JSON for everybody: it checks what it is given itself
)

// route is one line of the route table. Who may call it, how much it may send and how often is
// said here and nowhere else.
type route struct {
	method string
	path   string
	access access
	serve  echo.HandlerFunc
	body   int64  // bytes that the body may have; 0: smallBody, below 0: no limit here
	bucket bucket // which rate limit counts; the zero value is the general one
	panel  bool   // a panel's cookie or bearer counts here too
	framed bool   // sites on the embed list may frame it
	office bool   // Office.js may run on it
	opener bool   // it keeps the window that opened it: no Cross-Origin-Opener-Policy
}

const (
	smallBody = 64 << 10
	listBody  = 4 << 20 // hundreds of long addresses, or a small picture as a data: URL
)

// routes is the whole table. Each subject has its part beside its handlers.
func (h *Handler) routes() []route {
	return slices.Concat(
		h.pageRoutes(),
		h.panelRoutes(),
		h.handoffRoutes(),
		h.addinRoutes(),
		h.buttonRoutes(),
		h.shareRoutes(),
		h.signInRoutes(),
		h.transferRoutes(),
		h.folderRoutes(),
		h.settingsRoutes(),
		h.apiRoutes(),
		h.deviceRoutes(),
		h.extensionRoutes(),
		h.openAPIRoutes(),
		h.serviceRoutes(),
	)
}

// pageRoutes are the pages that have no subject of their own.
func (h *Handler) pageRoutes() []route {
	table := []route{
		{method: http.MethodGet, path: "/", access: public, serve: h.home},
		{method: http.MethodGet, path: "/save", serve: h.savePage, access: public},
		{method: http.MethodGet, path: "/events", serve: h.pageEvents, panel: true},
	}
	if h.o.Demo {
		table = append(table, route{method: http.MethodGet, path: "/gallery", access: public, serve: h.gallery})
	}
	return table
}

// guard puts in front of a handler what its line of the table asks for, outermost first.
func (h *Handler) guard(r route) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		next = limitBody(r, notFramed(r, next))
		next = h.limitRate(r, next)
		switch {
		case r.access == public && r.bucket == unlimited: // it is the same for everybody
		case r.access == public || r.access == apiPublic:
			next = h.withUser(r, next)
		default:
			next = h.needUser(r, h.undoLate(r, next))
		}
		return h.windowRules(r, next)
	}
}

// Route is a line of the route table as tests and the API's description see it.
type Route struct {
	Method string
	Path   string
	Public bool // nobody needs to be signed in
	API    bool // JSON
}

// Routes is the whole route table.
func (h *Handler) Routes() []Route {
	list := make([]Route, len(h.table))
	for i, r := range h.table {
		list[i] = Route{r.method, r.path, r.access == public || r.access == apiPublic, r.access == apiUser || r.access == apiPublic}
	}
	return list
}
