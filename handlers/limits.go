package handlers

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"skylift/auth"
)

// Limit is how often something may be asked for: so many a second, and so many at once.
type Limit struct {
	PerSecond float64
	Burst     int
}

// Limits are how often one session or device, or one address that is not signed in, may ask. A user
// with all of theirs may ask userShare times as often.
type Limits struct {
	General   Limit // everything; default 50 a second, 2,000 at once: a script saves a thousand addresses one by one
	SignIn    Limit // starting and ending a sign-in, exchanging codes; default 4 a second, 120 at once: a class behind one address
	Strangers Limit // for an address, what nobody good sends: wrong keys and cookies, unknown paths; default 10 a second, 300 at once

	Body time.Duration // how long the body of a request may take to arrive; default a minute
}

// userShare is how many sessions and devices of one user may hurry at once.
const userShare = 3

// bucket is which of the limits counts for a route.
type bucket int

const (
	general bucket = iota
	signIn
	unlimited // health checks and files
	userWide  // general, for a user with all sessions and devices
	exports   // of a whole history, each of which costs as much as hundreds of its pages
	strangers
)

const (
	bucketsKept = 20_000          // keys remembered, whoever asks
	bucketIdle  = 5 * time.Minute // a key not seen for so long starts afresh
	sweepEvery  = time.Second
)

// limiters counts requests by session and device, or by address for who is not signed in.
type limiters struct {
	limits map[bucket]Limit
	body   time.Duration

	mu    sync.Mutex
	keys  map[string]*limiter
	swept time.Time
}

// limiter is what is remembered of a key: its bucket, or that it was good.
type limiter struct {
	rate *rate.Limiter
	seen time.Time
}

func newLimiters(l Limits) *limiters {
	if l.General == (Limit{}) {
		l.General = Limit{50, 2000}
	}
	if l.SignIn == (Limit{}) {
		l.SignIn = Limit{4, 120}
	}
	if l.Strangers == (Limit{}) {
		l.Strangers = Limit{10, 300}
	}
	if l.Body == 0 {
		l.Body = time.Minute
	}
	all := Limit{userShare * l.General.PerSecond, userShare * l.General.Burst}
	return &limiters{
		body:   l.Body,
		limits: map[bucket]Limit{general: l.General, signIn: l.SignIn, userWide: all, strangers: l.Strangers, exports: {0.5, 20}},
		keys:   map[string]*limiter{},
	}
}

// allow takes one from the key's bucket, or says how long to wait.
func (l *limiters) allow(b bucket, key string, now time.Time) (time.Duration, bool) {
	return l.ask(b, key, now, func(r *rate.Limiter) bool { return r.AllowN(now, 1) })
}

// left is allow without taking one.
func (l *limiters) left(b bucket, key string, now time.Time) (time.Duration, bool) {
	return l.ask(b, key, now, func(r *rate.Limiter) bool { return r.TokensAt(now) >= 1 })
}

func (l *limiters) ask(b bucket, key string, now time.Time, may func(*rate.Limiter) bool) (time.Duration, bool) {
	limit, ok := l.limits[b]
	if !ok {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.keep(strconv.Itoa(int(b))+" "+key, now)
	if k.rate == nil {
		k.rate = rate.NewLimiter(rate.Limit(limit.PerSecond), limit.Burst)
	}
	if may(k.rate) {
		return 0, true
	}
	return time.Duration(float64(time.Second) / limit.PerSecond), false
}

// know remembers that a key or cookie was good; known tells it. mark is not the key itself.
func (l *limiters) know(mark string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep("known "+mark, now)
}

func (l *limiters) known(mark string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.keys["known "+mark]
	return k != nil && now.Sub(k.seen) <= bucketIdle
}

// keep finds what is remembered of a key, or begins it.
func (l *limiters) keep(id string, now time.Time) *limiter {
	k := l.keys[id]
	if k == nil {
		l.makeRoom(now)
		k = &limiter{}
		l.keys[id] = k
	}
	k.seen = now
	return k
}

// makeRoom forgets keys that have been idle, once there are many, and any one where that is not
// enough: to be forgotten is to start afresh.
func (l *limiters) makeRoom(now time.Time) {
	if len(l.keys) < bucketsKept {
		return
	}
	if now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		for id, k := range l.keys {
			if now.Sub(k.seen) > bucketIdle {
				delete(l.keys, id)
			}
		}
	}
	for id := range l.keys {
		if len(l.keys) < bucketsKept {
			return
		}
		delete(l.keys, id)
	}
}

// rateError is an answer of 429 with the time to wait.
type rateError struct{ wait time.Duration }

func (rateError) Error() string { return "handlers: too many requests" }

// limitRate counts the request for its session or device and for its user, else for its address.
func (h *Handler) limitRate(r route, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		b, key, now := r.bucket, askedFrom(c), h.now()
		if u, ok := user(c); ok {
			key = "user " + u.ID
			if b == general { // each by itself: a script that hurries holds up no browser
				if wait, ok := h.limits.allow(general, holder(c), now); !ok {
					return rateError{wait}
				}
				b = userWide
			}
		}
		if wait, ok := h.limits.allow(b, key, now); !ok {
			return rateError{wait}
		}
		return next(c)
	}
}

// askedFrom is the address that asks, as a key.
func askedFrom(c echo.Context) string { return "ip " + addressGroup(c.RealIP()) }

// admit finds out who makes the request. To ask the store costs something: an address that has
// shown too many wrong keys and cookies is refused before that, unless it shows one that was good a
// while ago.
func (h *Handler) admit(c echo.Context, r route) error {
	shown, now := h.shown(c.Request(), r), h.now()
	counts := shown != "" || r.access == signedIn || r.access == apiUser
	if counts && !h.limits.known(shown, now) {
		if wait, ok := h.limits.left(strangers, askedFrom(c), now); !ok {
			return rateError{wait}
		}
	}
	err := h.identify(c, r)
	if _, ok := user(c); ok {
		h.limits.know(shown, now)
	} else if counts && (err == nil || errors.Is(err, errSignedOut)) {
		h.limits.allow(strangers, askedFrom(c), now)
	}
	return err
}

// shown stands for the key or cookies by which a request to a route could be somebody's.
func (h *Handler) shown(req *http.Request, r route) string {
	key, ok := bearer(req)
	switch {
	case r.access == apiPublic:
		return ""
	case ok:
		return auth.Mark(key)
	case !h.cookiesCount(req, r):
		return ""
	}
	if cookie, err := req.Cookie(h.o.Sessions.Name()); err == nil {
		key = cookie.Value
	}
	if r.panel {
		if cookie, err := req.Cookie(h.o.Panels.Name()); err == nil {
			key += " " + cookie.Value
		}
	}
	if key == "" {
		return ""
	}
	return auth.Mark(key)
}

// limitUnknown counts requests for paths that are no route's, and finds out who asks: the page that there is
// no such one offers nobody to sign in who is.
func (h *Handler) limitUnknown(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() != "" {
			return next(c)
		}
		if wait, ok := h.limits.allow(strangers, askedFrom(c), h.now()); !ok {
			return rateError{wait}
		}
		if err := h.admit(c, route{access: public}); err != nil && !errors.Is(err, errSignedOut) {
			return err
		}
		return next(c)
	}
}

// addressGroup is who an address belongs to: one IPv4 address, or one IPv6 network of /64,
// which a single subscriber gets whole.
func addressGroup(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	a = a.Unmap()
	if a.Is4() {
		return a.String()
	}
	p, _ := a.WithZone("").Prefix(64)
	return p.String()
}

// ipExtractor says who asks: the address of the connection, or what the trusted proxies say.
// Without trusted proxies X-Forwarded-For is believed from nobody.
func ipExtractor(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		if _, n, err := net.ParseCIDR(p.Masked().String()); err == nil {
			options = append(options, echo.TrustIPRange(n))
		}
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// hurry gives the body of a request an end in time, whether a handler reads it or net/http throws
// it away. apiContent, whose bodies may be large, moves the end on with each piece that comes.
func (h *Handler) hurry(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	// A test's recorder has no deadlines. Once the body has come net/http takes this one away.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.limits.body))
}

// lingerFor is how large a body may be that is read to its end although the request is refused.
const lingerFor = 16 << 20

// linger reads on what a refused request still sends: most clients look at the answer only afterwards, and
// would find the connection gone instead. One that asks first, by Expect, is answered at once. hurry ends it.
func linger(r *http.Request) {
	if r.ContentLength > 0 && r.ContentLength <= lingerFor && r.Header.Get("Expect") == "" {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// limitBody bounds what a request may send.
func limitBody(r route, next echo.HandlerFunc) echo.HandlerFunc {
	limit := r.body
	if limit == 0 {
		limit = smallBody
	}
	return func(c echo.Context) error {
		if limit > 0 {
			req := c.Request()
			if req.ContentLength > limit {
				return errTooLarge
			}
			req.Body = http.MaxBytesReader(c.Response(), req.Body, limit)
		}
		return next(c)
	}
}

var errTooLarge = errors.New("handlers: the request is too large")
