package auth

import (
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startNATS runs a server without a port in dir and returns one handle for each instance.
func startNATS(t testing.TB, dir string, instances int) []jetstream.JetStream {
	t.Helper()
	ns, err := server.NewServer(&server.Options{
		ServerName: "test", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, JetStreamMaxMemory: 16 << 20, JetStreamMaxStore: 1 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS did not start")
	}
	var handles []jetstream.JetStream
	for range instances {
		conn, err := nats.Connect("", nats.InProcessServer(ns), nats.Timeout(20*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(20*time.Second)) // the machine may have much to do
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, js)
	}
	return handles
}

func oneNATS(t testing.TB) jetstream.JetStream {
	t.Helper()
	return startNATS(t, t.TempDir(), 1)[0]
}

func testKeyring(t testing.TB) *Keyring {
	t.Helper()
	k, err := OpenKeyring(NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// clock is a time that tests move. JetStream's own expiry goes by the machine's clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var (
	robin = User{ID: UserID(ConsumersTenant, "00000000-0000-0000-aaaa-000000000001"), TenantID: ConsumersTenant,
		ObjectID: "00000000-0000-0000-aaaa-000000000001", Name: "Robin", Username: "robin@demo.example"}
	alex = User{ID: UserID("11111111-2222-3333-4444-555555555555", "00000000-0000-0000-bbbb-000000000002"), TenantID: "11111111-2222-3333-4444-555555555555",
		ObjectID: "00000000-0000-0000-bbbb-000000000002", Name: "Alex", Username: "alex@work.example"}
)

func rawBase64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
