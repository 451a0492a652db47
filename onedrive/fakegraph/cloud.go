package fakegraph

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// cloud is all drives of a Server and what is found by a secret address instead of an account.
type cloud struct {
	mu      sync.RWMutex // guards the two maps of drives
	byLogin map[string]*drive
	byID    map[string]*drive // work ids as they are, personal ids in lower case

	jobs       shards[*job]           // by monitor token
	sessions   shards[*uploadSession] // by upload token
	faults     Faults
	operations map[string]operation
	key        []byte // signs download addresses

	stirMu sync.Mutex
	stir   chan struct{} // closed when something may have ended a wait: the clock, a dial

	ctx  context.Context // ends with the demo's data: running fetches stop
	stop context.CancelFunc
	work sync.WaitGroup
}

// shards is a map of secrets in many small locked maps, so that 50,000 monitors don't share a lock.
type shards[V any] struct {
	seed  maphash.Seed
	parts [64]struct {
		mu sync.RWMutex
		m  map[string]V
	}
}

func (m *shards[V]) part(key string) *struct {
	mu sync.RWMutex
	m  map[string]V
} {
	return &m.parts[maphash.String(m.seed, key)%uint64(len(m.parts))]
}

func (m *shards[V]) get(key string) (V, bool) {
	p := m.part(key)
	p.mu.RLock()
	defer p.mu.RUnlock()
	v, ok := p.m[key]
	return v, ok
}

func (m *shards[V]) put(key string, v V) {
	p := m.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m[key] = v
}

func (m *shards[V]) drop(key string) {
	p := m.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.m, key)
}

func (m *shards[V]) clear() {
	for i := range m.parts {
		m.parts[i].mu.Lock()
		m.parts[i].m = map[string]V{}
		m.parts[i].mu.Unlock()
	}
}

func newCloud() *cloud {
	c := &cloud{byLogin: map[string]*drive{}, byID: map[string]*drive{}, key: make([]byte, 32), operations: operationTable(), stir: make(chan struct{})}
	_, _ = rand.Read(c.key)
	c.jobs.seed, c.sessions.seed = maphash.MakeSeed(), maphash.MakeSeed()
	c.jobs.clear()
	c.sessions.clear()
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Close ends running transfers and waits for them. The Server must not be used afterwards.
func (s *Server) Close() {
	s.cloud.mu.RLock()
	stop := s.cloud.stop
	s.cloud.mu.RUnlock()
	stop()
	s.cloud.work.Wait()
}

// resetDrives forgets every drive, transfer, upload and fault.
func (s *Server) resetDrives() {
	c := s.cloud
	c.mu.Lock()
	c.stop()
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.byLogin, c.byID = map[string]*drive{}, map[string]*drive{}
	c.jobs.clear()
	c.sessions.clear()
	c.mu.Unlock()
	c.faults.Clear()
}

// driveOf finds an account's drive; it is made, with the demo's content, when first asked for, and
// made anew when the account was replaced by one of another drive type. nil for no account.
func (s *Server) driveOf(a *Account) *drive {
	if a == nil {
		return nil
	}
	if known := s.account(a.Login); known != nil {
		a = known // a token may still point to the account as it was
	}
	login := strings.ToLower(a.Login)
	s.cloud.mu.RLock()
	d := s.cloud.byLogin[login]
	s.cloud.mu.RUnlock()
	if d != nil && d.kind == kindOf(a) {
		d.who.Store(a)
		return d
	}
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	if d := s.cloud.byLogin[login]; d != nil && d.kind == kindOf(a) {
		return d
	}
	d = newDrive(a, s.now())
	if !s.opts.Empty {
		d.furnish(s.now())
	}
	s.cloud.byLogin[login] = d
	s.cloud.byID[driveKey(d.id)] = d
	return d
}

// driveByID finds a drive by its id; the case of personal ids doesn't count (microsoft.md §3.3).
func (s *Server) driveByID(id string) *drive {
	for _, a := range s.Accounts() {
		s.driveOf(a) // drives are made lazily, and so are their ids
	}
	s.cloud.mu.RLock()
	defer s.cloud.mu.RUnlock()
	return s.cloud.byID[driveKey(id)]
}

func driveKey(id string) string {
	if strings.HasPrefix(id, "b!") {
		return id
	}
	return strings.ToLower(id)
}

// stirred wakes all who wait for the clock or for a dial.
func (s *Server) stirred() {
	s.cloud.stirMu.Lock()
	close(s.cloud.stir)
	s.cloud.stir = make(chan struct{})
	s.cloud.stirMu.Unlock()
}

// waitUntil waits till the server's clock says t, till done reports true, or till ctx ends.
func (s *Server) waitUntil(ctx context.Context, t time.Time, done func() bool) error {
	for {
		s.cloud.stirMu.Lock()
		stir := s.cloud.stir
		s.cloud.stirMu.Unlock()
		left := t.Sub(s.now())
		if left <= 0 || done != nil && done() {
			return nil
		}
		if s.opts.Now != nil {
			left = min(left, 20*time.Millisecond) // nobody tells when a clock of the caller's moves
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-stir:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// seal makes an opaque key for a pre-authenticated address: kind, drive and item until a time.
func (s *Server) seal(kind, driveID, itemID, extra string, expires time.Time) string {
	text := make([]byte, 8, 128)
	binary.BigEndian.PutUint64(text, uint64(expires.Unix()))
	text = fmt.Appendf(text, "%s\n%s\n%s\n%s", kind, driveID, itemID, extra)
	return base64.RawURLEncoding.EncodeToString(append(s.sign(text), text...))
}

// unseal takes such a key apart; ok is false for a foreign or an old one.
func (s *Server) unseal(kind, key string) (driveID, itemID, extra string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil || len(raw) < 24 || !hmac.Equal(raw[:16], s.sign(raw[16:])) {
		return "", "", "", false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(raw[16:24])), 0)
	parts := strings.SplitN(string(raw[24:]), "\n", 4)
	if len(parts) != 4 || parts[0] != kind || !s.now().Before(expires) {
		return "", "", "", false
	}
	return parts[1], parts[2], parts[3], true
}

func (s *Server) sign(text []byte) []byte {
	mac := hmac.New(sha256.New, s.cloud.key)
	mac.Write(text)
	return mac.Sum(nil)[:16]
}
