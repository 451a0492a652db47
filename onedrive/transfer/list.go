package transfer

import (
	"context"
	"slices"
	"strings"
	"time"
)

// ListOptions narrow a list.
type ListOptions struct {
	State  State  // "": all
	Query  string // part of the name, an address, the page's title or the alternative text, in any case
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
	for _, text := range []string{t.Name, t.SourceURL, t.PageTitle, t.PageURL, t.AltText} {
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
	wanted := endingOf(&Transfer{State: Completed, SourceURL: sourceURL, Folder: Folder{ID: folderID}})
	x, rows, err := s.rows(ctx, owner, "", func(r row) bool { return string(r.ends[:]) == string(wanted) }, maxFound)
	if err != nil {
		return nil, err
	}
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
	letter := byte(0) // of what is not final
	if state.Final() {
		letter = stateLetter(state)[0]
	}
	wanted := func(r row) bool { return state == "" || r.ends[0] == letter }
	for ; ; n = readAtOnce {
		x, rows, err := s.rows(ctx, owner, before, wanted, n)
		if err != nil {
			return err
		}
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
		before = string(rows[len(rows)-1].id[:])
	}
}
