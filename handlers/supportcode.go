package handlers

import (
	"crypto/rand"
	"net/http"

	"github.com/labstack/echo/v4"
)

// nameRequest gives an answer a code of its own, by which whoever runs the server finds the request in the
// log. One that comes with the request is not taken: anybody could write into our log by it.
func nameRequest(w http.ResponseWriter) {
	w.Header().Set(echo.HeaderXRequestID, rand.Text()[:8]) // letters, and digits that look like none
}

// supportCode is the code of the answer to a request.
func supportCode(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// askable reports whether somebody may want to know why a request was answered so. Then the log has it as it
// is by default, and the page its code. Not so where a sign-in or a moment's patience is all that
// is missing, and for addresses that were never ours: of these anybody can send any number.
func askable(c echo.Context, status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusTooManyRequests:
		return false
	case http.StatusNotFound:
		return routeOf(c, status) != unknownRoute
	}
	return status >= 400
}
