package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// extensionOrigin is the one foreign origin that may call the API from a browser: our extension
// in Chromium. Firefox gives an extension another origin in each profile; there its host
// permission does the same. Nobody is ever allowed to send cookies along.
const extensionOrigin = "chrome-extension://" + chromiumID

// cors answers browsers that ask whether the extension may call the API.
func cors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, header := c.Request(), c.Response().Header()
		if !isAPI(r.URL.Path) {
			return next(c)
		}
		header.Add("Vary", "Origin")
		if r.Header.Get("Origin") != extensionOrigin {
			return next(c)
		}
		header.Set("Access-Control-Allow-Origin", extensionOrigin)
		header.Set("Access-Control-Expose-Headers", "Location, Retry-After")
		if r.Method != http.MethodOptions {
			return next(c)
		}
		header.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
		header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Range, Idempotency-Key, Last-Event-ID")
		header.Set("Access-Control-Max-Age", "600")
		return c.NoContent(http.StatusNoContent)
	}
}
