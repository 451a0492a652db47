package handlers

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

func (h *Handler) settingsRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/settings", serve: h.settings},
		{method: http.MethodPost, path: "/settings", serve: h.setDefaults},
		{method: http.MethodPost, path: "/settings/folder", serve: h.setFolder},
		{method: http.MethodPost, path: "/settings/rules", serve: h.addRule},
		{method: http.MethodPost, path: "/settings/rules/up", serve: h.raiseRule},
		{method: http.MethodPost, path: "/settings/rules/delete", serve: h.deleteRule},
		{method: http.MethodPost, path: "/settings/devices", serve: h.makeKey},
		{method: http.MethodPost, path: "/settings/devices/:id/revoke", serve: h.revokeKey},
		{method: http.MethodPost, path: "/settings/sign-out-everywhere", serve: h.signOutEverywhere},
		{method: http.MethodPost, path: "/settings/delete", serve: h.deleteData},
	}
}

// settings serves GET /settings.
func (h *Handler) settings(c echo.Context) error {
	return h.showSettings(c, http.StatusOK, views.Settings{})
}

func (h *Handler) showSettings(c echo.Context, status int, s views.Settings) error {
	ctx, who := c.Request().Context(), owner(c)
	p, err := h.prefs(ctx, who)
	if err != nil {
		return err
	}
	devices, err := h.o.Devices.List(ctx, who)
	if err != nil {
		return err
	}
	if p.Folder != nil {
		s.Folder, s.HasFolder = folderView(*p.Folder), true
	}
	s.Who, s.Conflict, s.Page = whose(who), string(p.Conflict), h.absolute("/")
	s.Bookmarklet = bookmarklet(h.absolute("/save"))
	s.MicrosoftURL = consentURL(c)
	for _, r := range p.Rules {
		s.Rules = append(s.Rules, r.view())
	}
	for _, d := range devices {
		s.Devices = append(s.Devices, h.deviceView(d))
	}
	page := h.page(c, "Settings")
	page.Path = "/settings" // also in the answer to a new key
	if c.QueryParam("saved") != "" {
		page.Notice = &views.Notice{Tone: views.Good, What: "Your settings are saved."}
	}
	return h.render(c, status, views.SettingsPage(page, s))
}

// consentURL is where the person takes back at Microsoft what they allowed.
func consentURL(c echo.Context) string {
	if u, _ := user(c); !u.Personal() {
		return "https://myapps.microsoft.com"
	}
	return "https://account.live.com/consent/Manage"
}

// bookmarklet opens the filled form. It loads no script, so a page's own policy does not stop it.
func bookmarklet(save string) string {
	return "javascript:void(window.open('" + save + "?url='+encodeURIComponent(location.href)+'&title='+encodeURIComponent(document.title)))"
}

func (h *Handler) deviceView(d auth.Device) views.Device {
	now := h.now()
	v := views.Device{ID: d.ID, Name: d.Name, Created: clock(d.Created, now), LastUsed: "never used"}
	if !d.LastUsed.IsZero() && d.LastUsed.After(d.Created) {
		v.LastUsed = "last used " + clock(d.LastUsed, now)
	}
	if left := d.Expires.Sub(now); left > 0 {
		v.Expires = "ends in " + plural(int(math.Ceil(left.Hours()/24)), "day")
	}
	return v
}

// setDefaults serves POST /settings.
func (h *Handler) setDefaults(c echo.Context) error {
	b := onedrive.ConflictBehavior(c.FormValue("conflict"))
	switch b {
	case onedrive.Rename, onedrive.Replace, onedrive.Fail:
	default:
		return bad("invalidRequest")
	}
	return h.changePrefs(c, settingsSaved, func(p *prefs) { p.Conflict = b })
}

// setFolder serves POST /settings/folder: the default folder, looked up so that it has a name.
func (h *Handler) setFolder(c echo.Context) error {
	f, err := h.folderOfForm(c)
	if err != nil {
		return err
	}
	return h.changePrefs(c, settingsSaved, func(p *prefs) {
		p.Folder = &f
		if f.Path == "/" {
			p.Folder = nil
		}
	})
}

// folderOfForm looks up the folder that a form of the picker names.
func (h *Handler) folderOfForm(c echo.Context) (transfer.Folder, error) {
	ctx := c.Request().Context()
	ref, err := parseFolder(c.FormValue("folder"))
	if err != nil {
		return transfer.Folder{}, err
	}
	client, err := h.o.Client(ctx, owner(c))
	if err != nil {
		return transfer.Folder{}, err
	}
	f, _, err := folderAt(ctx, client, ref)
	return f, err
}

// settingsSaved is the settings page that says that they are.
const settingsSaved = "/settings?saved=1"

// changePrefs changes what the person has set, and leads on to a page.
func (h *Handler) changePrefs(c echo.Context, to string, change func(*prefs)) error {
	ctx := c.Request().Context()
	p, err := h.prefs(ctx, owner(c))
	if err != nil {
		return err
	}
	change(&p)
	if err := h.o.Users.SetPrefs(ctx, owner(c), p); err != nil {
		return err
	}
	return seeOther(c, to)
}

// makeKey serves POST /settings/devices. The key is in this answer and nowhere else, so the
// answer is the page itself and no redirect.
func (h *Handler) makeKey(c echo.Context) error {
	name := strings.TrimSpace(cut(c.FormValue("name"), 80))
	key, d, err := h.o.Devices.Make(c.Request().Context(), owner(c), name)
	if err != nil {
		return err
	}
	return h.showSettings(c, http.StatusOK, views.Settings{NewKey: key, NewKeyName: d.Name})
}

// revokeKey serves POST /settings/devices/:id/revoke.
func (h *Handler) revokeKey(c echo.Context) error {
	if err := h.o.Devices.Revoke(c.Request().Context(), owner(c), c.Param("id")); err != nil {
		return err
	}
	h.streams.endHolder(owner(c), holderOf(c.Param("id")), endSignedOut)
	return seeOther(c, "/settings#devices")
}

// signOutEverywhere serves POST /settings/sign-out-everywhere: all sessions and keys end.
func (h *Handler) signOutEverywhere(c echo.Context) error {
	if err := h.shutOut(c); err != nil {
		return err
	}
	return h.farewell(c, "You are signed out everywhere", views.Notice{
		Did: "No browser, device or key gets in any more. Transfers that are on their way go on without you.",
	})
}

// farewell says what was done for somebody who is signed out by it. It is the answer itself: an address
// that says so could be sent to somebody for whom nothing was done.
func (h *Handler) farewell(c echo.Context, title string, n views.Notice) error {
	p := h.page(c, title)
	p.User = nil
	return h.render(c, http.StatusOK, views.SignedOut(p, n, loginURL("/"), h.o.Provider.LogoutURL()))
}

// shutOut ends all sessions and keys of the person, and the codes that could become one.
func (h *Handler) shutOut(c echo.Context) error {
	ctx, who := c.Request().Context(), owner(c)
	err := errors.Join(
		h.o.Devices.RevokeAll(ctx, who), h.o.Handoffs.Forget(ctx, who),
		h.o.Sessions.SignOut(c.Response(), c.Request()), h.o.Sessions.DeleteAll(ctx, who))
	h.streams.endUser(who)
	return err
}

// deleteData serves POST /settings/delete: everything that is kept about the person goes. Files in
// OneDrive stay. The ways in are closed first, so that nothing new comes meanwhile.
func (h *Handler) deleteData(c echo.Context) error {
	if c.FormValue("confirm") != "yes" {
		n := views.Notice{What: "Tick the box first: this cannot be taken back."}
		return h.showSettings(c, http.StatusUnprocessableEntity, views.Settings{ConfirmBad: &n})
	}
	if err := h.shutOut(c); err != nil {
		return err
	}
	if err := h.erase(c.Request().Context(), owner(c)); err != nil {
		return err
	}
	return h.farewell(c, "Your data is deleted", views.Notice{
		Did:  "The list of transfers, the settings, all keys and Skylift's access to your OneDrive are gone, and what was on its way is cancelled. Files in OneDrive stay; one that OneDrive was fetching by itself may still arrive.",
		Do:   "What Microsoft remembers of your consent you take back",
		Link: &views.Link{Text: "at Microsoft", URL: consentURL(c)},
	})
}

// erase forgets all that is kept about a person. The profile goes first: by its absence a change
// that was under way finds out that it came too late (see undoLate).
func (h *Handler) erase(ctx context.Context, who string) error {
	if err := h.o.Users.Delete(ctx, who); err != nil {
		return err
	}
	if err := h.cancelAll(ctx, who); err != nil {
		return err
	}
	return errors.Join(h.o.Store.DeleteAll(ctx, who), h.o.Tokens.Forget(ctx, who))
}

// lateLimit bounds the clearing away of what came too late.
const lateLimit = 30 * time.Second

// undoLate clears away again what a change has stored for somebody who had all their data deleted
// while it was under way, here or on another instance.
func (h *Handler) undoLate(r route, next echo.HandlerFunc) echo.HandlerFunc {
	if r.method == http.MethodGet {
		return next
	}
	return func(c echo.Context) error {
		answer := next(c)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), lateLimit)
		defer cancel()
		who := owner(c)
		if _, err := h.o.Users.Get(ctx, who); !errors.Is(err, auth.ErrNotFound) || h.stillIn(ctx, c) {
			return answer
		}
		if err := errors.Join(h.o.Devices.RevokeAll(ctx, who), h.erase(ctx, who)); err != nil {
			h.log.Error("data that came while it was being deleted is left", "request", supportCode(c), "user", who, "error", err)
		}
		return answer
	}
}

// cancelAll cancels what still runs, so that nothing is saved after its owner has gone.
func (h *Handler) cancelAll(ctx context.Context, who string) error {
	for _, state := range []transfer.State{transfer.NotStarted, transfer.InProgress, transfer.Waiting} {
		for cursor, more := "", true; more; {
			page, err := h.o.Store.List(ctx, who, transfer.ListOptions{State: state, Top: 200, Cursor: cursor})
			if err != nil {
				return err
			}
			for _, t := range page.Value {
				if _, err := h.o.Runner.Cancel(ctx, who, t.ID); err != nil && !errors.Is(err, transfer.ErrNotPossible) && !errors.Is(err, transfer.ErrNotFound) {
					return err
				}
			}
			cursor, more = page.Cursor, page.Cursor != ""
		}
	}
	return nil
}
