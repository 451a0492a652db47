package transfer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// index knows which transfers one person has, newest last, and under which keys they lie. It is made
// when a list is first asked for, from the names of the keys alone, and lives on what this process
// writes and on the feed of what others write. It may be behind: whoever reads by it looks each
// record up, so that a page shows what is stored, and only a row may be missing for a moment.
type index struct {
	load sync.Once
	err  error     // of loading
	used time.Time // guarded by hub.mu

	mu    sync.Mutex
	rows  []row    // by id
	twice []string // while it is made: keys of transfers that lie under another too; one is a marker
}

// row is a transfer of an index.
type row struct {
	id, key string
	seq     uint64 // 0: from the names of the keys
}

// idleIndex is how long an index stays that nobody asks.
const idleIndex = 10 * time.Minute

// indexOf is owner's index, loaded.
func (s *Store) indexOf(ctx context.Context, owner string) (*index, error) {
	h := s.hub
	h.mu.Lock()
	f := h.feed(owner)
	x := f.index.Load()
	if x == nil {
		x = &index{}
		f.index.Store(x)
	}
	x.used = time.Now()
	h.mu.Unlock()
	// Others wait for the same index: it is not the first reader's to break off.
	ctx = context.WithoutCancel(ctx)
	f.open.Do(func() { f.err = f.subscribe(ctx) })
	x.load.Do(func() {
		if x.err = f.err; x.err == nil {
			x.err = x.read(ctx, s, owner)
		}
	})
	if x.err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if f.index.CompareAndSwap(x, nil) {
			h.leave(f)
		}
	}
	return x, x.err
}

// read takes in the keys that lie in the stream.
func (x *index) read(ctx context.Context, s *Store, owner string) error {
	js, err := jetstream.New(s.nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("%w: list: %w", ErrUnavailable, err)
	}
	for _, kind := range []string{kindActive, kindHistory} {
		info, err := st.Info(ctx, jetstream.WithSubjectFilter(subjectPrefix+ownerKey(kind, owner)+".>"))
		if err != nil {
			return fmt.Errorf("%w: list: %w", ErrUnavailable, err)
		}
		x.merge(info.State.Subjects)
	}
	return x.settle(ctx, s)
}

// merge adds the rows of subjects that are not known yet: the active first, then the past.
func (x *index) merge(subjects map[string]uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := x.rows
	for subject := range subjects {
		key := strings.TrimPrefix(subject, subjectPrefix)
		id := idOf(key)
		if id == "" {
			continue
		}
		if at, found := slices.BinarySearchFunc(known, id, row.compare); !found {
			x.rows = append(x.rows, row{id: id, key: key})
		} else if known[at].seq == 0 {
			x.twice = append(x.twice, known[at].key)
			known[at].key = key
		}
	}
	slices.SortFunc(x.rows, func(a, b row) int { return strings.Compare(a.id, b.id) })
}

// settle finds out under which of two keys a transfer lies that has moved a moment ago.
func (x *index) settle(ctx context.Context, s *Store) error {
	for some := range slices.Chunk(x.twice, readAtOnce) {
		_, err := fetch(ctx, s.nc, query{Last: subjects(some)}, func(m stored) {
			if !m.deleted() {
				x.apply(m.key, m.seq, "")
			}
		})
		if err != nil {
			return err
		}
	}
	x.twice = nil
	return nil
}

func (r row) compare(id string) int { return strings.Compare(r.id, id) }

// apply notes a stored message.
func (x *index) apply(key string, seq uint64, why string) {
	id := idOf(key)
	if id == "" || why == whyMoved { // its other key says where to
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	at, found := slices.BinarySearchFunc(x.rows, id, row.compare)
	switch {
	case found && x.rows[at].seq > seq:
	case found && why != "":
		x.rows = slices.Delete(x.rows, at, at+1)
	case found:
		x.rows[at] = row{id, key, seq}
	case why == "":
		x.rows = slices.Insert(x.rows, at, row{id, key, seq})
	}
}

// drop forgets a row whose record was looked for in vain, unless there is news of it.
func (x *index) drop(r row) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at, found := slices.BinarySearchFunc(x.rows, r.id, row.compare); found && x.rows[at] == r {
		x.rows = slices.Delete(x.rows, at, at+1)
	}
}

// below gives up to n rows below the id before whose key begins with prefix and ends with suffix,
// newest first.
func (x *index) below(before, prefix, suffix string, n int) []row {
	x.mu.Lock()
	defer x.mu.Unlock()
	at := len(x.rows)
	if before != "" {
		at, _ = slices.BinarySearchFunc(x.rows, before, row.compare)
	}
	var rows []row
	for at--; at >= 0 && len(rows) < n; at-- {
		if r := x.rows[at]; strings.HasSuffix(r.key, suffix) && strings.HasPrefix(r.key, prefix) {
			rows = append(rows, r)
		}
	}
	return rows
}

// read gives the transfers of rows in the order of their ids, newest first. Rows without one go.
func (s *Store) read(ctx context.Context, owner string, x *index, rows []row) ([]Transfer, error) {
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = subjectPrefix + r.key
	}
	found := make(map[string]stored, len(rows))
	_, err := fetch(ctx, s.nc, query{Last: keys}, func(m stored) {
		if !m.deleted() {
			found[m.key] = m
		}
	})
	if err != nil {
		return nil, err
	}
	ts := make([]Transfer, 0, len(rows))
	for _, r := range rows {
		t, err := Transfer{}, error(nil)
		if m, ok := found[r.key]; ok {
			t, err = s.open(owner, m)
		} else if t, err = s.Get(ctx, owner, r.id); err == ErrNotFound { // it moved, or it is gone
			x.drop(r)
		}
		if err == nil { // what is damaged or from a newer version does not spoil the list
			ts = append(ts, t)
		}
	}
	slices.SortFunc(ts, func(a, b Transfer) int { return cmp.Compare(b.ID, a.ID) })
	return ts, nil
}
