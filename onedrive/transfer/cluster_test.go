package transfer_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// The whole cluster test waits for real leases and elections:
//
//	go test ./onedrive/transfer -run TestCluster -cluster -timeout 20m
var wholeCluster = flag.Bool("cluster", false, "TestCluster with leases of 30 s, a killed NATS node and a restart of all")

// cluster is three NATS servers on loopback.
type cluster struct {
	t     *testing.T
	nodes [3]*server.Server
	opts  [3]*server.Options
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var ports [3]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	var routes []*url.URL
	for _, p := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", p)})
	}
	for i := range c.nodes {
		c.opts[i] = &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i]}, Routes: routes, MaxPayload: 1 << 20,
			JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30,
		}
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.kill(i)
		}
	})
	eventually(t, "a leader", func() bool {
		for _, n := range c.nodes {
			if n.JetStreamIsLeader() {
				return true
			}
		}
		return false
	})
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	n, err := server.NewServer(c.opts[i])
	if err != nil {
		c.t.Fatal(err)
	}
	n.Start()
	if !n.ReadyForConnections(10 * time.Second) {
		c.t.Fatalf("node %d is not ready", i)
	}
	c.opts[i].Port = n.Addr().(*net.TCPAddr).Port // the same after a restart
	c.nodes[i] = n
}

func (c *cluster) kill(i int) {
	c.nodes[i].Shutdown()
	c.nodes[i].WaitForShutdown()
}

func (c *cluster) url() string {
	var urls []string
	for _, o := range c.opts {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return strings.Join(urls, ",")
}

// instance is one Skylift on the cluster. Its Mover can be made deaf, as a killed process is.
type instance struct {
	node   *natsd.Node
	store  *transfer.Store
	runner *transfer.Runner
	dead   atomic.Bool
	m      *microsoft
}

func (i *instance) Step(ctx context.Context, t *transfer.Transfer, keep func() error, progress func()) (transfer.Next, error) {
	if i.dead.Load() {
		<-ctx.Done()
		return transfer.Next{}, ctx.Err()
	}
	return i.m.Step(ctx, t, func() error {
		if i.dead.Load() {
			return errors.New("killed")
		}
		return keep()
	}, progress)
}

func (i *instance) Abandon(ctx context.Context, t *transfer.Transfer) error {
	return i.m.Abandon(ctx, t)
}

func (c *cluster) join(name string, m *microsoft, ttl time.Duration) *instance {
	c.t.Helper()
	var node *natsd.Node
	var store *transfer.Store
	eventually(c.t, name+" joins", func() bool {
		var err error
		if node, err = natsd.Start(natsd.Options{URL: c.url()}); err != nil {
			return false
		}
		if store, err = transfer.OpenStore(context.Background(), node.JetStream(), node.Conn(), transfer.StoreOptions{Replicas: node.Replicas()}); err != nil {
			_ = node.Close(context.Background())
		}
		return err == nil
	})
	i := &instance{node: node, store: store, m: m}
	i.runner = transfer.NewRunner(store, i, transfer.RunnerOptions{Instance: name, PerAccount: 100}.ShortLease(ttl))
	eventually(c.t, name+" starts", func() bool { return i.runner.Start(context.Background()) == nil })
	c.t.Cleanup(i.crash)
	return i
}

// crash ends an instance as a kill would: without a word to the others.
func (i *instance) crash() {
	if i.dead.Swap(true) {
		return
	}
	i.store.Close()
	_ = i.node.Close(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = i.runner.Stop(ctx) // only its goroutines: it can store nothing any more
}

func (i *instance) stop(t *testing.T) {
	t.Helper()
	if err := i.runner.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	i.dead.Store(true)
	i.store.Close()
	_ = i.node.Close(context.Background())
}

// accepted is what the cluster promised.
type accepted struct {
	mu  sync.Mutex
	ids map[string]string // id -> owner
}

// submit sends n transfers to both stores at once, with the same keys.
func (a *accepted) submit(t *testing.T, round string, n int, stores ...*transfer.Store) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		owner, key := fmt.Sprintf("user%d", i%12), fmt.Sprintf("%s-%d", round, i)
		for _, s := range stores {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				for ctx.Err() == nil { // as a client does after a 503
					got, _, err := s.Submit(ctx, owner, picture(i), key)
					if err == nil {
						a.mu.Lock()
						a.ids[got.ID] = owner
						a.mu.Unlock()
						return
					}
				}
				t.Errorf("%s was never accepted", key)
			})
		}
	}
	wg.Wait()
}

func (a *accepted) completed(t *testing.T, s *transfer.Store, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for id, owner := range a.ids {
		for {
			got, err := s.Get(t.Context(), owner, id)
			if err == nil && got.State == transfer.Completed {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s of %s is %q (%s), %v", id, owner, got.State, got.Work.Phase, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func TestCluster(t *testing.T) {
	ttl := 4 * time.Second
	if *wholeCluster {
		ttl = 30 * time.Second
	}
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	c := startCluster(t)
	m := newMicrosoft()
	m.delay = 300 * time.Millisecond
	a := &accepted{ids: map[string]string{}}
	x, y, z := c.join("x", m, ttl), c.join("y", m, ttl), c.join("z", m, ttl)
	seen := follower(t, func() *transfer.Store {
		if z.dead.Load() {
			return nil
		}
		return z.store
	}, "user1")

	a.submit(t, "together", 60, x.store, y.store)
	if len(a.ids) != 60 {
		t.Errorf("%d transfers of 60 keys", len(a.ids))
	}
	a.completed(t, z.store, 60*time.Second)

	a.submit(t, "stopped", 60, y.store)
	at := time.Now()
	x.stop(t)
	a.completed(t, z.store, 60*time.Second)
	t.Logf("after an orderly stop: %v", time.Since(at))

	a.submit(t, "killed", 60, z.store)
	at = time.Now()
	y.crash()
	a.completed(t, z.store, 4*ttl+60*time.Second)
	t.Logf("after a kill: %v", time.Since(at))

	if *wholeCluster {
		y = c.join("y2", m, ttl)
		leader := 0
		for i, n := range c.nodes {
			if n.JetStreamIsLeader() {
				leader = i
			}
		}
		c.kill(leader)
		at = time.Now()
		a.submit(t, "node", 60, y.store, z.store)
		a.completed(t, z.store, 3*ttl+60*time.Second)
		t.Logf("after a NATS node was killed: %v", time.Since(at))
		c.start(leader)

		a.submit(t, "all", 60, y.store)
		y.crash()
		z.crash()
		for i := range c.nodes {
			c.kill(i)
		}
		for i := range c.nodes {
			c.start(i)
		}
		at = time.Now()
		z = c.join("z2", m, ttl)
		a.completed(t, z.store, 4*ttl+60*time.Second)
		t.Logf("after a restart of all: %v", time.Since(at))
	}

	m.mu.Lock()
	for id, n := range m.files {
		if n != 1 || a.ids[id] == "" {
			t.Errorf("%s: %d files", id, n)
		}
	}
	if len(m.files) != len(a.ids) {
		t.Errorf("%d files of %d transfers", len(m.files), len(a.ids))
	}
	m.mu.Unlock()
	eventually(t, "the stream converges", func() bool {
		n := 0
		for id, owner := range a.ids {
			if s, ok := seen.Load(id); owner == "user1" && (!ok || s != transfer.Completed) {
				n++
			}
		}
		return n == 0
	})
}

// follower keeps a stream of owner open, as a browser does, and notes the latest states.
func follower(t *testing.T, store func() *transfer.Store, owner string) *sync.Map {
	seen, last := &sync.Map{}, uint64(0)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if s := store(); s != nil {
				for e, err := range s.Watch(ctx, owner, last) {
					if err != nil {
						break
					}
					if e.Transfer.Owner != owner {
						t.Errorf("a foreign event: %s", e.Transfer.Owner)
					}
					last = e.ID
					seen.Store(e.Transfer.ID, e.Transfer.State)
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return seen
}
