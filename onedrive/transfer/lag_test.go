package transfer

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A copy of the records that lags behind answers a comparison: what it does not have yet is not taken
// for compared. One answer is behind, or all are for a while.
func TestACopyThatLagsHidesNothing(t *testing.T) {
	node, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go node.Start() // ends with Shutdown
	t.Cleanup(func() { node.Shutdown(); node.WaitForShutdown() })
	if !node.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS does not answer")
	}
	nc, err := nats.Connect(node.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	const owner = "lagging"
	var has atomic.Int64 // the copy's last revision
	asked := make(chan struct{}, 100)
	if _, err := nc.Subscribe(directAPI, func(m *nats.Msg) {
		select {
		case asked <- struct{}{}:
		default:
		}
		var from int
		fmt.Sscanf(string(m.Data), `{"seq":%d`, &from)
		for seq := max(from, 1); seq <= int(has.Load()); seq++ {
			_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{
				"Nats-Subject": {subjectPrefix + transferKey(owner, fmt.Sprintf("01JD00000000000000000000%02d", seq))}, "Nats-Sequence": {fmt.Sprint(seq)}, hdrEnding: {"c"},
			}})
		}
		_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: nats.Header{"Status": {"204"}, "Nats-Num-Pending": {"0"}}})
	}); err != nil {
		t.Fatal(err)
	}
	s := &Store{nc: nc, events: nc, opt: StoreOptions{Replicas: 3}}
	f := &feed{hub: &hub{store: s}, owner: owner, seq: 5, recent: map[rowID]uint64{}, watchers: map[*watcher]struct{}{}}
	if f.sub, err = nc.SubscribeSync("nothing"); err != nil {
		t.Fatal(err)
	}

	has.Store(3)
	f.compare(t.Context())
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
	f.compare(t.Context())
	if f.checked != 5 || len(f.recent) != 5 {
		t.Errorf("a copy that catches up: compared up to %d, %d records", f.checked, len(f.recent))
	}
}
