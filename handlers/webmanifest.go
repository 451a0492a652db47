package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"skylift/static"
)

// webManifest serves GET /manifest.webmanifest: by it phones install Skylift and offer it where
// things are shared. https://www.w3.org/TR/appmanifest/
func (h *Handler) webManifest(c echo.Context) error {
	icon := func(name, sizes, purpose string) map[string]string {
		return map[string]string{"src": static.URL("icons/" + name), "sizes": sizes, "type": "image/png", "purpose": purpose}
	}
	c.Response().Header().Set("Cache-Control", "no-cache")
	c.Response().Header().Set(echo.HeaderContentType, "application/manifest+json")
	c.Response().WriteHeader(http.StatusOK)
	return c.Echo().JSONSerializer.Serialize(c, map[string]any{
		"id": "/", "name": "Skylift", "short_name": "Skylift", "start_url": "/", "scope": "/", "display": "standalone",
		"background_color": "#f5f7fc", "theme_color": "#f5f7fc",
		"icons": []map[string]string{
			icon("app-192.png", "192x192", "any"), icon("app-512.png", "512x512", "any"), icon("maskable-512.png", "512x512", "maskable"),
		},
		"share_target": map[string]any{
			"action": "/save", "method": "POST", "enctype": "multipart/form-data", // only a form can carry files
			"params": map[string]any{
				"title": "title", "text": "text", "url": "url",
				"files": []any{map[string]any{"name": "files", "accept": []string{"image/*", "video/*", "audio/*", "text/*", "application/*"}}},
			},
		},
	}, "")
}
