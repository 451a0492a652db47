package fakegraph

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// drivePages are the drive page and the control page; both work without script.
var drivePages = template.Must(template.ParseFS(pageFiles, "pages/drive.html"))

// drivePage is what /drive shows: a folder, or one file.
type drivePage struct {
	Title, Base, Login, Owner, Quota string
	Crumbs                           []crumb
	Entries                          []entry
	Next                             string
	File                             *entry
}

type crumb struct{ Name, Link string }

// entry is one item of a folder, in words.
type entry struct {
	Name, Link, Kind, Glyph, Size, Changed, Source string
	Thumb, Picture, Download, Hash                 string
	Lost                                           bool
}

// serveDrivePage serves GET /drive?cid=&id=&after=: where every webUrl leads.
func (s *Server) serveDrivePage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	viewer, d := s.viewer(r, query.Get("cid"))
	if viewer == nil {
		back := "/drive"
		if r.URL.RawQuery != "" {
			back += "?" + r.URL.RawQuery
		}
		http.Redirect(w, r, s.opts.Prefix+"/login?return="+url.QueryEscape(back), http.StatusSeeOther)
		return
	}
	page := drivePage{Base: s.opts.Prefix, Login: viewer.Login}
	if d == nil || !s.fillDrivePage(&page, r, viewer, d) {
		page.Title = "Not found"
		s.showDrive(w, http.StatusNotFound, "nothing", page)
		return
	}
	s.showDrive(w, http.StatusOK, "drive", page)
}

// viewer is who looks, and into which drive: of the accounts that this browser is signed in to,
// the owner of the drive comes first.
func (s *Server) viewer(r *http.Request, cid string) (*Account, *drive) {
	in := s.signedIn(r)
	if len(in) == 0 {
		return nil, nil
	}
	if cid == "" {
		return in[0], s.driveOf(in[0])
	}
	d := s.driveByID(cid)
	for _, a := range in {
		if d != nil && d.owner().Login == a.Login {
			return a, d
		}
	}
	return in[0], d
}

func (s *Server) fillDrivePage(page *drivePage, r *http.Request, viewer *Account, d *drive) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	it := d.root
	if id := r.URL.Query().Get("id"); id != "" {
		it = d.items[id]
	}
	if it == nil || !it.readableBy(viewer.Login) {
		return false
	}
	c := &call{s: s, r: r, account: viewer, drive: d, base: s.opts.Prefix, now: s.now()}
	page.Owner, page.Title, page.Quota = d.owner().Name, it.name, quotaText(d)
	for up := it.parent; up != nil && up.readableBy(viewer.Login); up = up.parent {
		page.Crumbs = append(page.Crumbs, crumb{up.name, up.webURL(c.base)})
	}
	slices.Reverse(page.Crumbs)
	if d.root.readableBy(viewer.Login) {
		if len(page.Crumbs) > 0 {
			page.Crumbs[0].Name = "My files"
		} else {
			page.Title = "My files"
		}
	}
	if !it.isFolder() {
		file := c.entry(it)
		page.File = &file
		return true
	}
	c.fillEntries(page, it, r.URL.Query().Get("after"))
	return true
}

// fillEntries lists a page of the folder, folders first.
func (c *call) fillEntries(page *drivePage, folder *item, after string) {
	items := slices.Clone(folder.byName())
	slices.SortStableFunc(items, func(a, b *item) int { return rank(a) - rank(b) })
	start := 1 + slices.IndexFunc(items, func(it *item) bool { return it.id == after })
	items = items[start:]
	if len(items) > defaultPage {
		items = items[:defaultPage]
		page.Next = folder.webURL(c.base) + "&after=" + url.QueryEscape(items[defaultPage-1].id)
	}
	for _, it := range items {
		page.Entries = append(page.Entries, c.entry(it))
	}
}

func rank(it *item) int {
	if it.isFolder() {
		return 0
	}
	return 1
}

// entry puts an item into words.
func (c *call) entry(it *item) entry {
	e := entry{Name: it.name, Link: it.webURL(c.base), Changed: it.modified.UTC().Format("2 January 2006 15:04"), Source: it.source}
	switch {
	case it.isFolder():
		e.Kind, e.Glyph = fmt.Sprintf("Folder, %d inside", len(it.children)), "folder"
	case it.remote != nil:
		e.Kind, e.Glyph, e.Link = "Shortcut", "folder", it.remote.webURL(c.base)
	case it.pack != "":
		e.Kind, e.Glyph = "Notebook", "folder"
	default:
		e.Kind, e.Size = it.mime, sizeText(it.blob.size)
		e.Lost = !it.blob.kept && it.blob.size > 0
		e.Download = c.render(it).DownloadURL
		if it.blob.hashed {
			e.Hash = hex.EncodeToString(it.blob.sha256[:])
		}
		if sets := c.thumbnailSets(it, []string{"smallSquare", "large"}); len(sets) > 0 {
			set := sets[0].(map[string]any)
			e.Thumb, _ = set["smallSquare"].(map[string]any)["url"].(string)
			e.Picture, _ = set["large"].(map[string]any)["url"].(string)
		}
	}
	return e
}

func quotaText(d *drive) string {
	if d.conduct.Full {
		return "This drive is full."
	}
	return sizeText(d.used) + " of " + sizeText(d.total()) + " used"
}

// sizeText is a size for people.
func sizeText(n int64) string {
	units := []string{"bytes", "KB", "MB", "GB", "TB"}
	value, unit := float64(n), 0
	for value >= 1000 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}

// showDrive answers with a page and the headers of all the stand-in's pages.
func (s *Server) showDrive(w http.ResponseWriter, status int, name string, page any) {
	var body bytes.Buffer
	if err := drivePages.ExecuteTemplate(&body, name, page); err != nil {
		http.Error(w, "the page can't be drawn", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}
