package fakegraph

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// getDrive serves GET /me/drive and its other forms.
func (c *call) getDrive() *wireError {
	c.drive.mu.RLock()
	d := c.drive.render(c.base)
	c.drive.mu.RUnlock()
	c.answer(200, selected(d, c.query.Get("$select")))
	return nil
}

// listDrives serves GET /me/drives.
func (c *call) listDrives() *wireError {
	c.drive.mu.RLock()
	d := c.drive.render(c.base)
	c.drive.mu.RUnlock()
	d.Context = ""
	c.answer(200, map[string]any{"@odata.context": c.base + "/v1.0/$metadata#drives", "value": []any{d}})
	return nil
}

// answer sends v, without a body to HEAD.
func (c *call) answer(status int, v any) { writeJSON(c.w, status, v) }

// getItem serves GET of an item, with If-None-Match, $select and $expand.
func (c *call) getItem() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	c.w.Header().Set("ETag", quoted(it.eTag()))
	if c.unchanged(it) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w := c.render(it)
	w.Context = c.base + "/v1.0/$metadata#drives('" + it.drive.id + "')/items/$entity"
	if e := c.expand(w, it, true); e != nil {
		return e
	}
	c.answer(200, selected(w, c.query.Get("$select")))
	return nil
}

func quoted(tag string) string {
	if strings.HasPrefix(tag, `"`) {
		return tag
	}
	return `"` + tag + `"`
}

// unchanged is If-None-Match of a read.
func (c *call) unchanged(it *item) bool {
	for tag := range strings.SplitSeq(c.r.Header.Get("If-None-Match"), ", ") {
		if tag != "" && (sameTag(tag, it.eTag()) || sameTag(tag, it.cTag())) {
			return true
		}
	}
	return false
}

// expand adds what $expand names: children (of a single item) and thumbnails. Thumbnails of a
// list work on personal drives only (microsoft.md §3.7).
func (c *call) expand(w *wireItem, it *item, single bool) *wireError {
	for _, name := range expansions(c.query.Get("$expand")) {
		switch {
		case name == "children" && single:
			for _, child := range it.byName()[:min(len(it.children), defaultPage)] {
				w.Children = append(w.Children, c.render(child))
			}
		case name == "thumbnails" && (single || it.drive.kind == personal):
			w.Thumbnails = c.thumbnailSets(it, nil)
		case name == "permissions", name == "listItem", name == "tags":
		default:
			return refuse(400, "notSupported", "The $expand is not supported: "+name)
		}
	}
	return nil
}

// expansions are the names in $expand; options in brackets are left out.
func expansions(expand string) []string {
	var names []string
	depth, name := 0, ""
	for _, r := range expand + "," {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth <= 0:
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
			name = ""
		case depth <= 0:
			name += string(r)
		}
	}
	return names
}

// defaultPage and maxPage are the sizes of a page of children (microsoft.md §3.1).
const (
	defaultPage = 200
	maxPage     = 1000
)

// listChildren serves GET …/children.
func (c *call) listChildren() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	if it.remote != nil {
		return notFound() // microsoft.md §3.6: the target is another drive's
	}
	if c.r.Header.Get("If-None-Match") != "" && c.unchanged(it) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	items, e := c.ordered(it)
	if e != nil {
		return e
	}
	return c.page(items, c.base+"/v1.0/$metadata#users('me')/drive/items/children", len(items))
}

// ordered is the folder's children as $orderby asks: name, size and lastModifiedDateTime on
// personal drives, name and url on work drives (microsoft.md §3.1).
func (c *call) ordered(it *item) ([]*item, *wireError) {
	if c.query.Get("$filter") != "" {
		return nil, c.refuseFilter()
	}
	items := it.byName()
	order := strings.TrimSpace(c.query.Get("$orderby"))
	if order == "" {
		return items, nil
	}
	items = slices.Clone(items)
	field, direction, _ := strings.Cut(order, " ")
	switch {
	case field == "name", field == "url" && c.drive.kind == business:
	case field == "size" && c.drive.kind == personal:
		slices.SortStableFunc(items, func(a, b *item) int { return cmp.Compare(a.size(), b.size()) })
	case field == "lastModifiedDateTime" && c.drive.kind == personal:
		slices.SortStableFunc(items, func(a, b *item) int { return a.modified.Compare(b.modified) })
	default:
		return nil, refuse(400, "invalidRequest", "The $orderby is not supported: "+field)
	}
	switch strings.ToLower(strings.TrimSpace(direction)) {
	case "desc":
		slices.Reverse(items)
	case "", "asc":
	default:
		return nil, invalid("The $orderby direction is not valid.")
	}
	return items, nil
}

// refuseFilter: $filter is not in the operation's list; 400 on personal, 501 on work (microsoft.md §3.1).
func (c *call) refuseFilter() *wireError {
	if c.drive.kind == business {
		return refuse(501, "notSupported", "The $filter is not supported.")
	}
	return refuse(400, "notSupported", "Operation not supported.")
}

// page sends one page of items, and an opaque nextLink while there is more. After the first page
// comes one without items, as Graph may do.
func (c *call) page(items []*item, context string, count int) *wireError {
	size, e := c.pageSize()
	if e != nil {
		return e
	}
	skip, e := c.skipToken(items)
	if e != nil {
		return e
	}
	body := map[string]any{"@odata.context": context}
	if c.drive.kind == personal {
		body["@odata.count"] = count
	}
	pageItems := items[skip.at:]
	var next *position
	switch {
	case skip.empty:
		pageItems, next = nil, &position{after: skip.after}
	case len(pageItems) > size:
		pageItems = pageItems[:size]
		next = &position{after: pageItems[size-1].id, empty: skip.at == 0 && !c.drive.conduct.FullPages}
	}
	value := make([]any, 0, len(pageItems))
	for _, it := range pageItems {
		w := c.render(it)
		if e := c.expand(w, it, false); e != nil {
			return e
		}
		value = append(value, selected(w, c.query.Get("$select")))
	}
	body["value"] = value
	if next != nil {
		body["@odata.nextLink"] = c.link("$skiptoken", next.String())
	}
	c.answer(200, body)
	return nil
}

func (c *call) pageSize() (int, *wireError) {
	top := c.query.Get("$top")
	if top == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(top)
	if err != nil || n < 1 {
		return 0, invalid("The value of $top is not valid.")
	}
	return min(n, maxPage), nil
}

// position is where a listing goes on.
type position struct {
	after string // id of the last item that was sent
	at    int
	empty bool // a page without items comes first
}

func (p position) String() string {
	mark := "p"
	if p.empty {
		mark = "e"
	}
	return base64.RawURLEncoding.EncodeToString([]byte(mark + p.after))
}

// skipToken reads $skiptoken. An item that went away meanwhile ends the listing with an error.
func (c *call) skipToken(items []*item) (position, *wireError) {
	token := c.query.Get("$skiptoken")
	if token == "" {
		token = c.query.Get("$skipToken")
	}
	if token == "" {
		return position{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < 2 || raw[0] != 'p' && raw[0] != 'e' {
		return position{}, invalid("The $skiptoken is not valid.")
	}
	p := position{after: string(raw[1:]), empty: raw[0] == 'e'}
	p.at = 1 + slices.IndexFunc(items, func(it *item) bool { return it.id == p.after })
	if p.at == 0 {
		return position{}, invalid("The $skiptoken is not valid any more.")
	}
	return p, nil
}

// link is this request's address with one query parameter set. Graph gives lists of items its own form of
// the address, whatever was asked.
func (c *call) link(name, value string) string {
	q := url.Values{}
	for key, values := range c.query {
		if !strings.EqualFold(key, "$skiptoken") && key != "token" {
			q[key] = values
		}
	}
	q.Set(name, value)
	base := c.base
	if lies := c.drive.conduct.Lies; lies != "" {
		base = strings.TrimSuffix(lies, "/")
	}
	return base + c.ownForm() + "?" + q.Encode()
}

// ownForm is the path of a list as Graph writes it: with the ids in brackets, and a search with its namespace.
func (c *call) ownForm() string {
	action := c.place.action
	if strings.HasPrefix(action, "search(") {
		action = "microsoft.graph." + action
	} else if action != "children" {
		return c.r.URL.EscapedPath()
	}
	it, e := c.resolve()
	if e != nil {
		return c.r.URL.EscapedPath()
	}
	u := url.URL{Path: "/v1.0/drives('" + c.drive.id + "')/items('" + it.id + "')/" + action}
	return u.EscapedPath()
}

// specials are the special folders of a kind of drive (microsoft.md §3.4) and where they are.
var specials = map[string]map[string]string{
	personal: {
		"documents": "Documents", "photos": "Pictures", "cameraroll": "Pictures/Camera Roll", "approot": "Apps/Graph",
		"music": "Music", "desktop": "Desktop",
	},
	business: {"documents": "Documents", "photos": "Pictures", "approot": "Apps/Graph"},
}

// listSpecial serves GET …/special.
func (c *call) listSpecial() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	value := []any{}
	for _, name := range []string{"documents", "photos", "cameraroll", "approot", "music", "desktop"} {
		if it := c.drive.special[name]; it != nil {
			value = append(value, selected(c.render(it), c.query.Get("$select")))
		}
	}
	c.answer(200, map[string]any{"value": value})
	return nil
}

// search serves search(q='…'): names and what is below the item, without regard to case.
func (c *call) search() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	root := c.drive.root
	if !c.place.onDrive {
		var e *wireError
		if root, e = c.resolve(); e != nil {
			return e
		}
	}
	_, arg, _ := strings.Cut(strings.TrimSuffix(c.place.action, ")"), "(")
	q, ok := strings.CutPrefix(strings.TrimSpace(arg), "q=")
	if q = unquoted(q); !ok {
		q = c.query.Get("q")
	}
	if strings.TrimSpace(q) == "" {
		return invalid("The query of the search is empty.")
	}
	var found []*item
	root.each(func(it *item) {
		if it != root && strings.Contains(nameKey(it.name), nameKey(q)) {
			found = append(found, it)
		}
	})
	slices.SortFunc(found, byPlace)
	return c.page(found, c.base+"/v1.0/$metadata#Collection(driveItem)", len(found))
}

func byPlace(a, b *item) int {
	return cmp.Or(strings.Compare(nameKey(a.name), nameKey(b.name)), strings.Compare(a.id, b.id))
}

// each visits it and all below.
func (it *item) each(visit func(*item)) {
	visit(it)
	for _, child := range it.children {
		child.each(visit)
	}
}

// recent serves GET …/recent: files, the newest first.
func (c *call) recent() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	var files []*item
	for _, it := range c.drive.items {
		if it.blob != nil {
			files = append(files, it)
		}
	}
	slices.SortFunc(files, func(a, b *item) int { return cmp.Or(b.modified.Compare(a.modified), byPlace(a, b)) })
	return c.page(files[:min(len(files), 50)], c.base+"/v1.0/$metadata#Collection(driveItem)", len(files))
}

// sharedWithMe is deprecated and gives nothing any more (microsoft.md §3.6).
func (c *call) sharedWithMe() *wireError {
	c.answer(200, map[string]any{"@odata.context": c.base + "/v1.0/$metadata#Collection(driveItem)", "value": []any{}})
	return nil
}

// listPermissions serves GET …/permissions: the owner.
func (c *call) listPermissions() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	owner := by(it.drive.owner())
	c.answer(200, map[string]any{"value": []any{map[string]any{"id": "owner", "roles": []string{"owner"}, "grantedTo": owner, "grantedToV2": owner}}})
	return nil
}
