package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrNotFound means that there is no such transfer, or that it is somebody else's.
var ErrNotFound = errors.New("no such transfer")

// errTooMany: a filter matches more than the server gives at once.
var errTooMany = errors.New("too many records for one answer")

// stored is one message of the stream as it was read.
type stored struct {
	key  string
	seq  uint64
	data []byte
	size int    // of data that was let go
	at   string // when it was stored

	ending  ending
	deleted bool // a delete marker
	begun   bool // final or deleted, but there is something to clean up at OneDrive
	same    bool // says what the one before it said
}

// query is JetStream's Direct Get request.
type query struct {
	Seq      uint64   `json:"seq,omitempty"`
	LastFor  string   `json:"last_by_subj,omitempty"`
	NextFor  string   `json:"next_by_subj,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
	Last     []string `json:"multi_last,omitempty"`
	UpTo     uint64   `json:"up_to_seq,omitempty"`
}

const (
	directAPI   = "$JS.API.DIRECT.GET." + stream
	leaderAPI   = "$JS.API.STREAM.MSG.GET." + stream
	scanBatch   = 512
	scanBytes   = 8 << 20 // of one answer: a record may hold the bytes of a small picture
	maxAnswer   = 1024    // messages of one answer: the server gives no more
	readTimeout = 5 * time.Second
)

// fetch asks for several messages and returns how many more there are.
func fetch(ctx context.Context, nc *nats.Conn, q query, each func(stored)) (more int, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	data, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	inbox, answers := nc.NewRespInbox(), make(chan *nats.Msg, maxAnswer+1) // SubscribeSync would make room for half a million
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(directAPI, inbox, data); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for {
		var m *nats.Msg
		select {
		case m = <-answers:
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: read: %w", ErrUnavailable, ctx.Err())
		}
		switch status := header(m, "Status"); status {
		case "":
			each(readMsg(m))
		case "204": // end of batch
			more, _ := strconv.Atoi(m.Header.Get("Nats-Num-Pending"))
			return more, nil
		case "404":
			return 0, nil
		case "413":
			return 0, errTooMany
		default:
			return 0, fmt.Errorf("%w: read: status %s", ErrUnavailable, status)
		}
	}
}

// readMsg reads an answer of Direct Get, or a republished message.
func readMsg(m *nats.Msg) stored {
	s := stored{key: strings.TrimPrefix(header(m, "Nats-Subject"), subjectPrefix), data: m.Data}
	s.seq, _ = strconv.ParseUint(header(m, "Nats-Sequence"), 10, 64)
	s.at = header(m, "Nats-Time-Stamp")
	s.ending = ending(header(m, hdrEnding))
	s.same = header(m, hdrSame) != ""
	s.begun = header(m, hdrBegun) != ""
	s.deleted = header(m, hdrOperation) != "" || header(m, "Nats-Marker-Reason") != ""
	return s
}

// unsettled reports whether somebody has to see to the transfer.
func (m stored) unsettled() bool { return m.begun || !m.deleted && m.ending == "" }

// header spares Header.Get's canonical form: NATS's headers are written as they are read.
func header(m *nats.Msg, name string) string {
	if v := m.Header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// scan gives each message of filter from sequence from on, oldest first, up to the end as it was.
func scan(ctx context.Context, nc *nats.Conn, filter string, from uint64, each func(stored)) error {
	return scanTo(ctx, nc, filter, from, 0, each)
}

// scanTo is scan up to before the sequence to; 0: the end.
func scanTo(ctx context.Context, nc *nats.Conn, filter string, from, to uint64, each func(stored)) error {
	for to == 0 || from < to {
		n := 0
		more, err := fetch(ctx, nc, query{Seq: from, NextFor: subjectPrefix + filter, Batch: scanBatch, MaxBytes: scanBytes}, func(s stored) {
			n++
			if from = s.seq + 1; to == 0 || s.seq < to {
				each(s)
			}
		})
		if err != nil {
			return err
		}
		if more == 0 || n == 0 {
			return nil
		}
	}
	return nil
}

// On a cluster any copy answers, and one may lag behind what the leader has told. So long it is asked
// again for what must be there, unless that is gone.
const (
	lagTries = 20
	lagPause = 50 * time.Millisecond
)

// scanPast is scan up to the revision upTo at least, and reports whether it has come so far. What is
// read twice is given once.
func (s *Store) scanPast(ctx context.Context, filter string, from, upTo uint64, each func(stored)) (reached bool, err error) {
	for try := 1; ; try++ {
		err := scan(ctx, s.nc, filter, from, func(m stored) {
			from = m.seq + 1
			each(m)
		})
		if err != nil || from > upTo || s.opt.Replicas == 1 || try == lagTries {
			return from > upTo || s.opt.Replicas == 1, err
		}
		select {
		case <-time.After(lagPause):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// timeOf is when the revision seq, or the first after it that is still there, was stored.
func timeOf(ctx context.Context, nc *nats.Conn, seq uint64) (time.Time, error) {
	at := ""
	if _, err := fetch(ctx, nc, query{Seq: seq, NextFor: subjectPrefix + ">", Batch: 1}, func(s stored) { at = s.at }); err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, at)
}

// latest reads a key's last message from any copy: on a cluster it may lag behind.
func latest(ctx context.Context, nc *nats.Conn, key string) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, directAPI+"."+subjectPrefix+key, nil)
	if err != nil {
		return stored{}, fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	switch status := header(m, "Status"); status {
	case "":
		return readMsg(m), nil
	case "404":
		return stored{}, ErrNotFound
	default:
		return stored{}, fmt.Errorf("%w: read: status %s", ErrUnavailable, status)
	}
}

// lastOf reads a key's last message from the leader: it sees every write that was acknowledged.
func lastOf(ctx context.Context, nc *nats.Conn, key string) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	q, _ := json.Marshal(query{LastFor: subjectPrefix + key})
	answer, err := nc.RequestWithContext(ctx, leaderAPI, q)
	if err != nil {
		return stored{}, fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	var got struct {
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
		Message *struct {
			Subject string `json:"subject"`
			Seq     uint64 `json:"seq"`
			Header  []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return stored{}, fmt.Errorf("%w: read: %w", ErrUnavailable, err)
	}
	if got.Error != nil {
		if got.Error.Code == 404 {
			return stored{}, ErrNotFound
		}
		return stored{}, fmt.Errorf("%w: read: %s", ErrUnavailable, got.Error.Description)
	}
	h, _ := nats.DecodeHeadersMsg(got.Message.Header)
	s := readMsg(&nats.Msg{Header: h, Data: got.Message.Data})
	s.key, s.seq = strings.TrimPrefix(got.Message.Subject, subjectPrefix), got.Message.Seq
	return s, nil
}
