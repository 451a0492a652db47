package onedrive

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// pageSize is how many children a page holds at most; Graph's own default.
const pageSize = "200"

// searchPages bounds how far a search is followed.
const searchPages = 5

// page is one page of a collection.
type page struct {
	Value    []DriveItem `json:"value"`
	NextLink string      `json:"@odata.nextLink"`
}

// ChildrenPage lists one page of a folder, by name. The cursor is opaque; empty means the first
// page, and in the answer that there are no more. A page may be empty and still not be the last.
// https://learn.microsoft.com/graph/api/driveitem-list-children
func (c *Client) ChildrenPage(ctx context.Context, folder Ref, cursor string) ([]DriveItem, string, error) {
	segments, err := folder.path()
	if err != nil {
		return nil, "", err
	}
	return c.page(ctx, request{op: "list folder", method: http.MethodGet, path: append(segments, "children"),
		query: url.Values{"$select": {itemFields}, "$top": {pageSize}, "$orderby": {"name"}}}, cursor)
}

// Children goes through a folder, page after page. It ends at the first error.
func (c *Client) Children(ctx context.Context, folder Ref) iter.Seq2[DriveItem, error] {
	return func(yield func(DriveItem, error) bool) {
		cursor := ""
		for {
			items, next, err := c.ChildrenPage(ctx, folder, cursor)
			if err == nil && next != "" && next == cursor {
				err = &Error{Op: "list folder", Status: http.StatusOK, kind: ErrUnavailable, cause: errors.New("the next page is the same page")}
			}
			if err != nil {
				yield(DriveItem{}, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}

// SearchFolders finds folders of the person's own drive by name. Search is an index: what was
// made a moment ago may be missing.
// https://learn.microsoft.com/graph/api/driveitem-search
func (c *Client) SearchFolders(ctx context.Context, query string) ([]DriveItem, error) {
	if query = strings.TrimSpace(query); query == "" {
		return nil, nil
	}
	search := request{op: "search folders", method: http.MethodGet,
		path:  []string{"me", "drive", "root", "search(q='" + strings.ReplaceAll(query, "'", "''") + "')"},
		query: url.Values{"$select": {itemFields}, "$top": {pageSize}}}
	var folders []DriveItem
	cursor := ""
	for range searchPages {
		items, next, err := c.page(ctx, search, cursor)
		for _, item := range items {
			if item.IsFolder() {
				folders = append(folders, item)
			}
		}
		switch {
		case len(folders) > 0 && (errors.Is(err, ErrForeignHost) || errors.Is(err, ErrBadCursor)):
			return folders, nil // the link to the next page is no good: some are better than none
		case err != nil:
			return nil, err
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	return folders, nil
}

// page fetches the page of a cursor, or the first one by the request itself. Items that come with an
// error are those of a page whose link to the next one is no good.
func (c *Client) page(ctx context.Context, r request, cursor string) ([]DriveItem, string, error) {
	if cursor != "" {
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		of, link, _ := strings.Cut(string(text), "\n")
		if err != nil || !strings.EqualFold(of, r.list()) { // ids come back in any case
			return nil, "", fmt.Errorf("%s: %w", r.op, ErrBadCursor)
		}
		next, err := c.g.nextLink(link)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w: %w", r.op, ErrBadCursor, err)
		}
		r.url, r.query = next, nil
	}
	var p page
	if _, err := c.do(ctx, r, &p); err != nil {
		var refused *Error
		if cursor != "" && errors.As(err, &refused) && (refused.Status == http.StatusBadRequest || refused.Status == http.StatusGone) {
			err = fmt.Errorf("%w: %w", ErrBadCursor, err) // a link of Graph's that it does not know (any more)
		}
		return nil, "", err
	}
	if p.Value == nil {
		return nil, "", &Error{Op: r.op, Status: http.StatusOK, kind: ErrUnavailable, cause: errors.New("the answer is no list")}
	}
	if p.NextLink == "" {
		return p.Value, "", nil
	}
	if _, err := c.g.nextLink(p.NextLink); err != nil {
		return p.Value, "", &Error{Op: r.op, Status: http.StatusOK, kind: ErrForeignHost}
	}
	return p.Value, base64.RawURLEncoding.EncodeToString([]byte(r.list() + "\n" + p.NextLink)), nil
}

// list is what a cursor belongs to: the folder or the search.
func (r request) list() string { return strings.Join(r.path, "/") }

// nextLink lets a link pass that leads below our own Graph, and nowhere else: the bearer goes with it.
// Of which form it is, is Microsoft's affair. The cursor comes back from people, so it is checked both ways.
func (g *Graph) nextLink(link string) (*url.URL, error) {
	u, err := url.Parse(link)
	if err != nil || u.User != nil || u.Scheme != g.base.Scheme || !strings.EqualFold(u.Host, g.base.Host) ||
		!strings.HasPrefix(u.Path, g.base.Path+"/") || slices.ContainsFunc(strings.Split(u.Path, "/"), upwards) {
		return nil, ErrForeignHost
	}
	u.Fragment = ""
	return u, nil
}

// upwards knows the segments of a path that lead out of it.
func upwards(segment string) bool { return segment == "." || segment == ".." }

// CreateFolder makes a folder; one of that name that is there already is given back with created
// false. ErrNameExists: a file has the name.
// https://learn.microsoft.com/graph/api/driveitem-post-children
func (c *Client) CreateFolder(ctx context.Context, parent Ref, name string) (item DriveItem, created bool, err error) {
	if err := CheckFolderName(name); err != nil {
		return DriveItem{}, false, err
	}
	segments, err := parent.path()
	if err != nil {
		return DriveItem{}, false, err
	}
	body := map[string]any{"name": name, "folder": struct{}{}, "@microsoft.graph.conflictBehavior": Fail}
	_, err = c.do(ctx, request{op: "create folder", method: http.MethodPost, path: append(segments, "children"), body: body}, &item)
	if !errors.Is(err, ErrNameExists) {
		err = mustBeItem("create folder", item, err)
		return item, err == nil, err
	}
	taken := err
	if item, err = c.Child(ctx, parent, name); err == nil && !item.IsFolder() {
		return DriveItem{}, false, taken
	}
	return item, false, err
}
