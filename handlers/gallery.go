package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"skylift/views"
)

// gallery serves GET /gallery in the demo: every component in every state.
func (h *Handler) gallery(c echo.Context) error {
	return h.render(c, http.StatusOK, views.GalleryPage(h.page(c, "Gallery"), views.Gallery()))
}
