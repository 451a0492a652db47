package transfer

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// wire is a network in memory. A test in a synctest bubble lives on it: its waits take no time,
// nothing depends on how busy the machine is, and no goroutine may outlive it.
type wire struct {
	mu     sync.Mutex
	ports  map[string]*port
	strays []string // addresses that were dialled although nobody listens there: the canaries of a cell
}

// port is a net.Listener on the wire.
type port struct {
	address wireAddr
	arrive  chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

type wireAddr string

func (wireAddr) Network() string  { return "tcp" }
func (a wireAddr) String() string { return string(a) }

func newWire() *wire { return &wire{ports: map[string]*port{}} }

func (w *wire) listen() *port {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &port{address: wireAddr(fmt.Sprintf("127.0.0.1:%d", 40000+len(w.ports))), arrive: make(chan net.Conn), closed: make(chan struct{})}
	w.ports[p.address.String()] = p
	return p
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.arrive:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *port) Addr() net.Addr { return p.address }

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	p := w.ports[address]
	if p == nil {
		w.strays = append(w.strays, address)
	}
	w.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Addr: wireAddr(address), Err: syscall.ECONNREFUSED}
	if p == nil {
		return nil, refused
	}
	here, there := net.Pipe()
	select {
	case p.arrive <- there:
		return here, nil
	case <-p.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// transport is a way over the wire with the limits of the product's own.
func (w *wire) transport(t testing.TB) *http.Transport {
	way := &http.Transport{DialContext: w.dial, ExpectContinueTimeout: time.Second, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}
	t.Cleanup(way.CloseIdleConnections)
	return way
}

// dialled are the addresses that were dialled and are nobody's.
func (w *wire) dialled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.strays
}

// unresolved is a name that has no address, unheard a handshake that breaks off: what goes wrong
// before a request has left.
var (
	unresolved = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "graph.example", IsNotFound: true}}
	unheard    = &net.OpError{Op: "remote error", Err: fmt.Errorf("tls: handshake failure: %w", io.ErrUnexpectedEOF)}
)
