package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

// homeRows is how many transfers the main page shows.
const homeRows = 25

// watchEvery is how often a page without scripts loads itself again while something runs.
const watchEvery = 3

// home serves GET /: what Skylift is, or the main page.
func (h *Handler) home(c echo.Context) error {
	u, ok := user(c)
	if !ok {
		return h.render(c, http.StatusOK, views.Landing(h.page(c, "From the web into OneDrive")))
	}
	form, err := h.newForm(c.Request().Context(), u.ID, c.QueryParam("folder"))
	if err != nil {
		return err
	}
	return h.renderHome(c, http.StatusOK, form)
}

func (h *Handler) renderHome(c echo.Context, status int, form views.SaveForm) error {
	list, err := h.list(c.Request().Context(), owner(c), transfer.ListOptions{Top: homeRows})
	if err != nil {
		return err
	}
	list.Live = true
	p := h.page(c, "Save")
	p.Path = "/"
	if c.QueryParam("watch") != "" && list.Running > 0 {
		p.Refresh = watchEvery
	}
	return h.render(c, status, views.Home(p, form, list))
}

// list reads transfers and makes them ready to be drawn.
func (h *Handler) list(ctx context.Context, userID string, o transfer.ListOptions) (views.List, error) {
	page, err := h.o.Store.List(ctx, userID, o)
	if err != nil {
		return views.List{}, err
	}
	l := views.List{Who: whose(userID), State: string(o.State), Query: o.Query}
	for _, t := range page.Value {
		l.Rows = append(l.Rows, h.row(t, 0))
		l.Since = max(l.Since, t.EventID())
		switch {
		case t.State == transfer.Failed:
			l.Failed++
		case !t.State.Final():
			l.Running++
		}
	}
	if page.Cursor != "" {
		l.Next = views.HistoryURL(string(o.State), o.Query, page.Cursor)
	}
	return l, nil
}

// newForm is an empty save form. chosen is the folder that a link from the picker named.
func (h *Handler) newForm(ctx context.Context, userID, chosen string) (views.SaveForm, error) {
	p, err := h.prefs(ctx, userID)
	if err != nil {
		return views.SaveForm{}, err
	}
	f := views.SaveForm{Key: rand.Text(), Who: whose(userID), Conflict: string(p.Conflict), Browse: "/folders"}
	if chosen != "" {
		h.addChosen(ctx, userID, &p, chosen)
	}
	f.Folders = folderChoices(p, chosen)
	return f, nil
}

// namePatience is how long a form waits for the name of the chosen folder.
const namePatience = 2 * time.Second

// addChosen looks the named folder up, so that the choice shows it by name. One that cannot be
// read now is left to the moment of saving.
func (h *Handler) addChosen(ctx context.Context, userID string, p *prefs, chosen string) {
	for _, f := range p.Recent {
		if folderValue(f.Ref()) == chosen {
			return
		}
	}
	ref, err := parseFolder(chosen)
	if err != nil || ref == (onedrive.Ref{}) {
		return
	}
	client, err := h.o.Client(ctx, userID)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, namePatience)
	defer cancel()
	if f, _, err := folderAt(ctx, client, ref); err == nil {
		p.Recent = append([]transfer.Folder{f}, p.Recent...)
	}
}

// folderChoices are what the form offers: what the person's rules say, the default folder, those saved into
// last, the top.
func folderChoices(p prefs, chosen string) []views.Folder {
	var list []views.Folder
	if len(p.Rules) > 0 {
		list = append(list, byRules(p))
	}
	seen := map[string]bool{}
	add := func(f transfer.Folder) {
		v := folderView(f)
		if seen[v.Value] {
			return
		}
		seen[v.Value] = true
		v.Chosen = v.Value == chosen
		list = append(list, v)
	}
	if p.Folder != nil {
		add(*p.Folder)
	}
	for _, f := range p.Recent {
		add(f)
	}
	if !slices.ContainsFunc(list, func(f views.Folder) bool { return f.Path == "OneDrive" }) {
		add(transfer.Folder{Name: "OneDrive", Path: "/"})
	}
	return list
}

// byRules is the choice to name no folder, which scripts send on as they find it. Only who has rules can tell
// it from the default folder.
func byRules(p prefs) views.Folder {
	otherwise := "OneDrive"
	if p.Folder != nil {
		otherwise = folderName(*p.Folder)
	}
	return views.Folder{Path: "By your rules, else " + otherwise}
}

// folderView is a folder for forms and the picker.
func folderView(f transfer.Folder) views.Folder {
	v := views.Folder{Value: folderValue(f.Ref()), Name: f.Name, Path: strings.TrimPrefix(f.Path, "/"), Icon: "folder"}
	if v.Path == "" {
		v.Path = "OneDrive"
	}
	return v
}
