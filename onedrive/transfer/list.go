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
	probe       = 256                    // records that one answer may hold before the filter is narrowed
	searchLimit = 250 * time.Millisecond // one page of a search looks through the past this long
)

// List is a page of owner's transfers, newest first.
func (s *Store) List(ctx context.Context, owner string, o ListOptions) (Page, error) {
	if !validOwner(owner) || o.Cursor != "" && !validID(o.Cursor) {
		return Page{}, nil
	}
	top := o.Top
	if top <= 0 {
		top = defaultTop
	}
	top = min(top, maxTop)
	var page Page
	query, last, started := strings.ToLower(o.Query), "", time.Now()
	err := s.newest(ctx, owner, o.State, o.Cursor, func(t Transfer) bool {
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
	filter := ownerKey(kindHistory, owner) + "." + stateLetter(Completed) + strings.Repeat(".*", len(cuts)) + "." + what
	ms, err := s.all(ctx, []string{filter})
	if err != nil {
		return nil, err
	}
	var found []Transfer
	for _, m := range ms {
		t, err := s.open(owner, m)
		if err == nil && t.SourceURL == sourceURL && t.Folder.ID == folderID { // the hash is short
			found = append(found, t)
		}
	}
	return found, nil
}

// newest gives owner's transfers below the id before, newest first, until each returns false.
func (s *Store) newest(ctx context.Context, owner string, state State, before string, each func(Transfer) bool) error {
	w := walk{s: s, owner: owner, before: before, each: each}
	if before == "" {
		w.before = ulid(uint64(s.opt.Now().Add(time.Hour).UnixMilli()), 0, 0) // an hour of grace for other clocks
	}
	switch {
	case state == "":
		w.roots = []string{ownerKey(kindActive, owner), ownerKey(kindHistory, owner) + ".*"}
	case state.Final():
		w.roots = []string{ownerKey(kindHistory, owner) + "." + stateLetter(state)}
	default:
		w.roots = []string{ownerKey(kindActive, owner)}
	}
	return w.start(ctx)
}

// walk asks for spans of time, newest first: 32 ms each at first, wider ones while they hold little.
// A filter that matches a lot is what costs the server, so it grows into the past from nothing.
type walk struct {
	s      *Store
	owner  string
	roots  []string // keys up to the time
	before string
	each   func(Transfer) bool
	done   bool
}

const (
	spanBits = 5                    // a token less is 32 times the time
	topLevel = 5                    // 12 days: cuts[0]
	idTime   = 9                    // letters of an id that make its spans
	yearBack = 366 * 24 * time.Hour // what waits may be older than what is kept
)

func (w *walk) start(ctx context.Context) error {
	end := spanOf(w.before[:idTime]) + 1
	oldest := spanOf(ulid(uint64(w.s.opt.Now().Add(-w.s.opt.Retention-yearBack).UnixMilli()), 0, 0)[:idTime])
	level, most := 0, 32
	for end > oldest && !w.done {
		size := 1 << (level * spanBits)
		parent := (end - 1) &^ (size<<spanBits - 1)
		from := max(parent, end-most*size)
		n, err := w.emit(ctx, level, from, end)
		switch {
		case err == nil:
			end, most = from, 32
			if n*4 <= probe && end&(size<<spanBits-1) == 0 && level < topLevel {
				level++
			}
		case !errors.Is(err, errTooMany):
			return err
		case (end-from)/size > 1:
			most = (end - from) / size / 2
		case level > 0:
			level, most = level-1, 32
		default: // a lot within 32 ms
			ms, err := w.s.all(ctx, w.filters(0, from, end))
			if err != nil {
				return err
			}
			w.give(ms)
			end, most = from, 32
		}
	}
	return nil
}

// filters match the spans of a level in from..end.
func (w *walk) filters(level, from, end int) []string {
	var filters []string
	for n := from >> (level * spanBits); n < end>>(level*spanBits); n++ {
		for _, r := range w.roots {
			filters = append(filters, r+"."+timeTokens(spanText(n, idTime-level))+".>")
		}
	}
	return filters
}

// emit gives what lies in from..end and how much it was; errTooMany if it is more than a little.
func (w *walk) emit(ctx context.Context, level, from, end int) (int, error) {
	var ms []stored
	more, err := fetch(ctx, w.s.nc, query{Last: subjects(w.filters(level, from, end)), Batch: probe}, func(m stored) { ms = append(ms, m) })
	if err != nil {
		return 0, err
	}
	if more > 0 {
		return 0, errTooMany
	}
	w.give(ms)
	return len(ms), nil
}

// give passes on the records of ms that are in range, newest first.
func (w *walk) give(ms []stored) {
	ms = slices.DeleteFunc(ms, func(m stored) bool { return m.deleted() || idOf(m.key) >= w.before })
	slices.SortFunc(ms, func(a, b stored) int { return cmp.Compare(idOf(b.key), idOf(a.key)) })
	for _, m := range ms {
		t, err := w.s.open(w.owner, m)
		if err != nil {
			continue // damaged or from a newer version: it does not spoil the list
		}
		if !w.each(t) {
			w.done = true
			return
		}
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

// spanOf reads letters of an id as a number, spanText writes one.
func spanOf(text string) (n int) {
	for _, c := range []byte(text) {
		n = n<<5 | strings.IndexByte(crockford, c)
	}
	return n
}

func spanText(n, width int) string {
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = crockford[n&31]
		n >>= 5
	}
	return string(b)
}
