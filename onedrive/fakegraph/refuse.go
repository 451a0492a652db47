package fakegraph

import (
	"net/http"
	"strconv"
	"strings"
)

// refuse makes an error of Graph: a code to branch on, a message that nobody should show, and
// inner codes that nest (microsoft.md §5.4, §5.5).
func refuse(status int, code, message string, inner ...string) *wireError {
	return &wireError{status: status, code: code, message: message, inner: inner}
}

// with adds a header to the answer.
func (e *wireError) with(name, value string) *wireError {
	if e.header == nil {
		e.header = http.Header{}
	}
	e.header.Set(name, value)
	return e
}

func notFound() *wireError {
	return refuse(404, "itemNotFound", "The resource could not be found.")
}

func invalid(message string, inner ...string) *wireError {
	return refuse(400, "invalidRequest", message, inner...)
}

// modified is a 412 as OneDrive words it: notAllowed, with the reason inside (OAD#514).
func modified() *wireError {
	return refuse(412, "notAllowed", "ETag does not match current item's value", "preconditionFailed")
}

// checkedOut is a 423 as OneDrive words it: the code is that of a folder one may not write to (OAD#912, OAD#1199).
func checkedOut() *wireError {
	return refuse(423, "accessDenied", "The file is currently checked out or locked for editing by another user.")
}

// throttled is a 429 with Retry-After in seconds, which may be a fraction (microsoft.md §5.1).
func throttled(seconds float64) *wireError {
	return refuse(429, "activityLimitReached", "The request has been throttled.", "throttledRequest").
		with("Retry-After", strconv.FormatFloat(seconds, 'f', -1, 64))
}

// sameTag reports whether two entity tags are the same; quotes and the weak mark don't count.
func sameTag(a, b string) bool { return bareTag(a) == bareTag(b) }

func bareTag(tag string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`)
}
