package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

func (h *Handler) panelRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/panel", access: public, serve: h.panelPage, panel: true, framed: true},
		{method: http.MethodGet, path: "/panel/cookies", access: public, serve: h.panelCookies},
		{method: http.MethodPost, path: "/panel/redeem", access: public, serve: h.redeem, bucket: signIn},
		{method: http.MethodPost, path: "/panel/renew", access: public, serve: h.renew, bucket: signIn},
		{method: http.MethodPost, path: "/panel/sign-out", access: public, serve: h.leavePanel, panel: true, framed: true, bucket: signIn},
		{method: http.MethodGet, path: "/panel/done", access: public, serve: h.panelDone},
		{method: http.MethodGet, path: "/transfers/:id/confirm", serve: h.confirm},
	}
}

// panelPath is the panel's page, and what a form inside it names as the page to come back to.
const panelPath = "/panel"

// panelRows is how many transfers the panel shows.
const panelRows = 10

// panelPage serves GET /panel: the small version for add-in panels, side panels and other sites.
func (h *Handler) panelPage(c echo.Context) error {
	u, ok := user(c)
	if !ok {
		h.tryCookie(c)
		p, info := h.panelFrame(c)
		return h.render(c, http.StatusOK, views.PanelSignIn(p, info))
	}
	form, err := h.newForm(c.Request().Context(), u.ID, c.QueryParam("folder"))
	if err != nil {
		return err
	}
	if text := c.QueryParam("url"); text != "" && h.mayFill(c.Request()) {
		form.Text = sharedAddress(text)
	}
	return h.renderPanel(c, http.StatusOK, form)
}

// mayFill reports whether the address of the panel may put something into its field. In a frame that is for
// the origins that may talk with the panel: for the others the person would press a button under
// words that they did not write.
func (h *Handler) mayFill(r *http.Request) bool {
	return !framedBy(r) || slices.Contains(h.embed.origins, originOf(r.Referer()))
}

// originOf is the origin of an address, or "".
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

func (h *Handler) renderPanel(c echo.Context, status int, form views.SaveForm) error {
	list, err := h.list(c.Request().Context(), owner(c), transfer.ListOptions{Top: panelRows})
	if err != nil {
		return err
	}
	list.Live = true
	comeBack(list, panelPath)
	form.Action, form.Small = panelPath, true
	p, info := h.panelFrame(c)
	return h.render(c, status, views.Panel(p, form, list, info))
}

// panelFrame is what stands around the panel's content, and what it knows about where it stands.
func (h *Handler) panelFrame(c echo.Context) (views.Page, views.PanelInfo) {
	info := views.PanelInfo{Hosts: h.embed.origins, Login: loginURL(c.Path()), Office: c.Path() == officePath}
	p := h.page(c, "Panel")
	p.Bare, p.Scripts = true, info.Scripts()
	return p, info
}

// errNotInFrame refuses in a frame what could destroy something: whoever frames the panel could
// have laid something over the button. The panel opens a window of its own for these.
var errNotInFrame = errors.New("handlers: not inside a frame")

// atTop refuses to replace files for a panel.
func atTop(c echo.Context, conflict onedrive.ConflictBehavior) error {
	if conflict == onedrive.Replace && framed(c) {
		return errNotInFrame
	}
	return nil
}

// framed reports whether a request comes from a panel, by what it is known by or by where its page is.
func framed(c echo.Context) bool { return inPanel(c) || inFrame(c) }

// notFramed refuses to a frame what a panel's session may not do, whoever's cookie came along: in
// a frame of the same site browsers send that of the main pages.
func notFramed(r route, next echo.HandlerFunc) echo.HandlerFunc {
	if r.method == http.MethodGet || r.panel || r.framed {
		return next
	}
	return func(c echo.Context) error {
		if inFrame(c) {
			return errNotInFrame
		}
		return next(c)
	}
}

// inFrame reports whether a request comes from a page in a frame, as far as can be told: the browser
// says so, or it is a form of the panel that the browser says nothing of.
func inFrame(c echo.Context) bool {
	r := c.Request()
	if framedBy(r) {
		return true
	}
	form := strings.HasPrefix(r.Header.Get(echo.HeaderContentType), echo.MIMEApplicationForm)
	return form && r.Header.Get("Sec-Fetch-Dest") != "document" && c.FormValue("return") == panelPath
}

// framedBy reports whether the browser says that the answer goes into a frame.
func framedBy(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "fencedframe", "embed", "object":
		return true
	}
	return false
}

// confirm serves GET /transfers/:id/confirm?do=undo: asks in a window of its own what a framed
// panel may not do by itself. It needs the session of that window; a panel's cookie is none.
func (h *Handler) confirm(c echo.Context) error {
	t, err := h.o.Store.Get(c.Request().Context(), owner(c), c.Param("id"))
	if err != nil {
		return err
	}
	q := views.Question{ID: t.ID, Name: t.Name, Do: c.QueryParam("do")}
	if q.Do != "undo" && q.Do != "remove" {
		return bad("invalidRequest")
	}
	p := h.page(c, "Are you sure?")
	p.Bare = true
	return h.render(c, http.StatusOK, views.Confirm(p, q))
}

// panelDone serves GET /panel/done: the end of a window that a panel opened.
func (h *Handler) panelDone(c echo.Context) error {
	p := h.page(c, "Done")
	p.Bare, p.User, p.Scripts = true, nil, []string{"js/handoff.js"}
	return h.render(c, http.StatusOK, views.Handoff(p, views.Handover{}))
}

// The trial cookie tells the panel whether this browser keeps cookies in this frame.
const trialCookie = "skylift-panel-trial"

func (h *Handler) tryCookie(c echo.Context) {
	cookie := &http.Cookie{Name: trialCookie, Value: "1", Path: "/panel", MaxAge: 600, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if strings.HasPrefix(h.o.Panels.Name(), "__Host-") {
		cookie.Secure, cookie.SameSite, cookie.Partitioned = true, http.SameSiteNoneMode, true
	}
	c.SetCookie(cookie)
}

// panelCookies serves GET /panel/cookies: whether the trial cookie came back.
func (h *Handler) panelCookies(c echo.Context) error {
	_, err := c.Cookie(trialCookie)
	return c.JSON(http.StatusOK, map[string]bool{"kept": err == nil})
}

// redeem serves POST /panel/redeem: a panel's one-time code and its verifier for a session. The
// session is a cookie of this frame, or a short bearer where the browser keeps no such cookie.
func (h *Handler) redeem(c echo.Context) error {
	var in struct {
		Code     string `json:"code"`
		Verifier string `json:"code_verifier"`
		Bearer   bool   `json:"bearer"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	ctx := c.Request().Context()
	u, err := h.o.Handoffs.Redeem(ctx, in.Code, in.Verifier)
	if err != nil {
		return err
	}
	h.log.Info("panel signed in", "user", u.ID, "bearer", in.Bearer)
	if in.Bearer {
		token, end, err := h.o.Panels.IssueBearer(ctx, u)
		return h.sendBearer(c, token, end, err)
	}
	if err := h.o.Panels.SignIn(c.Response(), c.Request(), u); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// renew serves POST /panel/renew: a panel's bearer for a fresh one.
func (h *Handler) renew(c echo.Context) error {
	key, ok := bearer(c.Request())
	if !ok {
		return errSignedOut
	}
	token, end, err := h.o.Panels.RenewBearer(c.Request().Context(), key)
	if errors.Is(err, auth.ErrBadBearer) {
		return errSignedOut
	}
	return h.sendBearer(c, token, end, err)
}

func (h *Handler) sendBearer(c echo.Context, token string, end time.Time, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(end.Sub(h.now()) / time.Second)})
}

// leavePanel serves POST /panel/sign-out: ends the session or bearer that this panel uses.
func (h *Handler) leavePanel(c echo.Context) error {
	r := c.Request()
	if key, ok := bearer(r); ok {
		if err := h.o.Panels.EndBearer(r.Context(), key); err != nil {
			return err
		}
		h.endStreams(c, endSignedOut)
		return c.NoContent(http.StatusNoContent)
	}
	if _, ok := user(c); ok && !inPanel(c) {
		if err := h.o.Sessions.SignOut(c.Response(), r); err != nil {
			return err
		}
	}
	if err := h.o.Panels.SignOut(c.Response(), r); err != nil {
		return err
	}
	h.endStreams(c, endSignedOut)
	if c.FormValue("office") != "" {
		return c.Redirect(http.StatusSeeOther, officePath)
	}
	return c.Redirect(http.StatusSeeOther, panelPath)
}
