package transfer

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// index knows which transfers one person has, newest last. It is made when a list is first asked for,
// from the headers of the records, the newest first, and lives on what this process writes and on the
// feed of what others write. It may be behind: whoever reads by it looks each record up, so that a page
// shows what is stored, and only a row may be missing for a moment.
type index struct {
	used time.Time // guarded by hub.mu
	rest sync.Once // reads what the first reader did not wait for

	reading sync.Mutex // one reaches further back at a time
	span    uint64     // how many revisions the next reach spans; guarded by reading

	mu    sync.Mutex
	rows  []row  // by id
	from  uint64 // rows have all records from this revision on; 1: all
	since string // rows have all transfers made after this id; "": all
	load  load   // of the rows
}

// load is what a person's transfers take of what all share.
type load struct {
	unfinished int   // transfers that are not final
	blocks     int64 // of all records
}

// add counts r in, or out with by -1.
func (l *load) add(r row, by int) {
	l.blocks += int64(by) * int64(r.blocks)
	if r.ends[0] == 0 {
		l.unfinished += by
	}
}

// row is a transfer of an index. It holds no pointers: there are many.
type row struct {
	id     rowID
	ends   [11]byte // its ending
	blocks uint16   // that its record takes
	seq    uint64
}

const blockSize = 512

// rowID is an id that is no pointer either.
type rowID [idLength]byte

// idKey is id as a rowID; the zero one for what is no id.
func idKey(id string) (k rowID) {
	copy(k[:], id)
	return k
}

func rowOf(id string, e ending, size int, seq uint64) row {
	r := row{id: idKey(id), blocks: uint16(min((size+blockSize-1)/blockSize, math.MaxUint16)), seq: seq}
	copy(r.ends[:], e)
	return r
}

func (r row) compare(id string) int { return cmp.Compare(string(r.id[:]), id) }

const (
	idleIndex = 10 * time.Minute // how long an index stays that nobody asks
	firstSpan = 4096             // revisions that a new index reads at first
)

// indexOf is owner's index. It may be empty yet: reach fills it.
func (s *Store) indexOf(ctx context.Context, owner string) (*index, error) {
	h := s.hub
	h.mu.Lock()
	f := h.feed(owner)
	x := f.index.Load()
	if x == nil {
		x = &index{span: firstSpan}
		f.index.Store(x)
	}
	x.used = time.Now()
	h.mu.Unlock()
	// Others wait for the same feed: it is not the first reader's to break off.
	f.open.Do(func() { f.err = f.subscribe(context.WithoutCancel(ctx)) })
	if f.err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		f.index.Store(nil)
		h.leave(f)
		return nil, f.err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.from == 0 { // what is stored after this the feed tells
		f.mu.Lock()
		x.from = f.seq + 1
		f.mu.Unlock()
		if x.from > 1 {
			x.since = lastID
		}
	}
	return x, nil
}

// lastID is behind all others.
const lastID = "ZZZZZZZZZZZZZZZZZZZZZZZZZZ"

// reach takes in older records, four times as many each time. What was stored before a moment was
// made before it: the rows are complete down to the moment of the oldest revision that was read.
func (x *index) reach(ctx context.Context, s *Store, owner string) error {
	x.reading.Lock()
	defer x.reading.Unlock()
	x.mu.Lock()
	to, newest := x.from, x.since == lastID
	x.mu.Unlock()
	if to <= 1 {
		return nil
	}
	from := uint64(1)
	if to > x.span {
		from = to - x.span
	}
	since := ""
	if from > 1 {
		at, err := timeOf(ctx, s.nc, from)
		if err != nil {
			return err
		}
		since = ulid(uint64(at.UnixMilli()), 1<<16-1, 1<<64-1)
	}
	var found []stored
	add := func(m stored) {
		if m.size, m.data = len(m.data), nil; m.seq < to {
			found = append(found, m)
		}
	}
	var err error
	if newest {
		_, err = s.scanPast(ctx, ownerKey(kindTransfer, owner)+".>", from, to-1, add)
	} else {
		err = scanTo(ctx, s.nc, ownerKey(kindTransfer, owner)+".>", from, to, add)
	}
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.merge(found)
	x.from, x.since, x.span = from, since, x.span*4
	return nil
}

// merge adds what was found to the rows, unless they know something newer. x.mu is held.
func (x *index) merge(found []stored) {
	known := x.rows
	for _, m := range found {
		id := idOf(m.key)
		if id == "" || m.deleted {
			continue
		}
		if _, ok := slices.BinarySearchFunc(known, id, row.compare); !ok {
			x.rows = append(x.rows, rowOf(id, m.ending, m.size, m.seq))
		}
	}
	slices.SortFunc(x.rows, func(a, b row) int { return cmp.Or(slices.Compare(a.id[:], b.id[:]), cmp.Compare(b.seq, a.seq)) })
	x.rows = slices.CompactFunc(x.rows, func(a, b row) bool { return a.id == b.id }) // a copy that lags tells of both
	x.load = load{}
	for _, r := range x.rows {
		x.load.add(r, 1)
	}
}

// apply notes a stored message with so many bytes.
func (x *index) apply(key string, e ending, deleted bool, size int, seq uint64) {
	id := idOf(key)
	if id == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	at, found := slices.BinarySearchFunc(x.rows, id, row.compare)
	if found && x.rows[at].seq > seq {
		return
	}
	if found {
		x.load.add(x.rows[at], -1)
	}
	r := rowOf(id, e, size, seq)
	switch {
	case deleted && found:
		x.rows = slices.Delete(x.rows, at, at+1)
	case deleted:
		return
	case found:
		x.rows[at] = r
	default:
		x.rows = slices.Insert(x.rows, at, r)
	}
	if !deleted {
		x.load.add(r, 1)
	}
}

// drop forgets a row whose record was looked for in vain, unless there is news of it.
func (x *index) drop(r row) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at, found := slices.BinarySearchFunc(x.rows, string(r.id[:]), row.compare); found && x.rows[at] == r {
		x.load.add(r, -1)
		x.rows = slices.Delete(x.rows, at, at+1)
	}
}

// below gives up to n rows below the id before whose ending is wanted, newest first, and whether
// there is nothing to be added by reaching further back.
func (x *index) below(before string, wanted func(row) bool, n int) ([]row, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at := len(x.rows)
	if before != "" {
		at, _ = slices.BinarySearchFunc(x.rows, before, row.compare)
	}
	var rows []row
	for at--; at >= 0 && len(rows) < n; at-- {
		if x.rows[at].compare(x.since) <= 0 {
			return rows, false
		}
		if wanted(x.rows[at]) {
			rows = append(rows, x.rows[at])
		}
	}
	return rows, len(rows) == n || x.since == ""
}

// rows gives up to n of owner's transfers below the id before whose ending is wanted, newest first.
func (s *Store) rows(ctx context.Context, owner, before string, wanted func(row) bool, n int) (*index, []row, error) {
	x, err := s.indexOf(ctx, owner)
	if err != nil {
		return nil, nil, err
	}
	for {
		rows, enough := x.below(before, wanted, n)
		if enough {
			s.readOn(x, owner)
			return x, rows, nil
		}
		if err := x.reach(ctx, s, owner); err != nil {
			return nil, nil, err
		}
	}
}

// readOn begins to read the rest of an index, once.
func (s *Store) readOn(x *index, owner string) {
	x.rest.Do(func() { s.hub.tasks.Go(func() { s.readAll(x, owner) }) }) // ends with the store
}

// readAll reads what an index has not reached yet: an id may be younger than the time of its record
// when the clock was wrong.
func (s *Store) readAll(x *index, owner string) {
	for s.ctx.Err() == nil {
		x.mu.Lock()
		all := x.from == 1
		x.mu.Unlock()
		if all || x.reach(s.ctx, s, owner) != nil {
			return // whoever needs more reaches for it
		}
	}
}

// records gives the records of rows, in the order in which they were stored.
func (s *Store) records(ctx context.Context, owner string, rows []row, each func(stored)) error {
	q := query{Last: make([]string, len(rows)), MaxBytes: scanBytes}
	for i, r := range rows {
		q.Last[i] = subjectPrefix + transferKey(owner, string(r.id[:]))
	}
	for {
		n := 0
		more, err := fetch(ctx, s.nc, q, func(m stored) {
			n++
			q.Seq = m.seq + 1
			each(m)
		})
		if err != nil || more == 0 || n == 0 {
			return err
		}
	}
}

// read gives the transfers of rows in the order of their ids, newest first. Rows without one go.
func (s *Store) read(ctx context.Context, owner string, x *index, rows []row) ([]Transfer, error) {
	type opened struct {
		Transfer
		err error
	}
	found := make(map[string]opened, len(rows))
	err := s.records(ctx, owner, rows, func(m stored) {
		if !m.deleted {
			t, err := s.open(owner, m)
			t.Work.Inline = nil // a list of small pictures is not to hold them all
			found[idOf(m.key)] = opened{t, err}
		}
	})
	if err != nil {
		return nil, err
	}
	ts := make([]Transfer, 0, len(rows))
	for _, r := range rows {
		id := string(r.id[:])
		o, ok := found[id]
		if !ok {
			if o.Transfer, o.err = s.Get(ctx, owner, id); o.err == ErrNotFound {
				x.drop(r)
			}
		}
		if o.err == nil { // what is damaged or from a newer version does not spoil the list
			ts = append(ts, o.Transfer)
		}
	}
	return ts, nil
}
