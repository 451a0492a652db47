package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// sourceBody is a source being read. It ends what is silent, too slow or too long. Time that the
// reader spends elsewhere (OneDrive being slow) does not count against the source.
type sourceBody struct {
	ctx    context.Context // of the request that body belongs to
	body   io.ReadCloser
	limit  int64 // bytes that may still come
	opt    SourceOptions
	cancel context.CancelCauseFunc
	stop   func()
	once   sync.Once

	watchdog *time.Timer
	waited   time.Duration // in Read, since the window began
	arrived  int64         // in this window
	total    time.Duration // in Read altogether
	allowed  time.Duration
}

// newSourceBody watches over body. cancel ends the request, stop gives its place away.
func newSourceBody(ctx context.Context, body io.ReadCloser, r *resource, o SourceOptions, cancel context.CancelCauseFunc, stop func()) *sourceBody {
	b := &sourceBody{ctx: ctx, body: body, limit: o.MaxBytes - r.offset, opt: o, cancel: cancel, stop: stop, allowed: deadlineFor(r.size, o)}
	b.watchdog = time.AfterFunc(o.Idle, func() { cancel(&SourceError{Code: codeSourceTooSlow, Temporary: true}) })
	b.watchdog.Stop()
	return b
}

// deadlineFor is how long all reads of a file may take: five minutes and what its size takes at 256 KiB/s.
func deadlineFor(size int64, o SourceOptions) time.Duration {
	if size < 0 {
		size = min(o.MaxBytes, 1<<30)
	}
	return 5*time.Minute + time.Duration(size>>18)*time.Second
}

func (b *sourceBody) Read(p []byte) (int, error) {
	start := time.Now()
	b.watchdog.Reset(b.opt.Idle)
	n, err := b.body.Read(p)
	b.watchdog.Stop()
	took := time.Since(start)
	b.waited, b.total, b.arrived = b.waited+took, b.total+took, b.arrived+int64(n)
	if b.limit -= int64(n); b.limit < 0 {
		return n, &SourceError{Code: codeSourceTooLarge}
	}
	if err == io.EOF {
		return n, err
	}
	if err != nil {
		return n, brokeOff(b.ctx)
	}
	if b.total > b.allowed {
		return n, &SourceError{Code: codeSourceTooSlow}
	}
	if b.waited >= b.opt.Window {
		if b.arrived < int64(float64(b.opt.MinSpeed)*b.waited.Seconds()) {
			return n, &SourceError{Code: codeSourceTooSlow}
		}
		b.waited, b.arrived = 0, 0
	}
	return n, nil
}

// abort makes a Read that waits end soon; Close is still due.
func (b *sourceBody) abort() { b.cancel(context.Canceled) }

// Close ends the request; it is safe to call twice.
func (b *sourceBody) Close() error {
	b.once.Do(func() {
		b.watchdog.Stop()
		b.stop()
		b.body.Close()
	})
	return nil
}

// ErrBusy means that the host or the user has all the streams that they may have.
var ErrBusy = errors.New("too many streams at once")

// turnWait is how long a stream waits for a place before its transfer is put back.
const turnWait = 3 * time.Second

// turnstile lets a number of streams through for each key.
type turnstile struct {
	max int
	mu  sync.Mutex
	at  map[string]*passage
}

type passage struct {
	slots chan struct{}
	users int // in or waiting; the passage goes when nobody is
}

func newTurnstile(max int) *turnstile { return &turnstile{max: max, at: map[string]*passage{}} }

// enter takes a place under key, in the order of coming, or gives ErrBusy after a while.
func (g *turnstile) enter(ctx context.Context, key string) (leave func(), err error) {
	g.mu.Lock()
	l := g.at[key]
	if l == nil {
		l = &passage{slots: make(chan struct{}, g.max)}
		g.at[key] = l
	}
	l.users++
	g.mu.Unlock()
	done := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(g.at, key)
		}
	}
	select {
	case l.slots <- struct{}{}:
	default:
		timer := time.NewTimer(turnWait)
		defer timer.Stop()
		select {
		case l.slots <- struct{}{}:
		case <-timer.C:
			done()
			return nil, ErrBusy
		case <-ctx.Done():
			done()
			return nil, broken(ctx, ctx.Err())
		}
	}
	return sync.OnceFunc(func() { <-l.slots; done() }), nil
}
