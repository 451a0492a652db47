package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

func (h *Handler) folderRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/folders", serve: h.folders, panel: true},
		{method: http.MethodPost, path: "/folders", serve: h.newFolder, panel: true},
	}
}

// folders serves GET /folders: the folder picker at one folder, or what a search found.
func (h *Handler) folders(c echo.Context) error {
	q := c.QueryParams()
	ref := onedrive.Ref{DriveID: q.Get("drive"), ID: q.Get("id")}
	if err := checkRef(ref); err != nil {
		return err
	}
	k := views.Picker{Query: strings.TrimSpace(cut(q.Get("q"), 100)), Return: pickerReturn(q.Get("return"))}
	err := h.showPicker(c, http.StatusOK, ref, k)
	if ref.DriveID == "" || !errors.Is(err, onedrive.ErrAccessDenied) && !errors.Is(err, onedrive.ErrNotFound) {
		return err
	}
	return h.offerShared(c, ref, k, err)
}

// offerShared shows OneDrive's top instead of a folder of somebody else's that Skylift may not use
// yet, and the way to allow it. Not every service says that it is denied: some know no such folder then.
func (h *Handler) offerShared(c echo.Context, ref onedrive.Ref, k views.Picker, denied error) error {
	p, err := h.prefs(c.Request().Context(), owner(c))
	switch {
	case err != nil:
		return err
	case p.Shared, errors.Is(denied, onedrive.ErrNotFound) && !h.foreign(c, ref.DriveID):
		return denied
	}
	k.Problem = &views.Notice{Tone: views.Resting, What: "This folder lies in somebody else's OneDrive.", Did: "So far Skylift may use your own folders only."}
	if inPanel(c) { // Microsoft's pages do not stand in a frame
		k.Problem.Do = "Open Skylift in a tab and this folder in it: there you can allow it."
	} else {
		k.Problem.Link = &views.Link{Text: "Allow folders that are shared with you", URL: "/auth/login?shared=1&return=" + url.QueryEscape(c.Request().URL.RequestURI())}
	}
	return h.showPicker(c, http.StatusOK, onedrive.Ref{}, k)
}

// foreign reports a drive that is surely not the person's own. Microsoft writes an id in one case here and in
// another there.
func (h *Handler) foreign(c echo.Context, driveID string) bool {
	ctx := c.Request().Context()
	client, err := h.o.Client(ctx, owner(c))
	if err != nil {
		return false
	}
	own, err := client.Drive(ctx, "")
	return err == nil && !strings.EqualFold(own.ID, driveID)
}

// newFolder serves POST /folders of the picker, and goes into the new folder. One of that name
// that is there already is as good.
func (h *Handler) newFolder(c echo.Context) error {
	parent, err := parseFolder(c.FormValue("parent"))
	if err != nil {
		return err
	}
	name, back := strings.TrimSpace(c.FormValue("name")), pickerReturn(c.FormValue("return"))
	client, err := h.o.Client(c.Request().Context(), owner(c))
	if err != nil {
		return err
	}
	item, _, err := makeFolder(c.Request().Context(), client, parent, name)
	if err != nil {
		_, w := judge(err)
		if w.status >= 500 {
			return err
		}
		n := w.notice(views.Bad)
		return h.showPicker(c, http.StatusUnprocessableEntity, parent, views.Picker{NewName: name, Problem: &n, Return: back})
	}
	ref := item.Ref()
	to := views.FoldersURL(ref.DriveID, ref.ID, "", "", back)
	if inDialog(c) {
		return h.showPicker(c, http.StatusOK, ref, views.Picker{Return: back})
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// makeFolder creates a folder whose name OneDrive takes.
func makeFolder(ctx context.Context, client *onedrive.Client, parent onedrive.Ref, name string) (onedrive.DriveItem, bool, error) {
	if err := onedrive.CheckFolderName(name); err != nil {
		return onedrive.DriveItem{}, false, &apiError{code: "nameInvalid", field: "name", cause: err}
	}
	return client.CreateFolder(ctx, parent, name)
}

// pickerReturn is the page that the picker was opened from: one of those that open it.
func pickerReturn(s string) string {
	if auth.LocalPath(s) == "/settings" {
		return "/settings"
	}
	if at, err := url.Parse(auth.LocalPath(s)); err == nil && at.Path == "/save" && at.Query().Get("again") != "" {
		return views.ChangeURL(cut(at.Query().Get("again"), 64))
	}
	if r, ok := ruleOfReturn(s); ok {
		return views.RuleURL(r.Site, string(r.Kind))
	}
	return ""
}

// useURL is the page that a folder was chosen for, with the folder in its address.
func useURL(back, folder string) string {
	if strings.HasPrefix(back, "/save?") {
		return back + "&folder=" + url.QueryEscape(folder)
	}
	return "/?folder=" + url.QueryEscape(folder)
}

// ruleOfReturn is the rule whose folder is being chosen, if the picker was opened for one.
func ruleOfReturn(s string) (rule, bool) {
	at, err := url.Parse(auth.LocalPath(s))
	if err != nil || at.Path != "/settings" {
		return rule{}, false
	}
	r, problem := readRule(at.Query().Get("site"), at.Query().Get("kind"))
	return r, problem == ""
}

// inDialog reports whether the picker is shown in the dialog of the save form.
func inDialog(c echo.Context) bool { return c.Request().Header.Get("HX-Target") == "picker" }

func (h *Handler) showPicker(c echo.Context, status int, ref onedrive.Ref, k views.Picker) error {
	ctx := c.Request().Context()
	client, err := h.o.Client(ctx, owner(c))
	if err != nil {
		return err
	}
	p, err := h.prefs(ctx, owner(c))
	if err != nil {
		return err
	}
	k.Who, k.Default = whose(owner(c)), k.Return == "/settings"
	if r, ok := ruleOfReturn(k.Return); ok {
		v := r.view()
		k.Rule = &v
	}
	k.Places = h.places(ctx, client, p, k.Return)
	if k.Query != "" {
		err = h.searchFolders(ctx, client, &k)
	} else {
		err = h.openFolder(ctx, client, ref, c.QueryParam("cursor"), &k)
	}
	if err != nil {
		return err
	}
	if inDialog(c) {
		return h.render(c, status, views.PickerBody(k))
	}
	page := h.page(c, "Choose a folder")
	page.Path = "/"
	return h.render(c, status, views.Folders(page, k))
}

func (h *Handler) searchFolders(ctx context.Context, client *onedrive.Client, k *views.Picker) error {
	items, err := client.SearchFolders(ctx, k.Query)
	k.Found = true
	for _, item := range items {
		v := pickerFolder(item, k.Return)
		v.Count = v.Path
		k.Folders = append(k.Folders, v)
	}
	return err
}

func (h *Handler) openFolder(ctx context.Context, client *onedrive.Client, ref onedrive.Ref, cursor string, k *views.Picker) error {
	here, item, err := folderAt(ctx, client, ref)
	if err != nil {
		return err
	}
	items, next, err := client.ChildrenPage(ctx, here.Ref(), cursor)
	if err != nil {
		return err
	}
	for _, child := range items {
		if child.IsFolder() && child.Package == nil {
			k.Folders = append(k.Folders, pickerFolder(child, k.Return))
		}
	}
	for _, f := range crumbs(ctx, client, item) {
		k.Crumbs = append(k.Crumbs, crumbView(f, k.Return))
	}
	k.Here = folderView(here)
	k.Use = useURL(k.Return, k.Here.Value)
	self := func(cursor string) string { return views.FoldersURL(here.DriveID, here.ID, cursor, "", k.Return) }
	k.Self = self("")
	if next != "" {
		k.Next = self(next)
	}
	if cursor != "" {
		k.First = self("")
	}
	return nil
}

// pickerFolder is a child in the picker; a shortcut leads into the drive that it points at.
func pickerFolder(item onedrive.DriveItem, back string) views.Folder {
	v := crumbView(transfer.FolderOf(item), back)
	if item.RemoteItem != nil {
		v.Icon, v.Shared, v.Count = "folder-shared", true, "shared with you"
		return v
	}
	if item.Folder != nil && item.Folder.ChildCount > 0 {
		v.Count = plural(item.Folder.ChildCount, "item")
	}
	return v
}

func crumbView(f transfer.Folder, back string) views.Folder {
	v := folderView(f)
	v.URL = views.FoldersURL(f.DriveID, f.ID, "", "", back)
	return v
}

// places are the shortcuts on top of the picker: OneDrive's top, its own folders for pictures and
// documents, and the folders that were saved into last. Those that the drive lacks are left out.
func (h *Handler) places(ctx context.Context, client *onedrive.Client, p prefs, back string) []views.Folder {
	top := views.Folder{Name: "OneDrive", Icon: "home", URL: views.FoldersURL("", "", "", "", back)}
	list, seen := []views.Folder{top}, map[string]bool{}
	add := func(f transfer.Folder, icon string) {
		v := crumbView(f, back)
		v.Icon = icon
		if f.Path != "/" && !seen[v.Value] {
			seen[v.Value] = true
			list = append(list, v)
		}
	}
	for _, special := range []struct{ name, icon string }{{"photos", "image"}, {"documents", "doc"}} {
		if item, err := client.Special(ctx, special.name); err == nil {
			add(transfer.FolderOf(item), special.icon)
		}
	}
	for _, f := range p.Recent {
		add(f, "clock")
	}
	return list
}
