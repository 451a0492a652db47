package transfer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"skylift/onedrive/transfer"
)

// cutOff is a Mover of which one instance's is in the middle of a step when its network goes.
type cutOff struct {
	*microsoft
	begun, goOn chan struct{}
}

func (m *cutOff) Step(ctx context.Context, t *transfer.Transfer, keep func() error, progress func()) (transfer.Next, error) {
	close(m.begun)
	<-m.goOn // it hears nothing of what happens outside, as a slow machine does
	t.State, t.Failure = transfer.Failed, &transfer.Failure{Code: "sourceNotFound"}
	return transfer.Next{}, nil
}

// TestAPartitionedOwnerCannotFinishWhatAnotherAdopted: its last write is on the way while another
// instance adopts and completes the transfer, and arrives when the network is back. It says which
// revision it was made from, and is refused for that.
func TestAPartitionedOwnerCannotFinishWhatAnotherAdopted(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	const lease = 4 * time.Second
	var links [3]*link
	var urls []string
	for i := range links {
		links[i] = newLink(t, fmt.Sprintf("127.0.0.1:%d", c.opts[i].Port))
		urls = append(urls, "nats://"+links[i].addr())
	}
	slow := &cutOff{newMicrosoft(), make(chan struct{}), make(chan struct{})}
	owner := join(strings.Join(urls, ","), transfer.StoreOptions{})
	t.Cleanup(owner.close)
	first := runOn(t, owner, slow, "owner", lease)
	sent := submit(t, owner.store, robin, picture(1), "")
	<-slow.begun

	other := join(fmt.Sprintf("nats://127.0.0.1:%d", c.opts[c.leader(-1)].Port), transfer.StoreOptions{})
	t.Cleanup(other.close)
	for _, l := range links {
		l.cut()
	}
	close(slow.goOn) // the step ends within its lease, and its write leaves
	runOn(t, other, newMicrosoft(), "other", lease)
	var got transfer.Transfer
	wait(t, 5*lease, func() bool {
		got, _ = other.store.Get(t.Context(), robin, sent.ID)
		return got.State.Final()
	})
	if got.State != transfer.Completed {
		t.Fatalf("adopted, it is %s", got.State)
	}
	for _, l := range links {
		l.mend()
	}
	wait(t, 40*time.Second, func() bool { return !first.Busy(robin, sent.ID) }) // its write was answered
	p, err := other.store.List(t.Context(), robin, transfer.ListOptions{})
	if err != nil || len(p.Value) != 1 || p.Value[0].State != transfer.Completed {
		t.Errorf("after the network is back: %+v, %v; want one, completed", p.Value, err)
	}
}

func runOn(t *testing.T, e *engine, m transfer.Mover, name string, lease time.Duration) *transfer.Runner {
	t.Helper()
	r := transfer.NewRunner(e.store, m, transfer.RunnerOptions{Instance: name}.ShortLease(lease))
	wait(t, 20*time.Second, func() bool { return r.Start(t.Context()) == nil })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = r.Stop(ctx)
	})
	return r
}

// wait is eventually with its own patience.
func wait(t *testing.T, patience time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v", patience)
		}
	}
}
