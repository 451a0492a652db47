package handlers

import (
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/views"
)

// The extension's ids. The first follows from the key in its manifest, the second stands there.
const (
	chromiumID = "bjgecgimfofkefcmdobdciomjkpnaeno"
	geckoID    = "extension@skylift"
)

// extensionRedirects are those addresses that browsers keep for our extension and hand to nobody
// else. A one-time code is sent to one of them or to connectedPath, and they are compared whole.
var extensionRedirects = func() map[string]bool {
	sum := sha1.Sum([]byte(geckoID)) // Firefox's way to make a host name of an id, no secret
	gecko := hex.EncodeToString(sum[:])
	return map[string]bool{
		"https://" + chromiumID + ".chromiumapp.org/connect":   true,
		"https://" + gecko + ".extensions.allizom.org/connect": true,
		"http://127.0.0.1/mozoauth2/" + gecko + "/connect":     true, // Firefox may be set to use its loopback form
	}
}()

// connectedPath is where the question ends in a tab, for browsers that show no sign-in window: the
// extension was allowed to see the addresses of tabs at this server, and no other site can.
const connectedPath = "/ext/connected"

func (h *Handler) deviceRoutes() []route {
	return []route{
		{method: http.MethodGet, path: connectedPath, access: public, serve: h.connected},
		{method: http.MethodGet, path: "/ext/connect", access: public, serve: h.connectPage, bucket: signIn},
		{method: http.MethodPost, path: "/ext/connect", serve: h.connect, bucket: signIn},
		{method: http.MethodPost, path: apiBase + "/devices/token", access: apiPublic, serve: h.deviceToken, bucket: signIn},
	}
}

// connectRequest is what an extension asks the consent page for.
type connectRequest struct {
	redirect, state, challenge, name string
}

var connectState = regexp.MustCompile(`^[A-Za-z0-9._~-]{16,200}$`)

// parseConnect reads and judges a request. Nothing of a wrong one is followed or shown.
func (h *Handler) parseConnect(v url.Values) (connectRequest, error) {
	r := connectRequest{v.Get("redirect_uri"), v.Get("state"), v.Get("code_challenge"), strings.TrimSpace(cut(v.Get("name"), 80))}
	method := v.Get("code_challenge_method")
	ok := (extensionRedirects[r.redirect] || r.redirect == h.publicOrigin()+connectedPath) && connectState.MatchString(r.state) &&
		auth.ValidChallenge(r.challenge) && (method == "" || method == "S256")
	if !ok {
		return connectRequest{}, bad("connectInvalid")
	}
	return r, nil
}

// answer is the redirect address with the outcome. It stands behind a #, which no server sees.
func (r connectRequest) answer(outcome url.Values) string {
	outcome.Set("state", r.state)
	return r.redirect + "#" + outcome.Encode()
}

// connectPage serves GET /ext/connect: asks whether this browser may save for the person. An
// existing session alone must not be enough, since any page can open this address.
func (h *Handler) connectPage(c echo.Context) error {
	r, err := h.parseConnect(c.QueryParams())
	if err != nil {
		return err
	}
	if _, ok := user(c); !ok {
		return c.Redirect(http.StatusSeeOther, loginURL(c.Request().URL.RequestURI()))
	}
	if r.name == "" {
		r.name = "Browser"
	}
	allowRedirect(c, r.redirect)
	p := h.page(c, "Connect this browser?")
	p.Bare = true
	return h.render(c, http.StatusOK, views.Connect(p, views.ConnectForm{
		Name: r.name, Redirect: r.redirect, State: r.state, Challenge: r.challenge,
		Refuse: r.answer(url.Values{"error": {"access_denied"}}),
	}))
}

// allowRedirect lets the page's form end at the extension's address: browsers hold a form's
// redirects against form-action, too.
func allowRedirect(c echo.Context, redirect string) {
	u, err := url.Parse(redirect)
	if err != nil {
		return
	}
	const own = "form-action 'self'"
	header := c.Response().Header()
	policy := header.Get("Content-Security-Policy")
	header.Set("Content-Security-Policy", strings.Replace(policy, own, own+" "+u.Scheme+"://"+u.Host, 1))
}

// connect serves POST /ext/connect: the person said yes. The extension gets a code that only the
// one who holds the verifier can exchange, once and soon.
func (h *Handler) connect(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return bad("invalidRequest")
	}
	r, err := h.parseConnect(form)
	if err != nil {
		return err
	}
	code, err := h.o.Devices.IssueCode(c.Request().Context(), owner(c), r.name, r.challenge)
	if err != nil {
		return err
	}
	allowRedirect(c, r.redirect)
	return c.Redirect(http.StatusSeeOther, r.answer(url.Values{"code": {code}}))
}

// connected serves GET /ext/connected. What was decided stands behind a #, for the extension alone,
// which closes the tab.
func (h *Handler) connected(c echo.Context) error {
	p := h.page(c, "Back to the extension")
	p.Bare = true
	return h.render(c, http.StatusOK, views.Connected(p))
}

// deviceToken serves POST /api/v1/devices/token: a one-time code and its verifier for a key.
// It needs no cookie and looks at none.
func (h *Handler) deviceToken(c echo.Context) error {
	var in struct {
		Code     string `json:"code"`
		Verifier string `json:"code_verifier"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	key, d, err := h.o.Devices.Redeem(c.Request().Context(), in.Code, in.Verifier)
	if err != nil {
		return err
	}
	h.log.Info("device connected", "user", d.UserID, "device", d.ID)
	return c.JSON(http.StatusOK, map[string]any{
		"access_token": key, "token_type": "Bearer", "expires_in": int(d.Expires.Sub(h.now()) / time.Second),
		"device": map[string]string{"id": d.ID, "name": d.Name},
	})
}
