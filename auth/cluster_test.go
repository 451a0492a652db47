package auth

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/oauth2"
)

// startCluster runs three servers on loopback and returns a handle to each.
func startCluster(t *testing.T) []jetstream.JetStream {
	t.Helper()
	var routes []*url.URL
	for range 3 { // ports that are free now, so that each node can know the others from the start
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
		l.Close()
	}
	var nodes []*server.Server
	for i, route := range routes {
		port, _ := strconv.Atoi(route.Port())
		ns, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("node", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxMemory: 16 << 20, JetStreamMaxStore: 1 << 30,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
		nodes = append(nodes, ns)
	}
	for _, ns := range nodes {
		ns.Start()
	}
	for _, ns := range nodes {
		if !ns.ReadyForConnections(20 * time.Second) {
			t.Fatal("a node did not start")
		}
	}
	var handles []jetstream.JetStream
	for _, ns := range nodes {
		conn, err := nats.Connect(ns.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, js)
	}
	deadline := time.Now().Add(30 * time.Second)
	leads := func(ns *server.Server) bool { return len(ns.JetStreamClusterPeers()) == 3 } // only the leader knows its peers
	for !slices.ContainsFunc(nodes, leads) {
		if time.Now().After(deadline) {
			t.Fatal("the cluster has no leader")
		}
		wait(t.Context(), 50*time.Millisecond)
	}
	return handles
}

// TestOnACluster repeats what depends on the store's order with three copies: other error codes,
// and readers that are not at the leader.
func TestOnACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	handles := startCluster(t)
	c, k := newClock(), testKeyring(t)
	m := &microsoft{now: c.Now}
	var devices []*Devices
	var sessions []*Sessions
	var tokens []*Tokens
	for _, js := range handles {
		d, err := OpenDevices(t.Context(), js, 3, "")
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenSessions(t.Context(), js, 3, k, SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		o, err := OpenTokens(t.Context(), js, 3, k, m)
		if err != nil {
			t.Fatal(err)
		}
		o.Now = c.Now
		devices, sessions, tokens = append(devices, d), append(sessions, s), append(tokens, o)
	}
	t.Run("one redemption of a code wins", func(t *testing.T) {
		for range 10 {
			verifier := oauth2.GenerateVerifier()
			code, err := devices[0].IssueCode(t.Context(), robin.ID, "x", oauth2.S256ChallengeFromVerifier(verifier))
			if err != nil {
				t.Fatal(err)
			}
			var won atomic.Int32
			var all sync.WaitGroup
			for i := range 30 {
				all.Go(func() {
					_, err := devices[i%3].codes.redeem(t.Context(), code, verifier)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, ErrBadCode) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d won", won.Load())
			}
		}
	})
	t.Run("what one node writes every node knows at once", func(t *testing.T) {
		for i := range 60 {
			var b browser
			b.signIn(t, sessions[i%3], robin)
			if _, ok := b.user(sessions[(i+1)%3]); !ok {
				t.Fatalf("round %d: not signed in at the next node", i)
			}
			if err := sessions[(i+2)%3].forget(t.Context(), b.cookies[0].Value); err != nil {
				t.Fatal(err)
			}
			if _, ok := b.user(sessions[i%3]); ok {
				t.Fatalf("round %d: signed out, and still in", i)
			}
		}
	})
	t.Run("a lease that was given back goes to one", func(t *testing.T) {
		for range 30 {
			var won atomic.Int32
			var all sync.WaitGroup
			for i := range 9 {
				all.Go(func() {
					_, err := tokens[i%3].bucket.create(t.Context(), "l.x", []byte{1}, leaseLife)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, errConflict) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d won", won.Load())
			}
			if err := tokens[0].bucket.delete(t.Context(), "l.x", 0); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("one refresh for all", func(t *testing.T) {
		if err := tokens[0].Put(t.Context(), robin.ID, m.signIn()); err != nil {
			t.Fatal(err)
		}
		for round := range 5 {
			c.Advance(time.Hour)
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					if _, err := tokens[i%3].Access(t.Context(), robin.ID, ""); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if m.count() != round+1 {
				t.Fatalf("round %d: %d refreshes", round, m.count())
			}
		}
	})
}
