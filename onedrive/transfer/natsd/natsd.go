// Package natsd gives the app its JetStream: a NATS server inside this process, without a
// port, or a connection to a cluster.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Memory as Options.Dir keeps nothing: the data lives in a temporary folder that Close removes.
const Memory = ":memory:"

// ErrLocked means that another process uses the data folder.
var ErrLocked = errors.New("another Skylift uses this data folder")

// ErrNoSpace means that there is no room for anything that is not already running: on the disk, or in
// what the data may take.
var ErrNoSpace = errors.New("the data folder is nearly full")

// ErrNoDisk means that the data folder is gone or read-only. Space is nil again once it can be written to;
// a folder that was removed needs a restart.
var ErrNoDisk = errors.New("the data folder cannot be written to")

// Options say where the data lives.
type Options struct {
	Dir      string        // the data folder of the server inside; Memory keeps nothing
	URL      string        // address(es) of a cluster; then no server runs here and Dir is not used
	Replicas int           // copies of each stream; 0: 1 inside, 3 on a cluster
	Sync     time.Duration // 0: every write is synced before it is acknowledged; else at this interval
	MaxStore int64         // bytes that the data may take; 0: 10 GiB
	Reserve  int64         // bytes of disk kept free for what runs already; 0: 64 MiB. Of MaxStore it is a tenth
	Log      *slog.Logger  // nil: nothing is logged
}

// Node is a running server or a connection to a cluster.
type Node struct {
	opt    Options
	server *server.Server // nil on a cluster
	lock   *os.File
	temp   bool // opt.Dir goes away with the node
	writes *nats.Conn
	events *nats.Conn
	js     jetstream.JetStream
}

// fill puts the defaults where nothing is said.
func (o *Options) fill() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxStore == 0 {
		o.MaxStore = 10 << 30
	}
	if o.Reserve == 0 {
		o.Reserve = 64 << 20
	}
	if o.Replicas == 0 {
		o.Replicas = 1
		if o.URL != "" {
			o.Replicas = 3
		}
	}
}

// Start brings JetStream up and returns when it answers.
func Start(o Options) (*Node, error) {
	o.fill()
	n := &Node{opt: o}
	if err := n.start(); err != nil {
		_ = n.Close(context.Background())
		return nil, err
	}
	return n, nil
}

func (n *Node) start() error {
	if n.opt.URL == "" {
		if err := n.serve(); err != nil {
			return err
		}
	}
	// One connection for writes and one for events, so that a burst of the one does not delay the other.
	var err error
	if n.writes, err = n.connect("skylift writes"); err != nil {
		return err
	}
	if n.events, err = n.connect("skylift events"); err != nil {
		return err
	}
	n.js, err = jetstream.New(n.writes, jetstream.WithDefaultTimeout(n.patience()))
	return err
}

// patience is how long an answer is waited for. The server inside gives one in the end, however busy its machine
// is; of a cluster it may be that nobody does.
func (n *Node) patience() time.Duration {
	if n.Shared() {
		return 3 * time.Second
	}
	return 15 * time.Second
}

// serve starts the server inside, alone on its folder.
func (n *Node) serve() error {
	if n.opt.Dir == Memory {
		dir, err := os.MkdirTemp("", "skylift-*")
		if err != nil {
			return fmt.Errorf("temporary data folder: %w", err)
		}
		n.opt.Dir = dir
		n.opt.Sync = time.Minute
		n.temp = true
	}
	if err := os.MkdirAll(n.opt.Dir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	// nats-server takes no lock itself, and two servers on one folder would corrupt it.
	var err error
	if n.lock, err = lockFile(filepath.Join(n.opt.Dir, "lock")); err != nil {
		return fmt.Errorf("data folder %s: %w", n.opt.Dir, err)
	}
	o := &server.Options{
		ServerName: "skylift", DontListen: true, NoSigs: true, NoSystemAccount: true,
		JetStream: true, StoreDir: n.opt.Dir,
		SyncAlways: n.opt.Sync == 0, SyncInterval: n.opt.Sync,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: n.opt.MaxStore,
		MaxPayload: 1 << 20,
	}
	if n.server, err = server.NewServer(o); err != nil {
		return fmt.Errorf("nats server: %w", err)
	}
	n.server.SetLoggerV2(logger{n.opt.Log}, false, false, false)
	n.server.Start()
	if !n.server.ReadyForConnections(30*time.Second) || !n.server.JetStreamEnabled() {
		return fmt.Errorf("the store in %s did not open: see the log", n.opt.Dir)
	}
	return nil
}

func (n *Node) connect(name string) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond), nats.ReconnectBufSize(-1), nats.Timeout(n.patience()),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) { n.opt.Log.Warn("nats", "error", err) }),
	}
	if n.server != nil {
		return nats.Connect("", append(opts, nats.InProcessServer(n.server))...)
	}
	// A server whose machine is gone, or behind a network that is, says nothing: it is left within 6 s.
	opts = append(opts, nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2))
	nc, err := nats.Connect(n.opt.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the NATS cluster: %w", err)
	}
	return nc, nil
}

// JetStream is the handle for stores.
func (n *Node) JetStream() jetstream.JetStream { return n.js }

// Conn is the connection for events and other messages that nobody stores.
func (n *Node) Conn() *nats.Conn { return n.events }

// Replicas is how many copies a stream or bucket should have here.
func (n *Node) Replicas() int { return n.opt.Replicas }

// Shared reports whether other instances may work on the same data.
func (n *Node) Shared() bool { return n.server == nil }

// Space is nil while the data folder has room for more; ErrNoSpace once only the reserve for
// sign-ins and what runs already is left of its disk or of MaxStore, at whose end nats-server stores
// nothing at all; ErrNoDisk when the folder cannot be written to. On a
// cluster its servers decide, and it is always nil.
func (n *Node) Space() error {
	if n.server == nil {
		return nil
	}
	free, err := freeBytes(n.opt.Dir)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNoDisk, err)
	case free < n.opt.Reserve:
		return ErrNoSpace
	}
	if used := n.server.GlobalAccount().JetStreamUsage().Store; used > uint64(n.opt.MaxStore/10*9) {
		return fmt.Errorf("%w: it takes %d of %d MiB", ErrNoSpace, used>>20, n.opt.MaxStore>>20)
	}
	return nil
}

// Close ends the connections and the server inside. What was acknowledged is on disk.
func (n *Node) Close(context.Context) error {
	for _, c := range []*nats.Conn{n.writes, n.events} {
		if c != nil {
			c.Close()
		}
	}
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
	}
	var err error
	if n.lock != nil {
		err = n.lock.Close()
	}
	if n.temp {
		err = errors.Join(err, os.RemoveAll(n.opt.Dir))
	}
	return err
}
