package transfer

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// bareServer is a NATS server without JetStream, and a way to connect to it.
func bareServer(t *testing.T) (connect func() *nats.Conn) {
	t.Helper()
	node, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go node.Start() // ends with Shutdown
	t.Cleanup(func() { node.Shutdown(); node.WaitForShutdown() })
	if !node.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS does not answer")
	}
	return func() *nats.Conn {
		nc, err := nats.Connect(node.ClientURL(), nats.ReconnectWait(time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
}

const laggingOwner = "lagging"

// lagging answers with the records from one to the revision has, as a copy does; below zero not at all.
func lagging(t *testing.T, nc *nats.Conn, has *atomic.Int64) (asked chan struct{}) {
	t.Helper()
	asked = make(chan struct{}, 100)
	if _, err := nc.Subscribe(directAPI, func(m *nats.Msg) {
		select {
		case asked <- struct{}{}:
		default:
		}
		last := int(has.Load())
		if last < 0 {
			return
		}
		var from int
		fmt.Sscanf(string(m.Data), `{"seq":%d`, &from)
		for seq := max(from, 1); seq <= last; seq++ {
			_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{
				"Nats-Subject": {subjectPrefix + transferKey(laggingOwner, fmt.Sprintf("01JD00000000000000000000%02d", seq))}, "Nats-Sequence": {fmt.Sprint(seq)}, hdrEnding: {"c"},
			}})
		}
		_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{"Status": {"204"}, "Nats-Num-Pending": {"0"}}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return asked
}

// A copy of the records that lags behind answers a comparison: what it does not have yet is not taken
// for compared. One answer is behind, or all are for a while.
func TestACopyThatLagsHidesNothing(t *testing.T) {
	nc := bareServer(t)()
	var has atomic.Int64
	asked := lagging(t, nc, &has)
	s := &Store{nc: nc, events: nc, opt: StoreOptions{Replicas: 3}}
	f := &feed{hub: &hub{store: s}, owner: laggingOwner, seq: 5, recent: map[rowID]uint64{}, watchers: map[*watcher]struct{}{}}
	var err error
	if f.sub, err = nc.SubscribeSync("nothing"); err != nil {
		t.Fatal(err)
	}
	compare := func() {
		if err := f.compare(t.Context()); err != nil {
			t.Error(err)
		}
	}

	has.Store(3)
	compare()
	if f.checked != 0 || len(f.recent) != 3 {
		t.Errorf("a copy at 3 of 5: compared up to %d, %d records", f.checked, len(f.recent))
	}
	has.Store(4)
	for len(asked) > 0 {
		<-asked
	}
	go func() { // the copy catches up while it is asked again
		<-asked
		has.Store(5)
	}()
	compare()
	if f.checked != 5 || len(f.recent) != 5 {
		t.Errorf("a copy that catches up: compared up to %d, %d records", f.checked, len(f.recent))
	}
}

// The connection of the messages is back before that of the records, which an answer never comes over
// any more: the streams are caught up as soon as there is a way to the records, not when the first
// look's time is over.
func TestALookThatHangsHoldsUpNothing(t *testing.T) {
	connect := bareServer(t)
	var has atomic.Int64
	has.Store(-1)
	asked := lagging(t, connect(), &has)
	ctx, cancel := context.WithCancel(t.Context())
	s := &Store{nc: connect(), events: connect(), opt: StoreOptions{Replicas: 3}, ctx: ctx}
	h := newHub(ctx, s)
	t.Cleanup(func() { cancel(); <-h.ended; h.tasks.Wait() })
	sub, err := s.events.SubscribeSync("nothing")
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{pending: map[string]*Event{}, signal: make(chan struct{}, 1)}
	f := &feed{hub: h, owner: laggingOwner, sub: sub, recent: map[rowID]uint64{}, watchers: map[*watcher]struct{}{w: {}}}
	h.mu.Lock()
	h.feeds[laggingOwner] = f
	h.mu.Unlock()

	if err := s.events.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	<-asked
	has.Store(1)
	start := time.Now()
	if err := s.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	for {
		f.mu.Lock()
		checked, seen := f.seq, len(f.recent)
		f.mu.Unlock()
		if checked == 1 && seen == 1 {
			break
		}
		if time.Since(start) > readTimeout/2 {
			t.Fatal("the streams wait for the look that hangs")
		}
		time.Sleep(time.Millisecond)
	}
}
