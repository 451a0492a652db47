package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNotPossible means that the transfer's state forbids it: a conflict for whoever asked.
var ErrNotPossible = errors.New("not possible in this state")

// StoreOptions say how records are kept.
type StoreOptions struct {
	Replicas      int              // copies of the stream; 0: 1
	Sealer        Sealer           // nil: records are stored in clear (tests only)
	Retention     time.Duration    // how long a final transfer stays on the list; 0: 30 days
	MaxUnfinished int              // transfers of one person that are not final; 0: 10,000
	MaxRecords    int64            // bytes that one person's records may take, final ones too; 0: 256 MiB
	Space         func() error     // not nil while only running transfers may write; natsd.Node.Space; nil: always room
	Ended         func(Transfer)   // told of each transfer that this process ended, for metrics; nil: nobody is
	Now           func() time.Time // nil: time.Now

	at     func(point string) // for tests: called at each named point of the work
	shared bool               // for tests: streams live on what JetStream republishes, as on a cluster
}

// Store keeps every transfer in JetStream. Its record is the truth; all else follows from it.
type Store struct {
	opt    StoreOptions
	nc     *nats.Conn // writes and reads
	events *nats.Conn
	codec  codec
	ids    ids
	commit *committer
	hub    *hub
	ctx    context.Context // of its goroutines
	stop   context.CancelFunc

	mu     sync.Mutex
	listen func(owner, id string, t *Transfer) // the runner of this process
}

// OpenStore makes the stream if it is missing. The store ends with ctx.
func OpenStore(ctx context.Context, js jetstream.JetStream, nc *nats.Conn, o StoreOptions) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Replicas = max(o.Replicas, 1)
	if o.Retention <= 0 {
		o.Retention = 30 * 24 * time.Hour
	}
	setDefault(&o.MaxUnfinished, maxUnfinished)
	setDefault(&o.MaxRecords, maxRecords)
	ctx, stop := context.WithCancel(ctx)
	s := &Store{opt: o, nc: js.Conn(), events: nc, codec: newCodec(o.Sealer), ctx: ctx, stop: stop}
	if _, err := js.CreateOrUpdateStream(ctx, streamConfig(o.Replicas, !s.alone())); err != nil {
		stop()
		return nil, fmt.Errorf("open the transfers: %w", err)
	}
	s.commit = newCommitter(ctx, s.nc)
	s.commit.at = o.at
	if o.Replicas == 1 {
		s.commit.apart = maxApart
	}
	s.hub = newHub(ctx, s)
	s.commit.wrote, s.commit.miss = s.hub.wrote, s.hub.miss
	err := s.commit.start()
	if err == nil {
		err = s.moveOld(ctx, js)
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("open the transfers: %w", err)
	}
	return s, nil
}

// Close ends the store's goroutines; the connections belong to whoever made them.
func (s *Store) Close() {
	s.stop()
	<-s.commit.ended
	<-s.hub.ended
	s.hub.tasks.Wait()
}

// alone reports whether the server is in this process, and no other process has it.
func (s *Store) alone() bool { return s.events.Opts.InProcessServer != nil && !s.opt.shared }

// streamConfig is a KV bucket with more: atomic batches, TTL by message, and events where the writes
// of others have to be heard of.
func streamConfig(replicas int, shared bool) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: stream, Subjects: []string{subjectPrefix + ">"},
		Description: "Skylift's transfers",
		Storage:     jetstream.FileStorage, Retention: jetstream.LimitsPolicy, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, MaxMsgSize: 1 << 20, MaxBytes: -1, MaxMsgs: -1, MaxConsumers: -1,
		Replicas: replicas, Duplicates: 2 * time.Minute,
		AllowDirect: true, AllowRollup: true, DenyDelete: true,
		AllowAtomicPublish: true, AllowMsgTTL: true,
	}
	if shared {
		c.RePublish = &jetstream.RePublish{Source: subjectPrefix + ">", Destination: eventPrefix + ">"}
	}
	return c
}

// Submitted is the outcome of one request of a batch.
type Submitted struct {
	Transfer Transfer
	New      bool
	Err      error
}

// Submit stores a new transfer; it is synced before Submit returns. The same owner and idempotency
// key give the same transfer, and false.
func (s *Store) Submit(ctx context.Context, owner string, r Request, idempotencyKey string) (Transfer, bool, error) {
	left, err := s.share(ctx, owner)
	if err != nil {
		return Transfer{}, false, err
	}
	t, err := s.accept(owner, r, &left)
	if err != nil {
		return Transfer{}, false, err
	}
	return s.create(ctx, t, idempotencyKey)
}

// SubmitBatch is Submit for many, which share syncs. keys may be nil or shorter.
func (s *Store) SubmitBatch(ctx context.Context, owner string, rs []Request, keys []string) []Submitted {
	out := make([]Submitted, len(rs))
	batch := s.ids.next(s.opt.Now())
	left, err := s.share(ctx, owner)
	var wg sync.WaitGroup
	for i, r := range rs {
		if err != nil {
			out[i].Err = err
			continue
		}
		t, err := s.accept(owner, r, &left)
		if err != nil {
			out[i].Err = err
			continue
		}
		t.Batch = batch
		key := ""
		if i < len(keys) {
			key = keys[i]
		}
		wg.Go(func() { out[i].Transfer, out[i].New, out[i].Err = s.create(ctx, t, key) })
	}
	wg.Wait()
	return out
}

// accept makes the record of a request that is within owner's share.
func (s *Store) accept(owner string, r Request, left *share) (*Transfer, error) {
	now := s.opt.Now().UTC()
	t := r.NewTransfer(owner)
	t.ID, t.Created, t.Started, t.Modified = s.ids.next(now), now, now, now
	t.State, t.Attempts = NotStarted, 1
	return &t, left.take(&t)
}

// create stores t unless its idempotency key has a transfer already.
func (s *Store) create(ctx context.Context, t *Transfer, idempotencyKey string) (Transfer, bool, error) {
	first, err := s.record(t, 0)
	if err != nil {
		return Transfer{}, false, err
	}
	records := []record{first}
	key := ""
	if idempotencyKey != "" {
		key = requestKey(t.Owner, idempotencyKey)
		records = []record{{key: key, value: []byte(t.ID), expected: 0, ttl: s.opt.Retention}, first}
	}
	rev, err := s.commit.put(ctx, records...)
	if errors.Is(err, ErrConflict) && key != "" {
		return s.known(ctx, t, key, records)
	}
	if err != nil {
		return Transfer{}, false, fmt.Errorf("store a transfer: %w", err)
	}
	t.Revision = rev
	s.commit.pass("accept.after")
	s.tell(t.Owner, t.ID, t)
	return *t, true, nil
}

// requestKey is where it is kept which transfer an idempotency key stands for.
func requestKey(owner, idempotencyKey string) string {
	return ownerKey(kindKey, owner) + "." + hashToken(26, owner, idempotencyKey)
}

// Known is the transfer that owner's idempotency key stands for; ErrNotFound when it stands for none.
func (s *Store) Known(ctx context.Context, owner, idempotencyKey string) (Transfer, error) {
	if !validOwner(owner) || idempotencyKey == "" {
		return Transfer{}, ErrNotFound
	}
	last, err := lastOf(ctx, s.nc, requestKey(owner, idempotencyKey))
	switch {
	case err != nil:
		return Transfer{}, err
	case last.deleted:
		return Transfer{}, ErrNotFound
	}
	return s.load(ctx, owner, string(last.data))
}

// known finds the transfer that key stands for; if that one is off the list, t takes its place.
func (s *Store) known(ctx context.Context, t *Transfer, key string, records []record) (Transfer, bool, error) {
	for range 8 {
		last, err := lastOf(ctx, s.nc, key)
		revision := int64(0)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return Transfer{}, false, err
		default:
			revision = int64(last.seq)
			if !last.deleted {
				if old, err := s.load(ctx, t.Owner, string(last.data)); !errors.Is(err, ErrNotFound) {
					return old, false, err
				}
			}
		}
		records[0].expected = revision
		rev, err := s.commit.put(ctx, records...)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return Transfer{}, false, fmt.Errorf("store a transfer: %w", err)
		}
		t.Revision = rev
		s.tell(t.Owner, t.ID, t)
		return *t, true, nil
	}
	return Transfer{}, false, fmt.Errorf("store a transfer: %w", ErrConflict)
}

// Get is one transfer; ErrNotFound also for somebody else's.
func (s *Store) Get(ctx context.Context, owner, id string) (Transfer, error) {
	if !validOwner(owner) || !validID(id) {
		return Transfer{}, ErrNotFound
	}
	m, err := latest(ctx, s.nc, transferKey(owner, id))
	switch {
	case err == nil && !m.deleted:
		return s.open(owner, m)
	case err != nil && !errors.Is(err, ErrNotFound):
		return Transfer{}, err
	case s.opt.Replicas == 1:
		return Transfer{}, ErrNotFound
	}
	return s.load(ctx, owner, id) // the copy that answered may lag behind
}

// load is Get from the leader: it sees every acknowledged write.
func (s *Store) load(ctx context.Context, owner, id string) (Transfer, error) {
	if !validOwner(owner) || !validID(id) {
		return Transfer{}, ErrNotFound
	}
	t, err := s.begun(ctx, owner, id)
	if t.Work.Removed {
		return Transfer{}, ErrNotFound
	}
	return t, err
}

// begun is load for whoever cleans up: it also gives a transfer that is off the list and has left something.
func (s *Store) begun(ctx context.Context, owner, id string) (Transfer, error) {
	m, err := lastOf(ctx, s.nc, transferKey(owner, id))
	if err != nil {
		return Transfer{}, err
	}
	if m.deleted && !m.begun {
		return Transfer{}, ErrNotFound
	}
	return s.open(owner, m)
}

// open reads a stored message of owner.
func (s *Store) open(owner string, m stored) (Transfer, error) {
	t, err := s.codec.decode(owner, idOf(m.key), m.data)
	t.Revision = m.seq
	return t, err
}

// Update stores t if nobody changed it since t.Revision and it was not final (else ErrConflict), and
// sets the new revision. It tells the runner, so that a parked transfer goes on as t says.
func (s *Store) Update(ctx context.Context, t *Transfer) error {
	if m, err := lastOf(ctx, s.nc, transferKey(t.Owner, t.ID)); err == nil && m.ending != "" {
		return fmt.Errorf("%w: it is final", ErrConflict)
	}
	if err := s.put(ctx, t); err != nil {
		return err
	}
	s.tell(t.Owner, t.ID, t)
	return nil
}

// put stores a step of t.
func (s *Store) put(ctx context.Context, t *Transfer) error {
	switch {
	case t.State == Completed:
		t.Work = Work{} // the keys to OneDrive and the bytes are of no more use
	case t.State == Cancelled || t.State == Failed && t.Route == Upload: // what failed can be tried again for a while
		t.spend()
	}
	final := t.State.Final()
	if final {
		s.commit.pass("final.before")
	}
	err := s.store(ctx, t)
	if final {
		s.commit.pass("final.after")
	}
	if err == nil && final && s.opt.Ended != nil {
		s.opt.Ended(*t)
	}
	return err
}

// putAfter is put for a transfer that had a state before: what has ended does not end again.
func (s *Store) putAfter(ctx context.Context, had State, t *Transfer) error {
	if had.Final() {
		return s.store(ctx, t)
	}
	return s.put(ctx, t)
}

// store writes t over the record whose revision it has, and sets its new one.
func (s *Store) store(ctx context.Context, t *Transfer) error {
	was := t.Modified
	t.Modified = s.opt.Now().UTC()
	r, err := s.record(t, int64(t.Revision))
	if err != nil {
		return err
	}
	rev, err := s.commit.put(ctx, r)
	if err != nil {
		t.Modified = was
		return fmt.Errorf("store transfer %s: %w", t.ID, err)
	}
	t.Revision = rev
	return nil
}

// record is t as it is stored over the revision expected. A final one goes when its time is over; what is
// off the list is a marker, which holds what is left to do.
func (s *Store) record(t *Transfer, expected int64) (record, error) {
	value, err := s.codec.encode(t)
	r := record{key: transferKey(t.Owner, t.ID), value: value, expected: expected, ending: endingOf(t), event: s.hub.event(t)}
	r.begun = t.State.Final() && !t.settled()
	if r.ending != "" {
		r.ttl = s.opt.Retention
	}
	if t.Work.Removed {
		r.remove, r.same, r.ending, r.event, r.ttl = true, true, "", nil, markerTTL
		if !r.begun {
			r.value = nil
		}
	}
	return r, err
}

// markerTTL is how long the mark of a removed transfer stays: long enough for a client that reconnects.
const markerTTL = 24 * time.Hour

// Delete takes a final transfer off the list. The file in OneDrive stays; what a cancelled one has left there
// is cleaned up all the same.
func (s *Store) Delete(ctx context.Context, owner, id string) error {
	for range 4 {
		t, err := s.Get(ctx, owner, id)
		if err != nil {
			return err
		}
		if !t.State.Final() {
			return ErrNotPossible
		}
		t.Work.Removed = true
		r, err := s.record(&t, int64(t.Revision))
		if err != nil {
			return err
		}
		r.same = false
		_, err = s.commit.put(ctx, r)
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// again makes a final transfer start anew.
func (s *Store) again(ctx context.Context, t *Transfer) error {
	t.restart(s.opt.Now().UTC())
	if err := s.store(ctx, t); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	s.tell(t.Owner, t.ID, t)
	return nil
}

// DeleteAll forgets everything about owner's transfers; running ones lose their record and stop.
func (s *Store) DeleteAll(ctx context.Context, owner string) error {
	if !validOwner(owner) {
		return ErrNotFound
	}
	var left []stored
	if err := scan(ctx, s.nc, ownerKey("*", owner)+".>", 1, func(m stored) { left = append(left, m) }); err != nil {
		return err
	}
	for _, m := range left {
		if id := idOf(m.key); id != "" && !m.deleted {
			_, err := s.commit.put(ctx, record{key: m.key, expected: -1, remove: true, ttl: markerTTL})
			if err != nil {
				return err
			}
			s.tell(owner, id, nil)
		}
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		return err
	}
	st, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("forget transfers: %w", err)
	}
	for _, kind := range []string{kindTransfer, kindKey} {
		if err := st.Purge(ctx, jetstream.WithPurgeSubject(subjectPrefix+ownerKey(kind, owner)+".>")); err != nil {
			return fmt.Errorf("forget transfers: %w", err)
		}
	}
	return nil
}

// tell passes a change that the runner did not make itself to the runner that owns it: the one in
// this process, or by a doorbell the one in another.
func (s *Store) tell(owner, id string, t *Transfer) {
	s.mu.Lock()
	listen := s.listen
	s.mu.Unlock()
	if listen != nil {
		listen(owner, id, t)
		return
	}
	s.ring(owner, id)
}

// ring tells the runners of all instances that a transfer changed. It may be lost: their scans find
// what it announced.
func (s *Store) ring(owner, id string) {
	_ = s.events.Publish(bellSubject(partition(owner)), []byte(binding(owner, id)))
}

func bellSubject(partition int) string { return fmt.Sprintf("skylift.bell.%02d", partition) }
