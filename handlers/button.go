package handlers

import (
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/static"
	"skylift/views"
)

func (h *Handler) buttonRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/embed.js", access: public, serve: h.embedScript, bucket: unlimited},
		{method: http.MethodGet, path: "/save/button", access: public, serve: h.saveButton, opener: true},
	}
}

// embedScript serves GET /embed.js: the save button for other sites. Its address stays, so it may
// be kept for an hour only.
func (h *Handler) embedScript(c echo.Context) error {
	script, err := fs.ReadFile(static.FS(), "embed.js")
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set("Cache-Control", "public, max-age=3600")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	return c.Blob(http.StatusOK, "text/javascript; charset=utf-8", script)
}

// saveButton serves GET /save/button: the window in which a person confirms what another site's
// save button offers. It saves nothing by itself, and keeps its opener to tell it what became of it.
func (h *Handler) saveButton(c echo.Context) error {
	b := views.Button{URL: c.QueryParam("url")}
	if name := cut(c.QueryParam("name"), 200); name != "" {
		b.Name = onedrive.SafeName(name) // as it will be called: nothing in it turns the words around
	}
	if _, err := transfer.ParseSourceURL(b.URL); err != nil {
		return err
	}
	b.Shown = hostOf(b.URL)
	if origin := c.QueryParam("origin"); siteHost(origin) != "" {
		scheme, _, _ := strings.Cut(origin, "://")
		b.Origin = scheme + "://" + siteHost(origin)
	}
	p := h.page(c, "Save to OneDrive?")
	b.User = p.User
	p.Bare, p.User, p.Scripts = true, nil, []string{"js/button.js"}
	b.Login = loginURL("/panel/done")
	if u, ok := user(c); ok {
		form, err := h.newForm(c.Request().Context(), u.ID, "")
		if err != nil {
			return err
		}
		b.Folders, b.Key = form.Folders, form.Key
	}
	return h.render(c, http.StatusOK, views.SaveButton(p, b))
}

// siteHost is the host of an origin, to be shown; "" for anything else.
func siteHost(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || len(u.Host) > 253 {
		return ""
	}
	return u.Host
}
