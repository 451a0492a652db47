package handlers

import (
	"bytes"
	"net/http"
	"net/url"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"skylift/views"
)

// page is what stands around the content of every page.
func (h *Handler) page(c echo.Context, title string) views.Page {
	p := views.Page{Title: title, Path: c.Request().URL.Path, Demo: h.o.Demo}
	if u, ok := user(c); ok {
		p.User = &views.User{Who: whose(u.ID), Name: u.Name, Username: u.Username, Kind: "Work or school"}
		if u.Personal() {
			p.User.Kind = "Personal"
		}
	}
	return p
}

// render sends a component. It is drawn whole before the first byte goes out, so a fault in the
// middle is a 500 and not half a page.
func (h *Handler) render(c echo.Context, status int, t templ.Component) error {
	var b bytes.Buffer
	if err := t.Render(c.Request().Context(), &b); err != nil {
		return err
	}
	return c.HTMLBlob(status, b.Bytes())
}

// loginURL is the address that starts a sign-in and comes back to the given local page.
func loginURL(back string) string {
	if back == "" || back == "/" {
		return "/auth/login"
	}
	return "/auth/login?return=" + url.QueryEscape(back)
}

// seeOther sends the browser on after a form. htmx gets the same by a header, since it would
// follow the redirect and put the page into the form's place.
func seeOther(c echo.Context, to string) error {
	if isHTMX(c) {
		c.Response().Header().Set("HX-Redirect", to)
		return c.NoContent(http.StatusNoContent)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

func isHTMX(c echo.Context) bool {
	r := c.Request()
	return r.Header.Get("HX-Request") == "true" && r.Header.Get("HX-Boosted") == ""
}
