package handlers

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/onedrive/transfer"
	"skylift/views"
)

// problem is an RFC 9457 answer. Code is stable; title and detail are for people.
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail,omitempty"`
	Instance string `json:"instance,omitempty"`
	Code     string `json:"code"`
	Advice   string `json:"advice,omitempty"`
	Field    string `json:"field,omitempty"`
	Next     *int64 `json:"bytesTransferred,omitempty"` // the byte from which the body of an upload goes on
}

func problemOf(err error) problem {
	code, w := judge(err)
	p := problem{Type: "about:blank", Title: w.what, Status: w.status, Detail: w.did, Code: code, Advice: w.do}
	var field *transfer.RequestError
	var judged *apiError
	if errors.As(err, &field) {
		p.Field, p.Detail, p.Status = field.Field, fieldWords(field), http.StatusBadRequest
	}
	if errors.As(err, &judged) {
		p.Field, p.Detail, p.Next = cmp.Or(judged.field, p.Field), cmp.Or(judged.said, p.Detail), judged.next
	}
	return p
}

func (h *Handler) sendProblem(c echo.Context, err error) error {
	p := problemOf(err)
	p.Instance = instanceOf(c)
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "application/problem+json")
	if p.Code == "unauthenticated" { // and not where Microsoft's sign-in is gone: another key would not help
		header.Set("WWW-Authenticate", `Bearer realm="Skylift"`)
	}
	c.Response().WriteHeader(p.Status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	return c.Echo().JSONSerializer.Serialize(c, p, "")
}

// instanceOf names a request as RFC 9457 §3.1.5 wants it: an absolute URI, and none that could be opened. Two
// lines of a batch have the same.
func instanceOf(c echo.Context) string { return "urn:skylift:request:" + supportCode(c) }

// lineProblem is what is wrong with a line of a batch. The answer as a whole is good, so a fault of ours is
// in the log only if it is put there.
func (h *Handler) lineProblem(c echo.Context, err error) problem {
	p := problemOf(err)
	p.Instance = instanceOf(c)
	if p.Code == "internal" {
		h.log.Error("line of a batch", "request", supportCode(c), "error", err)
	}
	return p
}

// errorPage says in plain words what happened. Somebody who is not signed in is shown the way in.
func (h *Handler) errorPage(c echo.Context, err error) error {
	code, w := pageWords(err)
	if code == "unauthenticated" || code == "signInRequired" {
		return h.signInPage(c, code, w)
	}
	tone := views.Bad
	if w.status == http.StatusNotFound {
		tone = views.Plain
	}
	p := h.page(c, w.what)
	links := []views.Link{{Text: "Go to the start page", URL: "/"}}
	if code == "folderNotFound" || code == "folderAccessDenied" {
		links = []views.Link{{Text: "Choose another folder", URL: "/folders"}, links[0]}
	}
	return h.render(c, w.status, views.Message(p, w.notice(tone), links, codeWords(c, w.status)))
}

// signInFrom is where a page of htmx goes to sign in. The panel does it itself: Microsoft's pages
// do not stand in a frame.
func signInFrom(c echo.Context) string {
	if at := onPage(c); at == panelPath || strings.HasPrefix(at, panelPath+"/") {
		return at
	}
	return loginURL("/")
}

// onPage is the path of the page whose htmx asks; "" when it does not say.
func onPage(c echo.Context) string {
	at, err := url.Parse(c.Request().Header.Get("HX-Current-URL"))
	if err != nil {
		return ""
	}
	return at.Path
}

// signInPage is shown instead of a page that needs somebody. What was asked for with GET is
// opened after the sign-in; htmx, which cannot show a page inside a form, is sent there.
func (h *Handler) signInPage(c echo.Context, code string, w words) error {
	back := "/"
	if r := c.Request(); r.Method == http.MethodGet {
		back = r.URL.RequestURI()
	}
	n := w.notice(views.Plain)
	p := h.page(c, n.What)
	n.What = ""
	if c.Request().Header.Get("HX-Request") == "true" {
		c.Response().Header().Set("HX-Redirect", signInFrom(c))
	}
	return h.render(c, w.status, views.SignedOut(p, n, loginURL(back), ""))
}
