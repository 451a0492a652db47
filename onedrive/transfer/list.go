package transfer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// ListOptions narrow a list.
type ListOptions struct {
	State  State  // "": all
	Query  string // part of the name, an address or the page's title, in any case
	Top    int    // how many; 0: 50, at most 200
	Cursor string // of the page before; "": from the newest
}

// Page is a part of a list, newest first. Cursor is "" on the last one; a search may give a short
// page with a cursor when it had to look through a lot.
type Page struct {
	Value  []Transfer
	Cursor string
}

const (
	defaultTop  = 50
	maxTop      = 200
	readAtOnce  = 256                    // records of one answer; the server gives at most 1,024
	maxFound    = 1024                   // of what was saved before
	searchLimit = 250 * time.Millisecond // one page of a search looks through the past this long
)

// List is a page of owner's transfers, newest first. A cursor that no page gave is a *RequestError.
func (s *Store) List(ctx context.Context, owner string, o ListOptions) (Page, error) {
	if !validOwner(owner) {
		return Page{}, nil
	}
	if o.Cursor != "" && !validID(o.Cursor) {
		return Page{}, &RequestError{"cursor", codeInvalidRequest}
	}
	top := o.Top
	if top <= 0 {
		top = defaultTop
	}
	top = min(top, maxTop)
	var page Page
	query, last, started := strings.ToLower(o.Query), "", time.Now()
	first := top + 1
	if query != "" {
		first = readAtOnce
	}
	err := s.newest(ctx, owner, o.State, o.Cursor, first, func(t Transfer) bool {
		if len(page.Value) == top || query != "" && time.Since(started) > searchLimit && last != "" {
			page.Cursor = last
			return false
		}
		last = t.ID
		if (o.State == "" || t.State == o.State) && matches(&t, query) {
			page.Value = append(page.Value, t)
		}
		return true
	})
	return page, err
}

func matches(t *Transfer, query string) bool {
	if query == "" {
		return true
	}
	for _, text := range []string{t.Name, t.SourceURL, t.PageTitle, t.PageURL} {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}

// Find is what owner has saved from sourceURL into the folder before, newest first.
func (s *Store) Find(ctx context.Context, owner, folderID, sourceURL string) ([]Transfer, error) {
	if !validOwner(owner) || sourceURL == "" {
		return nil, nil
	}
	what := whatHash(&Transfer{SourceURL: sourceURL, Folder: Folder{ID: folderID}})
	x, err := s.indexOf(ctx, owner)
	if err != nil {
		return nil, err
	}
	rows := x.below("", ownerKey(kindHistory, owner)+"."+stateLetter(Completed)+".", "."+what, maxFound)
	var found []Transfer
	for some := range slices.Chunk(rows, readAtOnce) {
		ts, err := s.read(ctx, owner, x, some)
		if err != nil {
			return nil, err
		}
		for _, t := range ts {
			if t.State == Completed && t.SourceURL == sourceURL && t.Folder.ID == folderID { // the hash is short
				found = append(found, t)
			}
		}
	}
	return found, nil
}

// newest gives owner's transfers below the id before, newest first, until each returns false. It
// reads a few at a time: n at first.
func (s *Store) newest(ctx context.Context, owner string, state State, before string, n int, each func(Transfer) bool) error {
	x, err := s.indexOf(ctx, owner)
	if err != nil {
		return err
	}
	prefix := ""
	switch {
	case state.Final():
		prefix = ownerKey(kindHistory, owner) + "." + stateLetter(state) + "."
	case state != "":
		prefix = ownerKey(kindActive, owner) + "."
	}
	for ; ; n = readAtOnce {
		rows := x.below(before, prefix, "", n)
		if len(rows) == 0 {
			return nil
		}
		ts, err := s.read(ctx, owner, x, rows)
		if err != nil {
			return err
		}
		for _, t := range ts {
			if !each(t) {
				return nil
			}
		}
		before = rows[len(rows)-1].id
	}
}

// all is everything that matches filters, newest first, however much it is.
func (s *Store) all(ctx context.Context, filters []string) ([]stored, error) {
	var ms []stored
	_, err := fetch(ctx, s.nc, query{Last: subjects(filters)}, func(m stored) { ms = append(ms, m) })
	if errors.Is(err, errTooMany) {
		ms, err = nil, nil
		for _, f := range filters {
			if err = scan(ctx, s.nc, f, 1, func(m stored) { ms = append(ms, m) }); err != nil {
				break
			}
		}
	}
	ms = slices.DeleteFunc(ms, stored.deleted)
	slices.SortFunc(ms, func(a, b stored) int { return cmp.Compare(b.seq, a.seq) })
	return ms, err
}

func subjects(keys []string) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = subjectPrefix + k
	}
	return out
}
