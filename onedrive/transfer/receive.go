package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"skylift/onedrive"
)

// clientWait is how long the client may take to send its bytes.
const clientWait = 24 * time.Hour

// Content is the bytes that a client sends for an upload, all or a piece.
type Content struct {
	Offset      int64 // where Body begins in the file
	Length      int64 // bytes of Body; 0: the rest of the file
	Total       int64 // of the file; required
	ContentType string
	Body        io.Reader
	Once        bool // nobody can send them again: what would wait for that fails, and says why
}

// ErrTaken means that a request at another instance is sending the bytes: what it leaves can be sent
// once it has ended, or a minute after its last sign of life.
var ErrTaken = errors.New("another request is sending the bytes")

// How long a request is believed to go on bringing bytes after its last sign of life, and the rest of
// it at which the request gives another. A client may be silent for bodyIdle, half a minute.
const (
	takenFor  = time.Minute
	takenLeft = 45 * time.Second
)

// PausedError means that OneDrive asked for a pause when this account's bytes came last.
type PausedError struct{ Wait time.Duration } // what is left of it

func (e *PausedError) Error() string { return "OneDrive asked for a pause of " + e.Wait.String() }

// RangeError means that a piece does not begin where the last one ended.
type RangeError struct{ Next int64 } // the first byte that is missing

func (e *RangeError) Error() string { return fmt.Sprintf("the next byte is %d", e.Next) }

// awaitBytes is the runner's part in an upload: it waits for the client, and looks at the end.
func (r *saving) awaitBytes(ctx context.Context) (Next, error) {
	t := r.t
	if t.Work.Phase == Verifying {
		t.State, t.Reason, t.Due = InProgress, "", zeroTime
		next, err := r.verify(ctx)
		if err != nil || t.State.Final() || t.Work.Phase == Verifying {
			return next, err
		}
		r.anew() // OneDrive has lost it all
	}
	left := clientWait - t.age(r.s.opt.Now())
	if left <= 0 {
		return r.fail(ctx, codeClientBytesMissing, "")
	}
	return r.park(ClientBytes, left)
}

// Receive streams a client's bytes on to OneDrive and gives the transfer as it is afterwards. After a
// piece that is not the last, BytesTransferred says where the next begins; another gives a
// *RangeError. ErrNotFound: no such transfer; ErrNotPossible: it takes no bytes, or another request
// is sending them here; ErrTaken: one at another instance is; ErrClientGone: the bytes stopped coming;
// ErrManyBodies: the owner has others come in; *PausedError: OneDrive would turn them away.
func (s *Saver) Receive(ctx context.Context, store *Store, owner, id string, c Content) (Transfer, error) {
	leave, err := s.takeBody(ctx, owner)
	if err != nil {
		return Transfer{}, err
	}
	defer leave()
	release, ok := s.busy.take(owner + "/" + id)
	if !ok {
		return Transfer{}, ErrNotPossible
	}
	defer release()
	t, err := store.Get(ctx, owner, id)
	if err != nil {
		return Transfer{}, err
	}
	if err := s.admissible(&t, &c); err != nil {
		return t, err
	}
	if s.taken(&t) {
		return t, ErrTaken
	}
	client, err := s.opt.Client(ctx, owner)
	if err != nil {
		return t, err
	}
	r := &saving{s: s, t: &t, client: client, progress: func() {}, once: c.Once}
	at := standing(&t)
	r.keep = func() error { return store.overtake(ctx, &t, &at) }
	if t.ContentType == "" {
		t.ContentType = mediaType(c.ContentType)
	}
	t.Size = &c.Total
	if err := r.take(); err != nil {
		return t, err
	}
	err = r.receive(ctx, c)
	if err != nil && t.Work.Taker == "" {
		return t, err
	}
	t.Work.Taker, t.Work.Taken = "", zeroTime
	if stored := store.overtake(context.WithoutCancel(ctx), &t, &at); err == nil {
		err = stored
	}
	return t, err
}

// ErrManyBodies means that as many files of one person come in as may at once: each can hold the memory
// of a whole small one for as long as its client likes.
var ErrManyBodies = errors.New("too many bodies of one person at once")

const maxBodies = 4 // of one person at once

// takeBody waits a little for one of owner's places.
func (s *Saver) takeBody(ctx context.Context, owner string) (leave func(), err error) {
	leave, err = s.bodies.enter(ctx, owner)
	if err != nil && ctx.Err() == nil {
		err = ErrManyBodies
	}
	return leave, err
}

// taken reports whether a request at another instance is bringing the bytes.
func (s *Saver) taken(t *Transfer) bool {
	return t.Work.Taker != "" && t.Work.Taker != s.opt.Instance && s.opt.Now().Before(t.Work.Taken)
}

// take tells the other instances, if there may be any, that a request here brings the bytes.
func (r *saving) take() error {
	w, now := &r.t.Work, r.s.opt.Now()
	if r.s.opt.Instance == "" || w.Taker == r.s.opt.Instance && w.Taken.Sub(now) > takenLeft {
		return nil
	}
	w.Taker, w.Taken = r.s.opt.Instance, now.Add(takenFor)
	return r.keep()
}

// standing is how far a client's bytes have come, to notice another request that brings them too.
func standing(t *Transfer) mark {
	m := mark{t.Work.UploadURL, t.Work.PostedAt.UnixNano(), len(t.Work.Inline), 0, t.Work.Taker, t.Work.Taken.UnixNano()}
	if t.BytesTransferred != nil {
		m.bytes = *t.BytesTransferred
	}
	return m
}

type mark struct {
	session onedrive.SecretURL
	posted  int64
	held    int
	bytes   int64
	taker   string
	taken   int64
}

// overtake stores t although somebody else changed it meanwhile: the runner parks a new upload
// while its bytes are coming in already, and the bytes' way is what counts. A transfer that has
// ended stays ended, and one whose bytes another request has brought on since at is that one's,
// also at another instance: ErrNotPossible.
func (s *Store) overtake(ctx context.Context, t *Transfer, at *mark) error {
	for range 5 {
		err := s.Update(ctx, t)
		if err == nil {
			*at = standing(t)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
		now, err := s.Get(ctx, t.Owner, t.ID)
		if err != nil {
			return err
		}
		if now.State.Final() || standing(&now) != *at {
			return ErrNotPossible
		}
		t.Revision = now.Revision
	}
	return ErrConflict
}

// admissible says whether the piece can be taken.
func (s *Saver) admissible(t *Transfer, c *Content) error {
	if t.Route != Upload || t.State.Final() || t.Work.Phase == Verifying {
		return ErrNotPossible
	}
	if c.Length == 0 {
		c.Length = c.Total - c.Offset
	}
	switch {
	case c.Total == 0:
		return &RequestError{"size", codeEmptyFile}
	case c.Total < 0, c.Offset < 0, c.Length <= 0, c.Offset+c.Length > c.Total:
		return &RequestError{"size", codeInvalidRequest}
	case c.Total > s.opt.MaxBytes:
		return &RequestError{"size", codeSourceTooLarge}
	case t.Size != nil && *t.Size != c.Total:
		return &RequestError{"size", codeSizeMismatch}
	}
	if wait := s.Paused(t.Owner); wait > 0 && !c.Once {
		return &PausedError{wait}
	}
	return nil
}

// receive takes one piece. An error is the client's or the store's; what OneDrive says ends up in the transfer.
func (r *saving) receive(ctx context.Context, c Content) error {
	t := r.t
	wait := r.s.Paused(t.Owner) // of bytes that come once: no others were admitted
	if wait > longestPause {
		next, err := r.park(Throttled, wait)
		return r.received(ctx, next, err)
	}
	if err := sleep(ctx, wait); err != nil {
		return r.received(ctx, Next{}, err)
	}
	have := int64(0)
	if t.BytesTransferred != nil {
		have = *t.BytesTransferred
	}
	if c.Offset == 0 {
		r.dropSession(ctx) // the client begins anew
		t.Work.Inline, t.BytesTransferred, have = nil, nil, 0
	}
	if c.Offset != have {
		return &RangeError{have}
	}
	body := &clientBody{r: io.LimitReader(c.Body, c.Length), take: r.take}
	if c.Offset == 0 && c.Length == c.Total && c.Total <= onedrive.MaxPut {
		return r.receiveSmall(ctx, body)
	}
	return r.receivePiece(ctx, c, body)
}

// clientBody tells the client's failure from OneDrive's.
type clientBody struct {
	r    io.Reader
	take func() error // a sign of life
	err  error
}

// ErrClientGone means that the client sent fewer bytes than it announced, or none for too long. What came
// is kept as far as it can be: BytesTransferred says where to go on.
var ErrClientGone = errors.New("the client stopped sending")

func (b *clientBody) Read(p []byte) (int, error) {
	if b.err = b.take(); b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = fmt.Errorf("%w: %w", ErrClientGone, err)
		return n, b.err
	}
	return n, err
}

func (r *saving) receiveSmall(ctx context.Context, body *clientBody) error {
	t := r.t
	data, err := r.s.buffers.fill(body, nil, int(*t.Size))
	defer func() { r.s.buffers.put(data) }()
	if err != nil {
		return cmp.Or(body.err, ErrClientGone)
	}
	r.nameFromBytes(data)
	next, _, err := r.patiently(ctx, func() (Next, bool, error) {
		next, err := r.put(ctx, data)
		return next, true, err
	})
	return r.received(ctx, next, err)
}

// patiently takes a step whose bytes are at hand, again and again while OneDrive is over what stops it soon,
// so that the client need not send them again. Over means what it means of a step.
func (r *saving) patiently(ctx context.Context, step func() (_ Next, over bool, _ error)) (Next, bool, error) {
	for try := 1; ; try++ {
		next, over, err := step()
		if !over || err != nil || try == maxFragmentTries || !r.soon(next) {
			return next, over, err
		}
		wait := next.After
		if next.Throttled == Unsaid {
			wait = firstThrottle << (try - 1)
		}
		if err := r.take(); err != nil {
			return Next{}, true, err
		}
		if err := sleep(ctx, wait); err != nil {
			return Next{}, true, err
		}
	}
}

// soon reports a step that is to be repeated shortly, and not when somebody has done something.
func (r *saving) soon(next Next) bool {
	t := r.t
	return !t.State.Final() && t.Work.Phase != Verifying && next.After <= longestPause && (!next.Park || t.Reason == Throttled)
}

// nameFromBytes mends the name by what the file is, unless the person chose it.
func (r *saving) nameFromBytes(head []byte) {
	t := r.t
	k := sniff(head[:min(len(head), sniffBytes)], t.ContentType)
	if t.Work.Wanted == "" {
		t.Work.Wanted = t.Name
		if !t.NameGiven || extension(t.Name) == "" {
			t.Work.Wanted = k.mend(t.Name)
		}
	}
	if t.ContentType == "" {
		t.ContentType = k.mime
	}
}

// receivePiece sends what came before and could not be sent alone, then the piece, in fragments; what
// is left over when the file is not complete waits in the record.
func (r *saving) receivePiece(ctx context.Context, c Content, body *clientBody) error {
	t := r.t
	held := t.Work.Inline
	at := c.Offset - int64(len(held)) // what OneDrive has
	r.s.streams.Add(1)
	defer r.s.streams.Add(-1)
	sum := r.s.sums.take(t.ID, at)
	buf := append(r.s.buffers.get(onedrive.FragmentUnit), held...)
	defer func() { r.s.buffers.put(buf) }()
	for at < c.Offset+c.Length {
		left := c.Offset + c.Length - at
		want := int(min(int64(r.s.fragmentSize()), left))
		var err error
		if buf, err = r.s.buffers.fill(body, buf, max(want, len(buf))); err != nil {
			return r.clientGone(ctx, at, buf)
		}
		if at == 0 && t.Work.UploadURL == "" {
			r.nameFromBytes(buf)
			next, over, err := r.patiently(ctx, func() (Next, bool, error) { return r.openSession(ctx, "") })
			if over || err != nil {
				return r.received(ctx, next, err)
			}
		}
		if at+int64(len(buf)) < c.Total && len(buf) < onedrive.FragmentUnit {
			return r.hold(at, buf)
		}
		n := len(buf)
		if at+int64(n) < c.Total {
			n = n / onedrive.FragmentUnit * onedrive.FragmentUnit
		}
		answer, err := r.putFragment(ctx, fragmentOf(buf[:n], at))
		if err != nil {
			next, err := r.interrupted(ctx, err)
			return r.received(ctx, next, err)
		}
		hashTo(sum, buf[:n])
		at += int64(n)
		t.grown(at)
		r.s.sums.put(t.ID, sum, at)
		if at == c.Total {
			next, err := r.committed(ctx, answer.Item, quickXor(sum))
			return r.received(ctx, next, err)
		}
		buf = append(buf[:0], buf[n:]...)
		if err := r.showReceived(at); err != nil {
			return err
		}
	}
	return r.hold(at, buf)
}

// hold keeps the bytes that are too few for a fragment in the record.
func (r *saving) hold(at int64, rest []byte) error {
	t := r.t
	have := at + int64(len(rest))
	t.Work.Inline = append([]byte(nil), rest...)
	t.BytesTransferred = &have
	t.State, t.Reason = Waiting, ClientBytes
	return nil
}

// clientGone keeps what came until the client went away.
func (r *saving) clientGone(ctx context.Context, at int64, rest []byte) error {
	whole := len(rest) / onedrive.FragmentUnit * onedrive.FragmentUnit
	if whole > 0 && r.t.Work.UploadURL != "" {
		if _, err := r.putFragment(context.WithoutCancel(ctx), fragmentOf(rest[:whole], at)); err == nil {
			r.s.sums.drop(r.t.ID)
			at, rest = at+int64(whole), rest[whole:]
		} else {
			rest = rest[:0]
		}
	}
	if len(rest) >= onedrive.FragmentUnit || r.t.Work.UploadURL == "" {
		rest = rest[:0]
	}
	r.hold(at, rest)
	r.keep()
	return ErrClientGone
}

// showReceived stores how far the client's bytes are.
func (r *saving) showReceived(at int64) error {
	t := r.t
	t.Work.Inline = nil
	t.BytesTransferred = &at
	percent := float64(at) / float64(*t.Size) * 100
	t.Percent = &percent
	t.State, t.Reason = Waiting, ClientBytes
	return r.keep()
}

// received turns the outcome of a step into the transfer's state. What would have been another step
// is one for the client: it sends again, unless only the look at the end is missing.
func (r *saving) received(ctx context.Context, next Next, err error) error {
	t := r.t
	if next.Park && t.Reason == Throttled {
		r.s.pauses.ask(t.Owner, r.s.opt.Now(), next.After)
	}
	if r.once && (err != nil || !t.State.Final() && t.Work.Phase != Verifying) {
		_, err = r.fail(ctx, r.whyNot(next, err), "")
	}
	if err != nil {
		return err
	}
	if t.State.Final() || t.Work.Phase == Verifying {
		if !t.State.Final() {
			t.State, t.Reason = InProgress, ""
		}
		t.Work.Inline = nil
		return nil
	}
	if t.Work.UploadURL == "" {
		r.anew()
	}
	t.State, t.Reason = Waiting, ClientBytes
	return nil
}

// anew lets the client begin with the first byte.
func (r *saving) anew() {
	zero := int64(0)
	r.t.BytesTransferred, r.t.Percent, r.t.Work.Inline = &zero, nil, nil
}

// whyNot is the code of a transfer that would have to wait for its bytes and gets them no more.
func (r *saving) whyNot(next Next, err error) string {
	switch {
	case err != nil:
		return codeClientBytesMissing // whoever sent them has left
	case !next.Park:
		return "serviceNotAvailable"
	}
	switch r.t.Reason {
	case Throttled:
		return "activityLimitReached"
	case SignInRequired:
		return codeSignInRequired
	case OneDriveFull:
		return "quotaLimitReached"
	case Locked:
		return "resourceLocked"
	}
	return "serviceNotAvailable"
}

// Paused is how long OneDrive still wants no bytes of owner's clients, as far as they have heard; 0: it does.
func (s *Saver) Paused(owner string) time.Duration { return s.pauses.left(owner, s.opt.Now()) }

// pauses are what OneDrive asked for when it turned a client's bytes away, by owner. The runner's gates know
// of its own steps only.
type pauses struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (p *pauses) ask(owner string, now time.Time, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = map[string]time.Time{}
	}
	maps.DeleteFunc(p.until, func(_ string, t time.Time) bool { return !now.Before(t) })
	p.until[owner] = now.Add(wait)
}

func (p *pauses) left(owner string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.until[owner].Sub(now), 0)
}
