package transfer_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// link is a stretch of network that can be cut: then nothing passes either way, connections stay as
// they are, and what was sent arrives when the link is whole again, as with TCP.
type link struct {
	l      net.Listener
	target string
	mu     sync.Mutex
	whole  chan struct{} // closed while the link is whole
	conns  []net.Conn
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{l: l, target: target, whole: make(chan struct{})}
	close(k.whole)
	go k.run() // ends with the listener
	t.Cleanup(k.close)
	return k
}

func (k *link) addr() string { return k.l.Addr().String() }

func (k *link) close() {
	_ = k.l.Close()
	k.mend()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		_ = c.Close()
	}
}

func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.whole = make(chan struct{})
}

func (k *link) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.whole:
	default:
		close(k.whole)
	}
}

func (k *link) wait() {
	k.mu.Lock()
	whole := k.whole
	k.mu.Unlock()
	<-whole
}

func (k *link) run() {
	for {
		near, err := k.l.Accept()
		if err != nil {
			return
		}
		go func() { // ends with its connection
			k.wait()
			far, err := net.Dial("tcp", k.target)
			if err != nil {
				_ = near.Close()
				return
			}
			k.mu.Lock()
			k.conns = append(k.conns, near, far)
			k.mu.Unlock()
			go k.pass(far, near)
			k.pass(near, far)
		}()
	}
}

func (k *link) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		k.wait()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// nodeOptions are what a NATS server process is told.
type nodeOptions struct {
	Name, Dir         string
	Port, ClusterPort int
	Routes            []string
}

func init() { children["node"] = childNode }

// childNode is one NATS server of a cluster.
func childNode() {
	var o nodeOptions
	if err := json.Unmarshal([]byte(os.Getenv("SKYLIFT_TEST_NODE")), &o); err != nil {
		panic(err)
	}
	var routes []*url.URL
	for _, r := range o.Routes {
		routes = append(routes, &url.URL{Scheme: "nats", Host: r})
	}
	s := must(server.NewServer(&server.Options{
		ServerName: o.Name, Host: "127.0.0.1", Port: o.Port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: o.Dir, SyncAlways: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30, MaxPayload: 1 << 20,
		// Nobody is told of addresses that lead around the links.
		Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: o.ClusterPort, Advertise: "127.0.0.1:1", NoAdvertise: true}, Routes: routes,
	}))
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		panic("not ready")
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
}

// cluster is three NATS servers on loopback, each a process, with a link between each two.
type cluster struct {
	t     *testing.T
	nodes [3]*exec.Cmd
	opts  [3]nodeOptions
	links [3][3]*link // from, to
	conn  *nats.Conn
	js    jetstream.JetStream
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for i := range c.opts {
		c.opts[i] = nodeOptions{Name: fmt.Sprintf("n%d", i), Dir: t.TempDir(), Port: freePort(t), ClusterPort: freePort(t)}
	}
	for i := range c.opts {
		for j := range c.opts {
			if i != j {
				c.links[i][j] = newLink(t, fmt.Sprintf("127.0.0.1:%d", c.opts[j].ClusterPort))
				c.opts[i].Routes = append(c.opts[i].Routes, c.links[i][j].addr())
			}
		}
	}
	var urls []string
	for i := range c.nodes {
		c.start(i)
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", c.opts[i].Port))
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.kill(i)
		}
	})
	var err error
	if c.conn, err = nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.conn.Close)
	c.js = must(jetstream.New(c.conn, jetstream.WithDefaultTimeout(time.Second)))
	return c
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (c *cluster) start(i int) {
	c.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"=node", "SKYLIFT_TEST_NODE="+string(must(json.Marshal(c.opts[i]))))
	cmd.Stderr = os.Stderr
	out := must(cmd.StdoutPipe())
	if _, err := cmd.StdinPipe(); err != nil { // it lives as long as this end is open
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = cmd
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		c.t.Fatalf("node %d: %q", i, line)
	}
}

func (c *cluster) kill(i int) {
	if n := c.nodes[i]; n != nil {
		_ = n.Process.Kill()
		_ = n.Wait()
		c.nodes[i] = nil
	}
}

// isolate cuts a node from the others; its clients stay with it.
func (c *cluster) isolate(i int, do func(*link)) {
	for j := range c.nodes {
		if i != j {
			do(c.links[i][j])
			do(c.links[j][i])
		}
	}
}

// leader waits until the transfers have a leader, other than none, and returns its number.
func (c *cluster) leader(none int) int {
	c.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		s, err := c.js.Stream(ctx, "KV_transfers")
		cancel()
		if err == nil && s.CachedInfo().Cluster != nil {
			for i, o := range c.opts {
				if s.CachedInfo().Cluster.Leader == o.Name && i != none {
					return i
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatal("the transfers have no leader")
	return -1
}
