package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/onedrive/transfer"
	"skylift/views"
)

// savePage serves GET /save: the filled form of bookmarklet and share sheet, or of a transfer that is to be
// tried again. It saves nothing.
func (h *Handler) savePage(c echo.Context) error {
	u, ok := user(c)
	if !ok {
		return errSignedOut
	}
	if id := c.QueryParam("again"); id != "" {
		return h.againPage(c, id)
	}
	form, err := h.newForm(c.Request().Context(), u.ID, c.QueryParam("folder"))
	if err != nil {
		return err
	}
	form.Text = sharedAddress(c.QueryParam("url"), c.QueryParam("text"), c.QueryParam("title"))
	form.Title = "What to save"
	p := h.page(c, "Save this")
	p.Path = "/"
	return h.render(c, http.StatusOK, views.SavePage(p, form))
}

// sharedAddress finds the address in what was shared. Phones often put it into the text, with
// words around it.
func sharedAddress(candidates ...string) string {
	for _, s := range candidates {
		if _, err := transfer.ParseSourceURL(strings.TrimSpace(s)); err == nil {
			return strings.TrimSpace(s)
		}
	}
	for _, s := range candidates {
		for _, word := range strings.Fields(s) {
			word = strings.Trim(word, "<>()[]\"'.,")
			if !strings.Contains(word, "://") {
				continue
			}
			if _, err := transfer.ParseSourceURL(word); err == nil {
				return word
			}
		}
	}
	return cut(strings.TrimSpace(candidates[0]), transfer.MaxURL)
}
