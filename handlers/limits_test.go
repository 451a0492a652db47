package handlers_test

import (
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"skylift/handlers"
)

// stopped is a clock that stands: no bucket fills up again.
func stopped(o *handlers.Options) {
	now := time.Now()
	o.Now = func() time.Time { return now }
}

// limited wants a 429 that says when to come back.
func (a answer) limited() {
	a.t.Helper()
	a.want(http.StatusTooManyRequests)
	if wait, err := strconv.Atoi(a.header("Retry-After")); err != nil || wait < 1 {
		a.t.Errorf("%s: Retry-After %q", a.what, a.header("Retry-After"))
	}
}

// Whoever shows wrong keys and cookies, or asks for what is not there, is stopped before the store is
// asked. Others behind the same address who are signed in go on.
func TestStrangersAreLimited(t *testing.T) {
	for name, try := range map[string]func(b *browser, i int) answer{
		"wrong keys": func(b *browser, i int) answer {
			return b.do("GET", "/api/v1/me", "", http.Header{"Authorization": {"Bearer skl_" + pad(i)}})
		},
		"wrong cookies": func(b *browser, i int) answer {
			return b.do("GET", "/settings", "", http.Header{"Cookie": {"skylift=" + pad(i)}})
		},
		"wrong cookies on a page for everybody": func(b *browser, i int) answer {
			return b.do("GET", "/", "", http.Header{"Cookie": {"skylift=" + pad(i)}})
		},
		"wrong bearers of a panel": func(b *browser, i int) answer {
			return b.do("GET", "/panel", "", http.Header{"Authorization": {"Bearer skp_" + pad(i)}})
		},
		"nothing at all": func(b *browser, i int) answer { return b.get("/settings") },
		"unknown paths":  func(b *browser, i int) answer { return b.get("/wp-admin/" + strconv.Itoa(i)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, stopped, func(o *handlers.Options) { o.Limits.Strangers = handlers.Limit{PerSecond: 1, Burst: 4} })
			neighbour, evil := s.signIn(robin), s.browser()
			neighbour.get("/settings").want(200)
			for i := range 4 {
				if got := try(evil, i); got.status == http.StatusTooManyRequests {
					t.Fatalf("try %d is refused already", i)
				}
			}
			try(evil, 4).limited()
			neighbour.get("/settings").want(200)
			s.signIn(kim).get("/settings").want(200)
			evil.get("/").want(200) // as anybody without a cookie
			evil.get("/healthz").want(200)
		})
	}
}

// pad makes what has the form of a key or a session's id.
func pad(i int) string {
	return "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" + strconv.Itoa(1000 + i)[0:3] + string("AEIMQUYcgk"[i])
}

// Each key has a share of its own, and all keys of one person have one together.
func TestManyKeysAreOnePerson(t *testing.T) {
	s := setup(t, stopped, func(o *handlers.Options) { o.Limits.General = handlers.Limit{PerSecond: 1, Burst: 5} })
	b := s.signIn(robin) // one request of the first session
	var keys []*browser
	for range 4 {
		k := s.browser()
		k.key = b.makeKey()
		keys = append(keys, k)
	}
	served := 4 // those that made the keys
	for _, k := range keys {
		for range 6 {
			if got := k.get("/api/v1/transfers"); got.status == http.StatusOK {
				served++
			} else {
				got.limited()
			}
		}
	}
	if served != 15 {
		t.Errorf("%d requests of one person with four keys were served, want 15: three times what one key has", served)
	}
	s.signIn(kim).get("/transfers").want(200)
}

// The limits leave honest use alone: a script that saves a thousand addresses one by one, a class
// that signs in from one address.
func TestHonestHurryIsServed(t *testing.T) {
	s := setup(t, stopped)
	b := s.signIn(robin)
	b.key = b.makeKey()
	for range 1100 {
		b.get("/api/v1/transfers?top=1").want(200)
	}
	for range 30 {
		s.signIn(kim)
	}
}

// One subscriber gets a whole /64 of IPv6, and is one.
func TestAddressesOfOneSubscriberAreOne(t *testing.T) {
	for name, c := range map[string]struct {
		first, second string
		same          bool
	}{
		"the same IPv4 address":    {"198.51.100.7", "198.51.100.7", true},
		"two IPv4 addresses":       {"198.51.100.7", "198.51.100.8", false},
		"two of one IPv6 network":  {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		"two IPv6 networks":        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		"IPv4 written as IPv6":     {"::ffff:198.51.100.7", "198.51.100.7", true},
		"two IPv4 written as IPv6": {"::ffff:198.51.100.7", "::ffff:198.51.100.8", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, stopped, func(o *handlers.Options) {
				o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
				o.Limits.SignIn = handlers.Limit{PerSecond: 1, Burst: 1}
			})
			b := s.browser()
			b.do("GET", "/auth/login", "", http.Header{"X-Forwarded-For": {c.first}}).want(303)
			got := b.do("GET", "/auth/login", "", http.Header{"X-Forwarded-For": {c.second}})
			if same := got.status == http.StatusTooManyRequests; same != c.same {
				t.Errorf("%s after %s: %d", c.second, c.first, got.status)
			}
		})
	}
}
