package auth

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func openPendings(t testing.TB, js jetstream.JetStream, k *Keyring, now func() time.Time, secure bool) *Pendings {
	t.Helper()
	p, err := OpenPendings(t.Context(), js, 1, k, PendingOptions{Secure: secure, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// browser is a cookie jar of one site; httptest's requests bring its cookies.
type browser struct{ cookies []*http.Cookie }

func (b *browser) request(target string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	for _, cookie := range b.cookies {
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	return r
}

func (b *browser) take(w *httptest.ResponseRecorder) {
	for _, cookie := range w.Result().Cookies() {
		b.cookies = slices.DeleteFunc(slices.Clone(b.cookies), func(c *http.Cookie) bool { return c.Name == cookie.Name })
		if cookie.MaxAge >= 0 {
			b.cookies = append(b.cookies, cookie)
		}
	}
}

func (b *browser) begin(t testing.TB, p *Pendings, provider *Provider) Pending {
	t.Helper()
	_, pending := provider.Begin(BeginOptions{Return: "/settings", Purpose: "panel", Challenge: "c"})
	w := httptest.NewRecorder()
	if err := p.Put(w, b.request("/auth/login"), pending); err != nil {
		t.Fatal(err)
	}
	b.take(w)
	return pending
}

func (b *browser) callback(p *Pendings, state string) (Pending, error) {
	w := httptest.NewRecorder()
	r := b.request("/auth/callback?code=x&state=" + url.QueryEscape(state))
	pending, err := p.Take(w, r, r.URL.Query())
	b.take(w)
	return pending, err
}

func TestPendingComesBackOnce(t *testing.T) {
	c := newClock()
	p := openPendings(t, oneNATS(t), testKeyring(t), c.Now, true)
	provider := NewProvider(Config{ClientID: clientID, Now: c.Now})
	var b browser
	want := b.begin(t, p, provider)
	if len(b.cookies) != 1 {
		t.Fatalf("%d cookies", len(b.cookies))
	}
	cookie := b.cookies[0]
	if !strings.HasPrefix(cookie.Name, "__Host-skylift-signin-") || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
		t.Errorf("cookie %v", cookie)
	}
	opened, _ := base64.RawURLEncoding.DecodeString(cookie.Value)
	for _, secret := range []string{want.State, want.Nonce, want.Verifier} {
		if strings.Contains(cookie.Value, secret) || strings.Contains(string(opened), secret) {
			t.Error("the cookie shows a secret")
		}
	}
	got, err := b.callback(p, want.State)
	if err != nil || !got.Expires.Equal(want.Expires) || got.State != want.State || got.Nonce != want.Nonce || got.Verifier != want.Verifier || got.Return != "/settings" || got.Purpose != "panel" || got.Challenge != "c" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(b.cookies) != 0 {
		t.Error("the cookie stays")
	}
	if _, err := b.callback(p, want.State); kindOf(err) != Replayed {
		t.Errorf("a reload: %v", err)
	}
	b.cookies = append(b.cookies, cookie)
	if _, err := b.callback(p, want.State); kindOf(err) != Replayed {
		t.Errorf("a reload with the old cookie: %v", err)
	}
}

func TestLoginCSRF(t *testing.T) {
	c := newClock()
	js := oneNATS(t)
	p := openPendings(t, js, testKeyring(t), c.Now, false)
	stranger := openPendings(t, js, testKeyring(t), c.Now, false)
	provider := NewProvider(Config{ClientID: clientID, Now: c.Now})
	var victim, attacker browser
	own, lure := victim.begin(t, p, provider), attacker.begin(t, p, provider)
	planted := browser{[]*http.Cookie{{Name: attacker.cookies[0].Name, Value: victim.cookies[0].Value}}}
	swapped := browser{[]*http.Cookie{{Name: victim.cookies[0].Name, Value: attacker.cookies[0].Value}}}
	foreign := browser{[]*http.Cookie{{Name: victim.cookies[0].Name, Value: func() string { v, _ := stranger.seal(own); return v }()}}}
	for _, row := range []struct {
		name  string
		b     browser
		state string
	}{
		{"no cookie at all", browser{}, lure.State},
		{"the attacker's answer in the victim's browser", victim, lure.State},
		{"the victim's cookie under the attacker's name", planted, lure.State},
		{"the attacker's cookie under the victim's name", swapped, own.State},
		{"a cookie that another key sealed", foreign, own.State},
		{"no state", victim, ""},
		{"a state that is a path", victim, "../../x"},
		{"a state that is a wildcard", victim, ">"},
	} {
		if got, err := row.b.callback(p, row.state); kindOf(err) != WrongState || got != (Pending{}) {
			t.Errorf("%s: got %+v, %v", row.name, got, err)
		}
	}
	c.Advance(PendingLife + time.Second)
	if _, err := victim.callback(p, own.State); kindOf(err) != Expired {
		t.Errorf("after the time: %v", err)
	}
}

func TestSwappedNonceIsRefusedByTheIDToken(t *testing.T) {
	h := newLoginHost(t, "common")
	address, pending := h.provider.Begin(BeginOptions{})
	_, other := h.provider.Begin(BeginOptions{})
	h.set(func() {
		h.idToken = sign(t, h.key, "RS256", "k1", h.goodClaims(mustParse(t, address).Query().Get("nonce")))
	})
	pending.Nonce = other.Nonce
	_, _, err := h.provider.Finish(t.Context(), pending, url.Values{"code": {"x"}, "state": {pending.State}})
	if kindOf(err) != Untrusted {
		t.Errorf("got %v", err)
	}
}

func TestTwoTabsDoNotSpoilEachOther(t *testing.T) {
	c := newClock()
	p := openPendings(t, oneNATS(t), testKeyring(t), c.Now, false)
	provider := NewProvider(Config{ClientID: clientID, Now: c.Now})
	var b browser
	first, second := b.begin(t, p, provider), b.begin(t, p, provider)
	for _, pending := range []Pending{second, first} {
		if _, err := b.callback(p, pending.State); err != nil {
			t.Errorf("got %v", err)
		}
	}
	var last Pending
	for range 20 {
		last = b.begin(t, p, provider)
	}
	if len(b.cookies) > maxPending {
		t.Errorf("%d cookies pile up", len(b.cookies))
	}
	if _, err := b.callback(p, last.State); err != nil {
		t.Errorf("the latest: %v", err)
	}
}

func TestOneOfHundredCallbacksWins(t *testing.T) {
	c := newClock()
	k := testKeyring(t)
	handles := startNATS(t, t.TempDir(), 3)
	stores := []*Pendings{openPendings(t, handles[0], k, c.Now, true), openPendings(t, handles[1], k, c.Now, true), openPendings(t, handles[2], k, c.Now, true)}
	var b browser
	pending := b.begin(t, stores[0], NewProvider(Config{ClientID: clientID, Now: c.Now}))
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			mine := browser{b.cookies}
			_, err := mine.callback(stores[i%3], pending.State)
			switch {
			case err == nil:
				won.Add(1)
			case kindOf(err) != Replayed:
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 100 won", won.Load())
	}
}

// TestStartsStoreNothing is a flood of sign-ins that nobody finishes: neither the store nor the
// heap may grow with it. A million in the long run, ten thousand with -short.
func TestStartsStoreNothing(t *testing.T) {
	starts := 1_000_000
	if testing.Short() || raceEnabled {
		starts = 10_000
	}
	js := oneNATS(t)
	p := openPendings(t, js, testKeyring(t), time.Now, true)
	provider := NewProvider(Config{ClientID: clientID})
	before := heap()
	for range starts {
		_, pending := provider.Begin(BeginOptions{Return: "/"})
		if _, err := p.seal(pending); err != nil {
			t.Fatal(err)
		}
	}
	var b browser
	for range 100 { // junk answers store nothing either
		if _, err := b.callback(p, randomToken("")); kindOf(err) != WrongState {
			t.Fatal(err)
		}
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	stream, err := js.Stream(t.Context(), "KV_states")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("the store holds %d, %v", info.State.Msgs, err)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func FuzzPendingCookie(f *testing.F) {
	p := &Pendings{keyring: testKeyring(f), options: PendingOptions{Name: "x", Now: time.Now}}
	state := randomToken("")
	good, _ := p.seal(Pending{State: state})
	f.Add(good, state)
	f.Add("", "")
	f.Add("AQ", state)
	f.Fuzz(func(t *testing.T, value, s string) {
		pending, err := p.open(value, s)
		if err == nil && (value != good || s != state || pending.State != state) {
			t.Errorf("opened %q for %q", value, s)
		}
		if err != nil && !errors.Is(err, ErrSealed) {
			t.Errorf("got %v", err)
		}
	})
}
