package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/views"
)

// Signing in a framed panel takes two windows. Microsoft's pages cannot stand in a frame, and
// they cut the tie between a window and its opener. So the panel opens window A, which stays
// here and keeps its tie to the panel; A opens window B, which goes to Microsoft and back and
// passes a one-time code to A over a BroadcastChannel; A passes it on to the panel. The code is
// worth nothing without the panel's verifier, once, for a minute. See
// https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Cross-Origin-Opener-Policy.

func (h *Handler) handoffRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/auth/panel", access: public, serve: h.relayPage, bucket: signIn, opener: true},
		{method: http.MethodPost, path: "/auth/panel", serve: h.relayAgain, bucket: signIn, opener: true},
		{method: http.MethodGet, path: "/auth/panel/start", access: public, serve: h.relayStart, bucket: signIn, opener: true},
		{method: http.MethodGet, path: "/auth/panel/done", access: public, serve: h.relayDone, opener: true},
	}
}

// What a sign-in can be for, beside the page that began it.
const forPanel = "panel"

// The handoff waits in the session of the window between two pages, so that it stands in no address.
const (
	handoffValue   = "handoff"
	challengeValue = "handoffChallenge"
)

// relayPage serves GET /auth/panel: window A. It waits for window B. Which site the panel stands in it is told by
// the panel itself (relay.js): an address could name any.
func (h *Handler) relayPage(c echo.Context) error {
	challenge, err := handoffChallenge(c.QueryParam("c"))
	if err != nil {
		return err
	}
	p := h.page(c, "Sign in for the panel")
	u := p.User
	p.Bare, p.User, p.Scripts = true, nil, []string{"js/relay.js"}
	return h.render(c, http.StatusOK, views.Relay(p, views.RelayInfo{
		Challenge: challenge, User: u, Start: "/auth/panel/start?c=" + challenge,
	}))
}

// relayAgain serves POST /auth/panel: somebody who is signed in here lets the panel in as well,
// without a second trip to Microsoft.
func (h *Handler) relayAgain(c echo.Context) error {
	challenge, err := handoffChallenge(c.FormValue("c"))
	if err != nil {
		return err
	}
	u, _ := user(c)
	code, err := h.o.Handoffs.Issue(c.Request().Context(), u, challenge)
	if err != nil {
		return err
	}
	return h.handOver(c, views.Handover{Code: code, Challenge: challenge})
}

// relayStart serves GET /auth/panel/start: window B on its way to Microsoft.
func (h *Handler) relayStart(c echo.Context) error {
	challenge, err := handoffChallenge(c.QueryParam("c"))
	if err != nil {
		return err
	}
	return h.begin(c, auth.BeginOptions{Purpose: forPanel, Challenge: challenge, Prompt: "select_account"})
}

// landing is where a finished sign-in goes on to. A sign-in for a panel leaves a code in the
// session of its window.
func (h *Handler) landing(c echo.Context, pending auth.Pending, u auth.User) (string, error) {
	done, ok := map[string]string{forPanel: "/auth/panel/done", forOffice: "/auth/office/done"}[pending.Purpose]
	if !ok {
		return auth.LocalPath(pending.Return), nil
	}
	r := c.Request()
	code, err := h.o.Handoffs.Issue(r.Context(), u, pending.Challenge)
	if err != nil {
		return "", err
	}
	session, err := h.o.Sessions.Get(r, h.o.Sessions.Name())
	if err != nil {
		return "", err
	}
	session.Values[handoffValue], session.Values[challengeValue] = code, pending.Challenge
	return done, h.o.Sessions.Save(r, c.Response(), session)
}

// relayDone serves GET /auth/panel/done, the end of window B, and GET /auth/office/done, that of
// Office's dialog. It hands the code over once.
func (h *Handler) relayDone(c echo.Context) error {
	r := c.Request()
	session, err := h.o.Sessions.Get(r, h.o.Sessions.Name())
	if err != nil {
		return err
	}
	code, _ := session.Values[handoffValue].(string)
	challenge, _ := session.Values[challengeValue].(string)
	if code == "" {
		return h.handOver(c, views.Handover{})
	}
	delete(session.Values, handoffValue)
	delete(session.Values, challengeValue)
	if err := h.o.Sessions.Save(r, c.Response(), session); err != nil {
		return err
	}
	return h.handOver(c, views.Handover{Code: code, Challenge: challenge})
}

func (h *Handler) handOver(c echo.Context, o views.Handover) error {
	p := h.page(c, "You are signed in")
	p.Bare, p.User, p.Scripts = true, nil, []string{"js/handoff.js"}
	o.Office = c.Path() == "/auth/office/done"
	return h.render(c, http.StatusOK, views.Handoff(p, o))
}

// handoffChallenge checks an S256 challenge.
func handoffChallenge(s string) (string, error) {
	if !auth.ValidChallenge(s) {
		return "", bad("handoffInvalid")
	}
	return s, nil
}
