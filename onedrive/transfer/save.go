package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"skylift/onedrive"
)

// SaverOptions are what a Saver works with.
type SaverOptions struct {
	// Client gives an owner's Graph client. An error that is an onedrive.ErrUnauthenticated parks
	// the transfer until the owner signs in again.
	Client   func(ctx context.Context, owner string) (*onedrive.Client, error)
	Source   *Source       // required
	Instance string        // name of this instance among several on one cluster; "": alone on its data
	Native   string        // auto, always or never; empty: auto
	Stall    time.Duration // a native transfer without a sign of life for this long goes to the relay; 0: 60 s
	MaxBytes int64         // largest file relayed; 0: 10 GiB
	Memory   NativeMemory  // nil: in this process
	SpoolDir string        // for sources of unknown length and shared files; empty: the system's
	MaxSpool int64         // bytes of all spooled files together; 0: 8 GiB
	Space    func() error  // not nil while nothing more may be spooled; nil: always room
	Buffers  int64         // bytes of all fragment buffers together, as far as the smallest fragments allow; 0: 24 MiB
	Log      *slog.Logger  // nil: none
	Now      func() time.Time
}

// Saver takes one transfer through its steps: the Mover of the real world.
type Saver struct {
	opt     SaverOptions
	drives  drives
	names   names
	hosts   hostMemory
	strikes strikes
	sums    sums
	busy    locks
	buffers buffers
	blocks  blocks
	streams atomic.Int64 // relays that send fragments
	spooled spooled
	bodies  *turnstile // of clients, by owner
	pauses  pauses     // of clients' bytes
}

// NewSaver makes a Saver. It starts nothing of its own.
func NewSaver(o SaverOptions) *Saver {
	setDefault(&o.Native, "auto")
	setDefault(&o.Stall, time.Minute)
	setDefault(&o.MaxBytes, 10<<30)
	setDefault(&o.MaxSpool, 8<<30)
	setDefault(&o.Buffers, 24<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Memory == nil {
		o.Memory = NewNativeMemory(o.Now)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Saver{opt: o, bodies: newTurnstile(maxBodies)}
}

// Check says with a *RequestError why a valid request will never be fulfilled, as far as its address or
// its size tells.
func (s *Saver) Check(r Request) error {
	if r.Route == Upload && r.Size != nil && *r.Size > s.opt.MaxBytes {
		return &RequestError{"size", codeSourceTooLarge}
	}
	if r.SameSource || r.Route == Upload || isDataURL(r.SourceURL) {
		return nil
	}
	u, err := ParseSourceURL(r.SourceURL)
	if err != nil {
		return err
	}
	return s.opt.Source.Check(u)
}

// saving is one step of one transfer.
type saving struct {
	s        *Saver
	t        *Transfer
	client   *onedrive.Client
	keep     func() error
	progress func()
	began    time.Time
	waited   bool // for a session that was not found: see overlooked
	spooled  bool // the file came as a whole first: see leg
	once     bool // the bytes are a client's that cannot send them again
}

// Step does the next piece of work for t.
func (s *Saver) Step(ctx context.Context, t *Transfer, keep func() error, progress func()) (Next, error) {
	r := &saving{s: s, t: t, keep: keep, progress: progress, began: time.Now()}
	if t.State.Final() {
		return Next{}, nil
	}
	client, err := s.opt.Client(ctx, t.Owner)
	if err != nil {
		return r.trouble(ctx, err)
	}
	r.client = client
	if t.Route == Upload {
		return r.awaitBytes(ctx)
	}
	t.State, t.Reason, t.Due = InProgress, "", time.Time{}
	if t.Work.UploadURL != "" && t.Work.Phase != Sending && t.Work.Phase != Verifying {
		r.dropSession(ctx) // it was begun before the transfer was cancelled
	}
	if t.Work.FindFolder {
		if next, over, err := r.findFolder(ctx); over || err != nil {
			return next, err
		}
	}
	switch t.Work.Phase {
	case Choosing:
		return r.choose(ctx)
	case Posting:
		return r.lookForPosted(ctx)
	case Polling:
		return r.poll(ctx)
	case Sending:
		return r.send(ctx)
	case Verifying:
		return r.verify(ctx)
	}
	return Next{}, fmt.Errorf("transfer: unknown phase %q", t.Work.Phase)
}

// Recall keeps the name of what was sent, or may have been, from the other transfers: the look for
// its file must not find theirs.
func (s *Saver) Recall(t *Transfer) {
	if t.Name != "" && !t.Work.PostedAt.IsZero() && !t.settled() {
		if !s.names.reserve(t.place(), t.Name, t.ID) {
			s.names.share(t.place(), t.Name)
		}
	}
}

// findFolder looks the target up that was taken unseen because OneDrive did not answer then.
func (r *saving) findFolder(ctx context.Context) (Next, bool, error) {
	item, err := r.client.Item(ctx, r.t.Folder.Ref())
	switch {
	case err != nil:
		next, err := r.trouble(ctx, err)
		return next, true, err
	case !item.IsFolder() && item.Root == nil:
		next, err := r.fail(ctx, "itemNotFound", "")
		return next, true, err
	}
	r.t.Folder, r.t.Work.FindFolder, r.t.Work.Errors = FolderOf(item), false, 0
	return Next{}, false, nil
}

// Undo moves what a completed transfer saved to the bin, unless it was changed since
// (onedrive.ErrModified) or took another file's place (ErrNotUndoable).
func (s *Saver) Undo(ctx context.Context, t Transfer) error {
	if t.State != Completed || t.Item == nil || t.Item.ETag == "" {
		return ErrNotUndoable
	}
	client, err := s.opt.Client(ctx, t.Owner)
	if err != nil {
		return err
	}
	ref := onedrive.Ref{DriveID: t.Item.DriveID, ID: t.Item.ID}
	err = client.Delete(ctx, ref, t.Item.ETag)
	if !errors.Is(err, onedrive.ErrModified) {
		return err
	}
	// Some seconds after a file was stored OneDrive's work in the background gives it another eTag, a
	// picture above all (onedrive-api-docs#308). Who has not touched name or content has not changed it.
	item, gone := client.Item(ctx, ref)
	if gone != nil {
		return gone
	}
	if sum := sumOf(item); sum == "" || sum != t.Item.Sum || item.Size != t.Item.Size || item.Name != t.Item.Name {
		return err
	}
	return client.Delete(ctx, ref, item.ETag)
}

// ErrNotUndoable means that there is nothing to undo, or that undoing would lose what was there before.
var ErrNotUndoable = errors.New("this cannot be undone")

// Peeked is what a source says about its file before it is saved.
type Peeked struct {
	Name        string
	ContentType string
	Size        *int64 // bytes; nil: unknown
	Page        bool   // a web page, not a file
}

// Peek asks a source for name, type and size; at most the first kilobytes are read. A source that gives
// nothing is a *SourceError; ErrBusy means that owner asks too many at once.
func (s *Saver) Peek(ctx context.Context, owner, sourceURL string) (Peeked, error) {
	u, err := ParseSourceURL(sourceURL)
	if err != nil {
		return Peeked{}, err
	}
	if err := s.opt.Source.Check(u); err != nil {
		return Peeked{}, err
	}
	res, head, err := s.opt.Source.probe(ctx, visit{url: u, owner: owner}, true)
	if err != nil {
		return Peeked{}, err
	}
	k := sniff(head, res.contentType)
	p := Peeked{Name: nameOf(&Transfer{Created: s.opt.Now()}, u, res, k), ContentType: k.mime, Page: k.page()}
	if res.size >= 0 {
		p.Size = &res.size
	}
	return p, nil
}

// forget drops what this process remembers of a transfer that is over.
func (s *Saver) forget(t *Transfer) {
	s.names.release(t.ID)
	s.sums.drop(t.ID)
}

// fail ends the transfer for good.
func (r *saving) fail(ctx context.Context, code, detail string) (Next, error) {
	r.dropSession(ctx)
	t := r.t
	t.State, t.Reason, t.Due = Failed, "", time.Time{}
	t.Failure = &Failure{Code: code, Detail: detail}
	t.Work.Monitor = ""
	r.s.forget(t)
	return Next{}, nil
}

// dropSession cancels the upload session, if there is one; its bytes would block the name for a day.
func (r *saving) dropSession(ctx context.Context) {
	u := r.t.Work.UploadURL
	r.t.Work.UploadURL, r.t.Work.SessionEnds, r.t.Work.SourceETag = "", time.Time{}, ""
	r.s.sums.drop(r.t.ID)
	if u == "" || r.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := r.client.CancelUpload(ctx, u); err != nil {
		r.s.opt.Log.Warn("upload session not cancelled", "transfer", r.t.ID, "err", err)
	}
}

// park puts the transfer aside; due zero means until Runner.Wake.
func (r *saving) park(reason Reason, after time.Duration) (Next, error) {
	r.t.State, r.t.Reason = Waiting, reason
	r.t.Due = time.Time{}
	if after > 0 {
		r.t.Due = r.s.opt.Now().Add(after)
	}
	return Next{After: after, Park: true}, nil
}

// parkFull waits for room: whoever makes it does so soon after the first notice, or not for long.
func (r *saving) parkFull() (Next, error) {
	r.t.Work.Full++
	return r.park(OneDriveFull, fullWait(r.t.Work.Full))
}

// fullWait is how long to wait after OneDrive was full for the n-th time.
func fullWait(n int) time.Duration {
	return min(firstFullWait<<min(max(n-1, 0), 10), lastFullWait)
}

// Waits and budgets of a transfer that meets trouble.
const (
	maxSourceErrors = 5                // in a row without progress: then the source is given up
	maxLost         = 5                // times in a row that OneDrive lost what it was sent
	maxQuickErrors  = 4                // of OneDrive in a row: then the transfer parks
	maxAge          = 48 * time.Hour   // of a transfer that has been parked offline or for a lock
	firstFullWait   = 15 * time.Second // until a full OneDrive is asked again; then twice as long each time
	lastFullWait    = 10 * time.Minute
	lockedWait      = time.Minute // at first until a locked file is tried again
)

// trouble decides what an error means for the transfer: wait, park, fail, or (unknown) the runner's own budget.
func (r *saving) trouble(ctx context.Context, err error) (Next, error) {
	var source *SourceError
	var graph *onedrive.Error
	errors.As(err, &graph)
	switch {
	case ctx.Err() != nil:
		return Next{}, ctx.Err()
	case errors.Is(err, ErrBusy):
		return Next{After: 300*time.Millisecond + rand.N(700*time.Millisecond)}, nil
	case errors.As(err, &source):
		return r.sourceTrouble(ctx, source)
	case errors.Is(err, onedrive.ErrUnauthenticated):
		return r.park(SignInRequired, 0)
	case errors.Is(err, onedrive.ErrThrottled):
		return r.throttled(graph)
	case errors.Is(err, onedrive.ErrQuota):
		r.dropSession(ctx)
		return r.parkFull()
	case errors.Is(err, onedrive.ErrLocked):
		return r.locked(ctx)
	case errors.Is(err, onedrive.ErrUnavailable):
		return r.offline(ctx, graph)
	}
	if pathTooLong(graph) && !r.t.NameGiven && !r.t.Work.Short {
		r.dropSession(ctx)
		r.t.Work.Short = true
		return Next{}, nil // again, under a shorter name
	}
	if errors.Is(err, onedrive.ErrNotFound) || errors.Is(err, onedrive.ErrModified) {
		// OneDrive's own view lags, and nothing of ours asked for a version.
		bear := 2
		if errors.Is(err, onedrive.ErrModified) {
			bear = maxQuickErrors
		}
		if r.t.Work.Errors++; r.t.Work.Errors <= bear {
			return Next{After: backoff(r.t.Work.Errors)}, nil
		}
	}
	if code := failureCode(err, graph); code != "" {
		detail := ""
		if graph != nil {
			detail = graph.RequestID
		}
		return r.fail(ctx, code, detail)
	}
	return Next{}, err
}

// pathTooLong reports that folder and name together are longer than the 400 that OneDrive takes.
func pathTooLong(e *onedrive.Error) bool {
	return e != nil && errors.Is(e, onedrive.ErrBadName) && strings.EqualFold(e.Code, "pathIsTooLong")
}

func (r *saving) sourceTrouble(ctx context.Context, e *SourceError) (Next, error) {
	detail := ""
	if e.Status > 0 {
		detail = fmt.Sprint(e.Status)
	}
	tries := maxSourceErrors
	if e.Settled && r.t.Work.Best == 0 { // else it was there a moment ago
		tries = 1
	}
	r.t.Work.Errors++
	if !e.Temporary || r.t.Work.Errors > tries {
		return r.fail(ctx, e.Code, detail)
	}
	wait := max(backoff(r.t.Work.Errors), e.RetryAfter)
	if wait > 30*time.Second {
		return r.park(Offline, wait)
	}
	return Next{After: wait}, nil
}

func (r *saving) throttled(e *onedrive.Error) (Next, error) {
	wait, throttled := firstThrottle, Unsaid
	if e != nil && e.RetryAfter > 0 {
		wait, throttled = e.RetryAfter, e.RetryAfter
	}
	r.park(Throttled, wait)
	return Next{After: wait, Throttled: throttled, Park: true}, nil
}

// locked waits for a file or a name that something else holds: the longer, the longer it took already.
func (r *saving) locked(ctx context.Context) (Next, error) {
	age := r.t.age(r.s.opt.Now())
	if age > maxAge {
		return r.fail(ctx, "resourceLocked", "")
	}
	return r.park(Locked, min(max(age/4, lockedWait), time.Hour))
}

func (r *saving) offline(ctx context.Context, e *onedrive.Error) (Next, error) {
	r.t.Work.Errors++
	n := r.t.Work.Errors
	wait := backoff(n)
	if e != nil {
		wait = max(wait, e.RetryAfter)
	}
	switch {
	case n <= maxQuickErrors:
		return Next{After: wait}, nil
	case r.t.age(r.s.opt.Now()) > maxAge:
		return r.fail(ctx, codeTimedOut, "")
	}
	return r.park(Offline, max(wait, min(10*time.Second<<(n-maxQuickErrors), 10*time.Minute)))
}

// backoff is the wait before the n-th repetition: doubling from half a second to a minute, with jitter.
func backoff(n int) time.Duration {
	full := min(500*time.Millisecond<<min(max(n-1, 0), 10), time.Minute)
	return full/2 + rand.N(full/2)
}

// failureCode is the API's code for an error of Graph that no repetition cures; "" for unknown ones.
func failureCode(err error, graph *onedrive.Error) string {
	for _, k := range []struct {
		kind error
		code string
	}{
		{onedrive.ErrNameExists, "nameAlreadyExists"},
		{onedrive.ErrNotFound, "itemNotFound"},
		{onedrive.ErrAccessDenied, "accessDenied"},
		{onedrive.ErrMalware, "malwareDetected"},
		{onedrive.ErrTooLarge, codeSourceTooLarge},
		{onedrive.ErrNoDrive, "provisioningNotAllowed"},
		{onedrive.ErrModified, "resourceModified"},
	} {
		if errors.Is(err, k.kind) {
			return k.code
		}
	}
	for _, kind := range []error{onedrive.ErrBadName, onedrive.ErrNotSupported, onedrive.ErrRefused, onedrive.ErrForeignHost} {
		if !errors.Is(err, kind) {
			continue
		}
		if graph != nil && graph.Code != "" {
			return graph.Code
		}
		if kind == onedrive.ErrBadName {
			return codeInvalidRequest
		}
		return codeInternal
	}
	return ""
}

// nameOf is the final safe name of what a source sent, unless the person gave one.
func nameOf(t *Transfer, asked *url.URL, res *resource, k kind) string {
	if t.NameGiven {
		return onedrive.SafeName(t.Name)
	}
	u := asked
	if res.redirected && extension(nameFromURL(asked)) == "" && extension(nameFromURL(res.url)) != "" {
		u = res.url
	}
	return fileName(res.disposition, u, k, t.Created)
}

func ignoreGone(err error) error {
	if errors.Is(err, onedrive.ErrNotFound) || errors.Is(err, onedrive.ErrModified) {
		return nil
	}
	return err
}
