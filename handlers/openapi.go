package handlers

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed openapi.yaml
var openAPI []byte

func (h *Handler) openAPIRoutes() []route {
	return []route{{method: http.MethodGet, path: apiBase + "/openapi.yaml", access: apiPublic, serve: h.openAPI}}
}

// openAPI serves GET /api/v1/openapi.yaml: the description of the API. A test holds it against
// the routes.
func (h *Handler) openAPI(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "no-cache")
	return c.Blob(http.StatusOK, "application/yaml", openAPI)
}
