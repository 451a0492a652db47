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
)

// Limit is how often something may be asked for: so many a second, and so many at once.
type Limit struct {
	PerSecond float64
	Burst     int
}

// Limits are how often one user, or one address that is not signed in, may ask.
type Limits struct {
	General Limit // everything; default 50 a second, 300 at once
	SignIn  Limit // starting and ending a sign-in, exchanging codes; default 1 a second, 30 at once

	Body time.Duration // how long the body of a request may take to arrive; default a minute
}

// bucket is which of the limits counts for a route.
type bucket int

const (
	general bucket = iota
	signIn
	unlimited // health checks and files
)

const (
	bucketsKept = 10_000          // keys remembered before idle ones are dropped
	bucketIdle  = 5 * time.Minute // a key not seen for so long starts afresh
)

// limiters counts requests by user, or by address for who is not signed in.
type limiters struct {
	limits map[bucket]Limit
	body   time.Duration

	mu   sync.Mutex
	keys map[string]*limiter
}

type limiter struct {
	*rate.Limiter
	seen time.Time
}

func newLimiters(l Limits) *limiters {
	if l.General == (Limit{}) {
		l.General = Limit{50, 300}
	}
	if l.SignIn == (Limit{}) {
		l.SignIn = Limit{1, 30}
	}
	if l.Body == 0 {
		l.Body = time.Minute
	}
	return &limiters{
		body:   l.Body,
		limits: map[bucket]Limit{general: l.General, signIn: l.SignIn},
		keys:   map[string]*limiter{},
	}
}

// allow takes one from the key's bucket, or says how long to wait.
func (l *limiters) allow(b bucket, key string, now time.Time) (time.Duration, bool) {
	limit, ok := l.limits[b]
	if !ok {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id := strconv.Itoa(int(b)) + " " + key
	k := l.keys[id]
	if k == nil {
		l.sweep(now)
		k = &limiter{Limiter: rate.NewLimiter(rate.Limit(limit.PerSecond), limit.Burst)}
		l.keys[id] = k
	}
	k.seen = now
	if k.AllowN(now, 1) {
		return 0, true
	}
	return time.Duration(float64(time.Second) / limit.PerSecond), false
}

// sweep forgets keys that have been idle, once there are many.
func (l *limiters) sweep(now time.Time) {
	if len(l.keys) < bucketsKept {
		return
	}
	for id, k := range l.keys {
		if now.Sub(k.seen) > bucketIdle {
			delete(l.keys, id)
		}
	}
}

// rateError is an answer of 429 with the time to wait.
type rateError struct{ wait time.Duration }

func (rateError) Error() string { return "handlers: too many requests" }

// limitRate counts the request for its user, else for its address.
func (h *Handler) limitRate(r route, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		key := "ip " + addressGroup(c.RealIP())
		if u, ok := user(c); ok {
			key = "user " + u.ID
		}
		if d, ok := device(c); ok { // each device by itself: a script that hurries holds up no browser
			key = "device " + d.ID
		}
		if wait, ok := h.limits.allow(r.bucket, key, h.now()); !ok {
			return rateError{wait}
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
