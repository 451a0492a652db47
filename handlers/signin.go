package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/onedrive/transfer"
	"skylift/views"
)

func (h *Handler) signInRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/auth/login", access: public, serve: h.login, bucket: signIn},
		{method: http.MethodGet, path: callbackPath, access: public, serve: h.callback, bucket: signIn},
		{method: http.MethodPost, path: "/auth/logout", access: public, serve: h.logout, bucket: signIn},
		{method: http.MethodGet, path: "/auth/signed-out", access: public, serve: h.signedOut},
	}
}

const callbackPath = "/auth/callback"

// login serves GET /auth/login: off to Microsoft. Nothing is stored before the answer comes. With
// shared=1 it asks for the folders of others, too.
func (h *Handler) login(c echo.Context) error {
	q := c.QueryParams()
	o := auth.BeginOptions{Return: auth.LocalPath(q.Get("return")), LoginHint: q.Get("login_hint"), Prompt: "select_account", Shared: q.Get("shared") != ""}
	if u, ok := user(c); ok && o.Shared && o.LoginHint == "" {
		o.LoginHint = u.Username
	}
	if o.LoginHint != "" {
		o.Prompt = ""
	}
	return h.begin(c, o)
}

// begin sends the browser to Microsoft, with the sign-in that begins in a cookie.
func (h *Handler) begin(c echo.Context, o auth.BeginOptions) error {
	address, pending := h.o.Provider.Begin(o)
	if err := h.o.Pendings.Put(c.Response(), c.Request(), pending); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, address)
}

// callback serves GET /auth/callback: Microsoft's answer. The redirect at its end takes code and
// state out of the address bar. Without a query it is the way back from signing out there.
func (h *Handler) callback(c echo.Context) error {
	r := c.Request()
	if r.URL.RawQuery == "" {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	pending, err := h.o.Pendings.Take(c.Response(), r, r.URL.Query())
	if err != nil {
		return h.signInFailed(c, err)
	}
	u, token, err := h.o.Provider.Finish(r.Context(), pending, r.URL.Query())
	if err != nil {
		if before, ok := user(c); ok && pending.Shared { // who is signed in stays so, without the folders of others
			_, _ = h.sharedFiles(r.Context(), before.ID, true, false)
		}
		return h.signInFailed(c, err)
	}
	if err := h.welcome(r.Context(), u, func(ctx context.Context) error { return h.o.Tokens.Put(ctx, u.ID, token) }); err != nil {
		return err
	}
	if err := h.o.Sessions.SignIn(c.Response(), r, u); err != nil {
		return err
	}
	h.endStreams(c, endSignedIn) // of the session that this browser had before
	h.limits.know(h.o.Sessions.Mark(r), h.now())
	h.log.Info("signed in", "user", u.ID)
	more, err := h.sharedFiles(r.Context(), u.ID, pending.Shared, auth.Grants(token, auth.SharedFiles))
	if err != nil {
		return err
	}
	if more {
		return h.begin(c, auth.BeginOptions{Return: pending.Return, Purpose: pending.Purpose, Challenge: pending.Challenge, LoginHint: u.Username, Shared: true})
	}
	to, err := h.landing(c, pending, u)
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// sharedFiles remembers whether somebody's sign-in reaches the folders of others, and reports whether to ask
// for them now: who allowed them once wants them at the next sign-in, too, and a plain one to a personal
// account does not bring them. Microsoft shows no page then. What was asked for and not given is not
// asked for again.
func (h *Handler) sharedFiles(ctx context.Context, userID string, asked, granted bool) (more bool, err error) {
	p, err := h.prefs(ctx, userID)
	switch {
	case err != nil || p.Shared == granted:
		return false, err
	case p.Shared && !asked:
		return true, nil
	}
	p.Shared = granted
	return false, h.o.Users.SetPrefs(ctx, userID, p)
}

// welcome stores who came and their tokens, and wakes what waited for the sign-in.
func (h *Handler) welcome(ctx context.Context, u auth.User, keep func(context.Context) error) error {
	if err := keep(ctx); err != nil {
		return err
	}
	if err := h.o.Users.Put(ctx, u); err != nil {
		return err
	}
	h.o.Runner.Wake(u.ID, transfer.SignInRequired)
	return nil
}

// signInFailed says in plain words why nobody was signed in. Microsoft's number goes along, for
// whoever has to look it up.
func (h *Handler) signInFailed(c echo.Context, err error) error {
	var failed *auth.SignInError
	if !errors.As(err, &failed) {
		return err
	}
	h.log.Warn("sign-in failed", "request", supportCode(c), "kind", string(failed.Kind), "aadsts", failed.AADSTS, "error", failed)
	w, ok := signIns[failed.Kind]
	if !ok {
		w = signIns[auth.TryAgain]
	}
	n := w.notice(views.Bad)
	if w.status == http.StatusForbidden || failed.Kind == auth.Replayed {
		n.Tone = views.Plain
	}
	if failed.AADSTS != "" {
		n.Did += " (Microsoft's number for it: AADSTS" + failed.AADSTS + ".)"
	}
	actions := []views.Link{{Text: "Sign in again", URL: "/auth/login"}, {Text: "Go to the start page", URL: "/"}}
	return h.render(c, w.status, views.Message(h.page(c, w.what), n, actions, codeWords(c, w.status)))
}

// logout serves POST /auth/logout: this browser's session ends.
func (h *Handler) logout(c echo.Context) error {
	if err := h.o.Sessions.SignOut(c.Response(), c.Request()); err != nil {
		return err
	}
	h.endStreams(c, endSignedOut)
	return seeOther(c, "/auth/signed-out")
}

// endStreams ends the event streams of the session that made the request, once that has ended.
func (h *Handler) endStreams(c echo.Context, why endReason) {
	h.streams.endHolder(owner(c), holder(c), why)
}

// signedOut serves GET /auth/signed-out. Who is signed in, again or still, is not told otherwise.
func (h *Handler) signedOut(c echo.Context) error {
	if _, ok := user(c); ok {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	return h.farewell(c, "You are signed out", views.Notice{Did: "Transfers that are on their way go on without you."})
}

// absolute is a local path as an address of this server.
func (h *Handler) absolute(path string) string {
	if h.o.URL == nil {
		return path
	}
	return h.o.URL.ResolveReference(&url.URL{Path: path}).String()
}
