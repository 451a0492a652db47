package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// Errors of writing. Callers find them with errors.Is.
var (
	ErrConflict    = errors.New("the transfer was changed by somebody else")
	ErrUnavailable = errors.New("the store cannot be written to")
	ErrFull        = fmt.Errorf("%w: it is full", ErrUnavailable)
)

const (
	maxBatch       = 900             // records that share a sync; the server's limit is 1,000
	maxBatchBytes  = 4 << 20         // and their size: a record may hold the bytes of a small picture
	maxApart       = 12              // writes that wait and go each by itself where that is quicker than a batch
	pipelines      = 2               // batches on their way: one is prepared while the other is synced
	enough         = 128             // writes that wait and are worth a second batch; fewer share the next sync of a server alone
	publishTimeout = 3 * time.Second // a publish whose answer dies with a leader is tried again after this

	hdrExpected  = "Nats-Expected-Last-Subject-Sequence"
	hdrTTL       = "Nats-TTL"
	hdrOperation = "KV-Operation"
	hdrEnding    = "Skylift-Ending" // of a final record
	hdrSame      = "Skylift-Same"   // of one that says what the one before it said
	hdrBegun     = "Skylift-Begun"  // of a final or removed one that has left something to be cleaned up at OneDrive
	hdrBatchID   = "Nats-Batch-Id"
	hdrBatchSeq  = "Nats-Batch-Sequence"
	hdrBatchEnd  = "Nats-Batch-Commit"
)

// record is one message of a write.
type record struct {
	key      string
	value    []byte
	expected int64 // the key's revision must be this; -1: any
	ttl      time.Duration
	ending   ending
	remove   bool   // a delete marker
	same     bool   // says what the one before it said
	begun    bool   // final or removed, but not settled
	event    *Event // what streams here will show, if known
}

// write is a set of records that are stored together or not at all. One that was answered is used
// again: there are many.
type write struct {
	records  []record
	room     [2]record  // of the records, which are rarely more
	done     chan wrote // buffered
	patience *time.Timer
}

var writes = sync.Pool{New: func() any {
	return &write{done: make(chan wrote, 1), patience: time.NewTimer(storeTimeout)}
}}

func newWrite(records []record) *write {
	w := writes.Get().(*write)
	w.records = append(w.room[:0], records...)
	w.patience.Reset(storeTimeout)
	return w
}

// free gives w back after an answer: the committer has nothing more to do with it.
func (w *write) free() {
	w.patience.Stop()
	w.records, w.room = nil, [2]record{}
	writes.Put(w)
}

func (w *write) size() (n int) {
	for _, r := range w.records {
		n += len(r.value)
	}
	return n
}

// tell calls wrote for each record of w, whose last one got revision.
func (w *write) tell(wrote func(record, uint64), revision uint64) {
	for i, r := range w.records {
		wrote(r, revision-uint64(len(w.records)-1-i))
	}
}

// wrote is what became of a write: the revision of its last record, or why not.
type wrote struct {
	revision uint64
	err      error
}

// committer stores writes. Those that wait while a sync runs share the next one: an atomic batch.
type committer struct {
	nc    *nats.Conn
	apart int // up to so many writes go each by itself; 0: all share
	in    chan *write
	ctx   context.Context
	ended chan struct{}
	wrote func(r record, revision uint64) // told of each stored record, in order, before its writer is
	miss  func()                          // told that there was one of which wrote was not told in order
	at    func(point string)              // a test kills the process at a named point; else nil

	// The rest belongs to run.
	inbox   string
	answers chan *nats.Msg
	count   int
	flying  []*flight // in the order in which they were sent, which is that of the answers
	single  []*write  // of a batch that one of them spoiled: each is sent by itself
}

// flight is a batch on its way.
type flight struct {
	ws     []*write
	inbox  string
	answer *nats.Msg
	until  time.Time
}

func newCommitter(ctx context.Context, nc *nats.Conn) *committer {
	return &committer{nc: nc, in: make(chan *write, maxBatch), ctx: ctx, ended: make(chan struct{}), answers: make(chan *nats.Msg, 64)}
}

// put stores records together and returns the revision of the last one. When ctx or storeTimeout ends
// first the outcome is unknown.
func (c *committer) put(ctx context.Context, records ...record) (uint64, error) {
	w := newWrite(records)
	for first := true; ; first = false {
		r, err := c.try(ctx, w)
		switch {
		case err != nil:
			return 0, err // w may still be on its way
		case errors.Is(r.err, errUnanswered):
			continue
		case errors.Is(r.err, ErrConflict) && !first:
			if r.revision, r.err = c.mine(ctx, records); r.err == nil {
				w.tell(c.wrote, r.revision)
				c.miss()
			}
		}
		w.free()
		return r.revision, r.err
	}
}

// try hands w in and waits for its answer.
func (c *committer) try(ctx context.Context, w *write) (wrote, error) {
	in := c.in
	for {
		select {
		case in <- w:
			in = nil
		case r := <-w.done:
			return r, nil
		case <-w.patience.C:
			return wrote{}, fmt.Errorf("%w: %w", ErrUnavailable, errUnanswered)
		case <-ctx.Done():
			return wrote{}, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		case <-c.ctx.Done():
			return wrote{}, ErrUnavailable
		}
	}
}

// errUnanswered: the write may or may not have been stored.
var errUnanswered = errors.New("no answer from the store")

// mine decides whether a conflict on a repeated write is with its own first try.
func (c *committer) mine(ctx context.Context, records []record) (uint64, error) {
	for i, r := range records {
		if r.remove {
			continue
		}
		m, err := lastOf(ctx, c.nc, r.key)
		if err != nil || !bytes.Equal(m.data, r.value) {
			return 0, ErrConflict
		}
		return m.seq + uint64(len(records)-1-i), nil
	}
	return 0, ErrConflict
}

// start begins to store; it goes on until the committer's context ends.
func (c *committer) start() error {
	c.inbox = c.nc.NewRespInbox()
	sub, err := c.nc.ChanSubscribe(c.inbox+".*", c.answers)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	go func() { // ends with c.ctx
		defer close(c.ended)
		c.run()
		_ = sub.Unsubscribe()
	}()
	return nil
}

func (c *committer) run() {
	tick := time.NewTicker(publishTimeout / 6)
	defer tick.Stop()
	for {
		for len(c.single) > 0 && len(c.flying) < pipelines {
			c.send(c.single[:1])
			c.single = c.single[1:]
		}
		in := c.in
		if len(c.flying) >= pipelines || c.apart > 0 && len(c.flying) > 0 && len(c.in) < enough {
			in = nil
		}
		select {
		case w := <-in:
			c.begin(c.gather(w))
		case m := <-c.answers:
			for _, f := range c.flying {
				if f.inbox == m.Subject {
					f.answer = m
				}
			}
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
		for len(c.flying) > 0 && (c.flying[0].answer != nil || time.Now().After(c.flying[0].until)) {
			f := c.flying[0]
			c.flying = c.flying[1:]
			c.land(f)
		}
	}
}

// gather takes w and what waits behind it.
func (c *committer) gather(w *write) []*write {
	ws, n, size := []*write{w}, len(w.records), w.size()
	for n < maxBatch && size < maxBatchBytes {
		select {
		case w := <-c.in:
			ws = append(ws, w)
			n += len(w.records)
			size += w.size()
		default:
			return ws
		}
	}
	return ws
}

// begin sends ws. A server alone stages an atomic batch in a folder of its own, with some seven syncs
// for its files: it takes as long as ten messages that are synced one by one. So a few go alone.
func (c *committer) begin(ws []*write) {
	if len(ws) > c.apart {
		c.send(ws)
		return
	}
	var together []*write
	for i, w := range ws {
		if len(w.records) > 1 {
			together = append(together, w)
			continue
		}
		c.send(ws[i : i+1])
	}
	if len(together) > 0 {
		c.send(together)
	}
}

// send puts ws on their way: one message, or one atomic batch.
func (c *committer) send(ws []*write) {
	c.pass("write.before")
	c.count++
	f := &flight{ws: ws, inbox: c.inbox + "." + strconv.Itoa(c.count), until: time.Now().Add(publishTimeout)}
	c.flying = append(c.flying, f)
	total := 0
	for _, w := range ws {
		total += len(w.records)
	}
	var id []string // of a batch
	n := 0
	if total > 1 {
		id = []string{nuid.Next()}
	}
	for _, w := range ws {
		for _, r := range w.records {
			n++
			m := r.message()
			if id != nil {
				m.Header[hdrBatchID] = id
				m.Header[hdrBatchSeq] = []string{strconv.Itoa(n)}
			}
			if n == total {
				m.Reply = f.inbox
				if id != nil {
					m.Header[hdrBatchEnd] = []string{"1"}
				}
			}
			if err := c.nc.PublishMsg(m); err != nil {
				f.until = time.Time{} // nothing will come
				return
			}
		}
	}
}

// land tells the writes of f what became of them. Unless it was f alone, one that cannot be stored
// spoils the batch: each then goes by itself.
func (c *committer) land(f *flight) {
	seq, err := revisionOf(f.answer)
	c.pass("write.after")
	switch {
	case err == nil:
		// A batch lies in the stream without gaps, so each revision follows from the last.
		total := 0
		for _, w := range f.ws {
			total += len(w.records)
		}
		seq -= uint64(total)
		for _, w := range f.ws {
			seq += uint64(len(w.records))
			w.tell(c.wrote, seq)
			w.done <- wrote{seq, nil}
		}
		return
	case errors.Is(err, errUnanswered):
		if f.answer != nil { // no leader: wait a little for one
			select {
			case <-time.After(100 * time.Millisecond):
			case <-c.ctx.Done():
			}
		}
	case len(f.ws) > 1:
		c.single = append(c.single, f.ws...)
		return
	}
	for _, w := range f.ws {
		w.done <- wrote{0, err}
	}
}

// pass tells a test that the work has come to point.
func (c *committer) pass(point string) {
	if c.at != nil {
		c.at(point)
	}
}

// revisionOf reads the store's answer: the revision of the last record.
func revisionOf(answer *nats.Msg) (uint64, error) {
	if answer == nil || header(answer, "Status") != "" {
		return 0, errUnanswered
	}
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	if ack.Error != nil {
		return 0, writeError(ack.Error.Code, ack.Error.Description)
	}
	return ack.Seq, nil
}

// writeError maps JetStream's error codes to ours.
func writeError(code int, description string) error {
	switch code {
	case 10071, 10164: // wrong last sequence
		return ErrConflict
	case 10008, 10176, 10210: // temporarily unavailable, batch cut by a leader change, too many batches
		return fmt.Errorf("%w: %s", errUnanswered, description)
	case 10023, 10028, 10047: // insufficient resources
		return ErrFull
	case 10077:
		if strings.Contains(description, "maximum") || strings.Contains(description, "no space") {
			return ErrFull
		}
	}
	return fmt.Errorf("%w: %s (%d)", ErrUnavailable, description, code)
}

func (r record) message() *nats.Msg {
	m := &nats.Msg{Subject: subjectPrefix + r.key, Header: make(nats.Header, 6), Data: r.value}
	values := make([]string, 0, 5) // of all headers
	set := func(name, value string) {
		values = append(values, value)
		m.Header[name] = values[len(values)-1:]
	}
	if r.expected >= 0 {
		set(hdrExpected, strconv.FormatInt(r.expected, 10))
	}
	if r.ttl > 0 {
		set(hdrTTL, r.ttl.String())
	}
	if r.ending != "" {
		set(hdrEnding, string(r.ending))
	}
	if r.same {
		set(hdrSame, "1")
	}
	if r.begun {
		set(hdrBegun, "1")
	}
	if r.remove {
		set(hdrOperation, "DEL")
	}
	return m
}
