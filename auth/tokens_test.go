package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/oauth2"
)

// microsoft is a token endpoint in memory: strict, so that the refresh token before last is dead,
// and whoever loses a rotated one is found out.
type microsoft struct {
	now func() time.Time

	mu      sync.Mutex // guards all below
	current string     // the one good refresh token
	serial  int
	calls   int
	err     error         // given instead of tokens
	lenient bool          // old refresh tokens stay good, as Microsoft documents
	gate    chan struct{} // when set, each refresh waits for it
	before  func()        // runs inside each refresh
	issued  []string
}

func (m *microsoft) token() *oauth2.Token {
	m.serial++
	m.current = fmt.Sprint("marked-refresh-", m.serial)
	access := fmt.Sprint("marked-access-", m.serial)
	m.issued = append(m.issued, access)
	return &oauth2.Token{AccessToken: access, RefreshToken: m.current, Expiry: m.now().Add(time.Hour)}
}

func (m *microsoft) signIn() *oauth2.Token {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token()
}

func (m *microsoft) Refresh(ctx context.Context, refresh string) (*oauth2.Token, error) {
	m.mu.Lock()
	gate, before := m.gate, m.before
	m.calls++
	m.mu.Unlock()
	if before != nil {
		before()
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	if refresh != m.current && !m.lenient {
		return nil, fmt.Errorf("%w: an old refresh token was shown", ErrSignInRequired)
	}
	return m.token(), nil
}

func (m *microsoft) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

func (m *microsoft) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func openTokens(t testing.TB, js jetstream.JetStream, k *Keyring, r Refresher, now func() time.Time) *Tokens {
	t.Helper()
	tokens, err := OpenTokens(t.Context(), js, 1, k, r)
	if err != nil {
		t.Fatal(err)
	}
	tokens.Now = now
	return tokens
}

// oneAccount is robin signed in at one instance.
func oneAccount(t testing.TB) (*Tokens, *microsoft, *clock) {
	t.Helper()
	c := newClock()
	m := &microsoft{now: c.Now}
	tokens := openTokens(t, oneNATS(t), testKeyring(t), m, c.Now)
	if err := tokens.Put(t.Context(), robin.ID, m.signIn()); err != nil {
		t.Fatal(err)
	}
	return tokens, m, c
}

func TestAccessFromSignInToRevocation(t *testing.T) {
	tokens, m, c := oneAccount(t)
	want := func(stale, access string, calls int) {
		t.Helper()
		got, err := tokens.Access(t.Context(), robin.ID, stale)
		if err != nil || got != access || m.count() != calls {
			t.Fatalf("got %q, %v after %d refreshes; want %q after %d", got, err, m.count(), access, calls)
		}
	}
	want("", "marked-access-1", 0)
	c.Advance(54 * time.Minute)
	want("", "marked-access-1", 0)
	c.Advance(2 * time.Minute) // less than five minutes are left
	want("", "marked-access-2", 1)
	want("", "marked-access-2", 1)
	want("marked-access-1", "marked-access-2", 1) // an old one was refused: we have a newer one already
	want("marked-access-2", "marked-access-3", 2) // Graph refused it before its time
	c.Advance(24 * time.Hour)
	want("", "marked-access-4", 3)

	m.set(func() { m.err = ErrTemporary })
	c.Advance(time.Hour)
	if _, err := tokens.Access(t.Context(), robin.ID, ""); !errors.Is(err, ErrTemporary) {
		t.Errorf("login host away: %v", err)
	}
	m.set(func() { m.err = ErrMisconfigured })
	if _, err := tokens.Access(t.Context(), robin.ID, ""); !errors.Is(err, ErrMisconfigured) {
		t.Errorf("secret has run out: %v", err)
	}
	m.set(func() { m.err = nil })
	want("", "marked-access-5", 6)

	m.set(func() { m.err = fmt.Errorf("revoked: %w", ErrSignInRequired) })
	for range 3 {
		if _, err := tokens.Access(t.Context(), robin.ID, "marked-access-5"); !errors.Is(err, ErrSignInRequired) {
			t.Errorf("revoked: %v", err)
		}
	}
	if m.count() != 7 {
		t.Errorf("a revoked grant was tried %d times", m.count()-6)
	}
	if _, _, err := tokens.bucket.get(t.Context(), "t."+robin.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked tokens are kept: %v", err)
	}
	m.set(func() { m.err = nil })
	if err := tokens.Put(t.Context(), robin.ID, m.signIn()); err != nil {
		t.Fatal(err)
	}
	want("", "marked-access-6", 7)
}

func TestAccessOfNobody(t *testing.T) {
	tokens, _, _ := oneAccount(t)
	for _, id := range []string{alex.ID, "", ">", "u.*", strings.Repeat("a", 27)} {
		if _, err := tokens.Access(t.Context(), id, ""); !errors.Is(err, ErrSignInRequired) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestForgetReachesOtherInstances(t *testing.T) {
	c := newClock()
	m := &microsoft{now: c.Now}
	handles := startNATS(t, t.TempDir(), 2)
	k := testKeyring(t)
	here, there := openTokens(t, handles[0], k, m, c.Now), openTokens(t, handles[1], k, m, c.Now)
	if err := here.Put(t.Context(), robin.ID, m.signIn()); err != nil {
		t.Fatal(err)
	}
	if _, err := there.Access(t.Context(), robin.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := here.Forget(t.Context(), robin.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Access(t.Context(), robin.ID, ""); !errors.Is(err, ErrSignInRequired) {
		t.Errorf("here: %v", err)
	}
	c.Advance(cacheLife)
	if _, err := there.Access(t.Context(), robin.ID, ""); !errors.Is(err, ErrSignInRequired) {
		t.Errorf("there, after %v: %v", cacheLife, err)
	}
}

// TestRefreshStorm is 200 transfers of one account that find their token expired, spread over
// three instances that know of each other only by the store.
func TestRefreshStorm(t *testing.T) {
	c := newClock()
	m := &microsoft{now: c.Now}
	k := testKeyring(t)
	var instances []*Tokens
	for _, js := range startNATS(t, t.TempDir(), 3) {
		instances = append(instances, openTokens(t, js, k, m, c.Now))
	}
	if err := instances[0].Put(t.Context(), robin.ID, m.signIn()); err != nil {
		t.Fatal(err)
	}
	stale := "marked-access-1"
	for round := range 5 {
		storm := "expired"
		if round%2 == 1 {
			storm = "refused"
		} else {
			c.Advance(time.Hour)
		}
		var all sync.WaitGroup
		got := make([]string, 200)
		start := make(chan struct{})
		for i := range got {
			all.Go(func() {
				<-start
				refused := ""
				if storm == "refused" {
					refused = stale
				}
				var err error
				if got[i], err = instances[i%3].Access(t.Context(), robin.ID, refused); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		if m.count() != round+1 {
			t.Fatalf("%s, round %d: %d refreshes for one expired token", storm, round, m.count()-round)
		}
		want := m.issued[len(m.issued)-1]
		if slices.ContainsFunc(got, func(s string) bool { return s != want }) {
			t.Errorf("round %d: somebody got an old token", round)
		}
		record, _, err := instances[2].load(t.Context(), robin.ID)
		if err != nil || record.Refresh != m.current || record.Access != want {
			t.Errorf("round %d: the store does not hold the newest: %v", round, err)
		}
		stale = want
	}
	if leases, _ := instances[0].bucket.list(t.Context(), "l.*"); len(leases) != 0 {
		t.Errorf("%d leases stay", len(leases))
	}
}

func TestNewRefreshTokenIsStoredBeforeTheAccessTokenIsUsed(t *testing.T) {
	tokens, m, c := oneAccount(t)
	c.Advance(time.Hour)
	// Somebody writes the record between our read and our write: the store refuses ours.
	m.set(func() {
		m.lenient = true
		m.before = func() {
			m.set(func() { m.before = nil })
			record, revision, err := tokens.load(t.Context(), robin.ID)
			if err != nil {
				t.Error(err)
			}
			signedIn := recordOf(m.signIn(), "")
			record.Access, record.Refresh, record.Expires = signedIn.Access, signedIn.Refresh, signedIn.Expires
			if _, err := tokens.save(t.Context(), robin.ID, record, revision); err != nil {
				t.Error(err)
			}
		}
	})
	access, err := tokens.Access(t.Context(), robin.ID, "")
	record, _, _ := tokens.load(t.Context(), robin.ID)
	if err != nil || access != record.Access || access != "marked-access-2" {
		t.Errorf("got %q while the store holds %q, %v", access, record.Access, err)
	}
}

func TestSignInDuringAFailingRefreshKeepsTheNewTokens(t *testing.T) {
	tokens, m, c := oneAccount(t)
	c.Advance(time.Hour)
	m.set(func() {
		m.before = func() { // the grant is dead, and the person signs in at this very moment
			m.set(func() { m.before = nil })
			if err := tokens.Put(t.Context(), robin.ID, m.signIn()); err != nil {
				t.Error(err)
			}
		}
	})
	if access, err := tokens.Access(t.Context(), robin.ID, ""); err != nil || access != "marked-access-2" {
		t.Errorf("got %q, %v", access, err)
	}
}

func TestOneWhoLeavesStopsNobody(t *testing.T) {
	tokens, m, c := oneAccount(t)
	c.Advance(time.Hour)
	entered, gate := make(chan struct{}), make(chan struct{})
	m.set(func() { m.gate, m.before = gate, sync.OnceFunc(func() { close(entered) }) })
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := tokens.Access(ctx, robin.ID, "")
		first <- err
	}()
	<-entered
	second := make(chan string, 1)
	go func() {
		access, _ := tokens.Access(t.Context(), robin.ID, "")
		second <- access
	}()
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(gate)
	if access := <-second; access != "marked-access-2" || m.count() != 1 {
		t.Errorf("who stayed got %q after %d refreshes", access, m.count())
	}
}

func TestLeaseOfADeadInstanceEnds(t *testing.T) {
	tokens, m, c := oneAccount(t)
	c.Advance(time.Hour)
	// An instance took the lease and died: nothing but time gives it back.
	if _, err := tokens.bucket.create(t.Context(), "l."+robin.ID, []byte{1}, time.Second); err != nil {
		t.Fatal(err)
	}
	access, err := tokens.Access(t.Context(), robin.ID, "")
	if err != nil || access != "marked-access-2" || m.count() != 1 {
		t.Errorf("got %q, %v", access, err)
	}
	if ttl := func() time.Duration {
		if _, err := tokens.bucket.create(t.Context(), "l."+alex.ID, []byte{1}, leaseLife); err != nil {
			t.Fatal(err)
		}
		return timeToLive(t, tokens.bucket, "l."+alex.ID)
	}(); ttl != leaseLife {
		t.Errorf("a lease lives %v", ttl)
	}
}

func TestMissingRefreshTokenKeepsTheOldOne(t *testing.T) {
	record := recordOf(&oauth2.Token{AccessToken: "a"}, "old")
	if record.Refresh != "old" {
		t.Errorf("got %q", record.Refresh)
	}
}

func TestWrongKeysAreAnErrorAtTheStart(t *testing.T) {
	js := oneNATS(t)
	oldKey, newKey := NewKey(), NewKey()
	ring := func(keys ...string) *Keyring {
		k, err := OpenKeyring(strings.Join(keys, ","))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	m := &microsoft{now: time.Now}
	first := openTokens(t, js, ring(oldKey), m, time.Now)
	for _, user := range []User{robin, alex} {
		if err := first.Put(t.Context(), user.ID, m.signIn()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenTokens(t.Context(), js, 1, ring(newKey), m); !errors.Is(err, ErrWrongKeys) {
		t.Fatalf("another key: %v", err)
	}
	both := openTokens(t, js, ring(newKey, oldKey), m, time.Now)
	broken := errors.New("broken")
	others := func(context.Context) (int, error) { return 3, broken }
	if n, err := both.Reseal(t.Context(), others); n != 5 || !errors.Is(err, broken) {
		t.Fatalf("sealed again, but not what others have: %d, %v", n, err)
	}
	if _, err := OpenTokens(t.Context(), js, 1, ring(newKey), m); !errors.Is(err, ErrWrongKeys) {
		t.Errorf("the new key alone, while others need the old one: %v", err)
	}
	broken = nil
	if n, err := both.Reseal(t.Context(), others); n != 3 || err != nil {
		t.Errorf("sealed again: %d, %v", n, err)
	}
	if _, err := OpenTokens(t.Context(), js, 1, ring(oldKey), m); !errors.Is(err, ErrWrongKeys) {
		t.Errorf("the old key alone: %v", err)
	}
	alone := openTokens(t, js, ring(newKey), m, time.Now)
	if access, err := alone.Access(t.Context(), robin.ID, ""); err != nil || access != "marked-access-1" {
		t.Errorf("the new key alone: %q, %v", access, err)
	}
}

func TestStoredTokensOpenForNoOtherUser(t *testing.T) {
	tokens, _, _ := oneAccount(t)
	sealed, _, err := tokens.bucket.get(t.Context(), "t."+robin.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.bucket.put(t.Context(), "t."+alex.ID, sealed, 0); err != nil {
		t.Fatal(err)
	}
	if access, err := tokens.Access(t.Context(), alex.ID, ""); !errors.Is(err, ErrSignInRequired) || access != "" {
		t.Errorf("alex got %q, %v", access, err)
	}
}
