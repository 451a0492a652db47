package transfer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive/transfer"
)

// What a transfer and a poll cost, whatever else the machine does: CPU and allocations by the piece.
//
//	go test ./onedrive/transfer -run '^$' -bench Work -benchtime 1x

func init() {
	children["workUnwatched"] = func() { report(measureWork(0)) }
	children["workWatched"] = func() { report(measureWork(1000)) }
	children["workPolls"] = func() { report(measurePolls()) }
}

func BenchmarkWork(b *testing.B) {
	for _, name := range []string{"Unwatched", "Watched", "Polls"} {
		b.Run(name, func(b *testing.B) { show(b, child(b, "work"+name)) })
	}
}

// brief is a Mover whose files are there at the first poll, or after many.
type brief struct {
	polls int64 // of all transfers before the first is done
	made  atomic.Int64
	done  chan struct{}
}

func (m *brief) Step(_ context.Context, t *transfer.Transfer, keep func() error, _ func()) (transfer.Next, error) {
	if t.Work.Phase == transfer.Choosing {
		t.Route, t.State, t.Work.Phase, t.Work.PostedAt = transfer.Native, transfer.InProgress, transfer.Posting, time.Now()
		if err := keep(); err != nil {
			return transfer.Next{}, err
		}
		t.Work.Phase, t.Work.Monitor = transfer.Polling, "https://monitor.example/token"
		return transfer.Next{After: time.Millisecond}, keep()
	}
	if m.made.Add(1) < m.polls {
		return transfer.Next{After: time.Millisecond}, nil
	}
	t.State, t.Item = transfer.Completed, &transfer.Item{DriveID: "drive", ID: t.ID, Name: t.Name, Size: 183422, WebURL: "https://onedrive.example/" + t.ID}
	m.done <- struct{}{}
	return transfer.Next{}, nil
}

func (m *brief) Abandon(context.Context, *transfer.Transfer, func() error) (transfer.Next, error) {
	return transfer.Next{}, nil
}

// cost is CPU and allocations since it was made.
type cost struct {
	cpu     time.Duration
	mallocs uint64
}

func costNow() cost {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return cost{cpuTime(), m.Mallocs}
}

func (c cost) each(n float64) figures {
	now := costNow()
	return figures{"cpu-µs/each": (now.cpu - c.cpu).Seconds() * 1e6 / n, "allocs/each": float64(now.mallocs-c.mallocs) / n}
}

func measureWork(watchers int) figures {
	e, clean := benchEngine()
	defer clean()
	defer e.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range watchers {
		go follow(ctx, e.store, fmt.Sprintf("user%d", i), &sample{})
	}
	m := &brief{done: make(chan struct{}, 1000)}
	r := transfer.NewRunner(e.store, m, transfer.RunnerOptions{PerAccount: 1000})
	if err := r.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = r.Stop(context.Background()) }()
	const n, warm = 20000, 2000
	places := make(chan struct{}, 1000) // in flight
	go func() {
		for i := range n + warm {
			places <- struct{}{}
			go func() {
				if _, _, err := e.store.Submit(ctx, fmt.Sprintf("user%d", i%1000), picture(i), ""); err != nil {
					panic(err)
				}
			}()
		}
	}()
	var begin cost
	for i := range n + warm {
		if i == warm {
			begin = costNow()
			defer profile()()
		}
		<-m.done
		<-places
	}
	return begin.each(n)
}

// measurePolls lets 1,000 transfers be polled in vain.
func measurePolls() figures {
	e, clean := benchEngine()
	defer clean()
	defer e.close()
	const n = 300000
	m := &brief{polls: n, done: make(chan struct{}, 1000)}
	r := transfer.NewRunner(e.store, m, transfer.RunnerOptions{PerAccount: 1000})
	if err := r.Start(context.Background()); err != nil {
		panic(err)
	}
	defer func() { _ = r.Stop(context.Background()) }()
	fill := make([]transfer.Request, 1000)
	for i := range fill {
		fill[i] = picture(i)
	}
	e.store.SubmitBatch(context.Background(), "user", fill, nil)
	begin, already := costNow(), m.made.Load()
	defer profile()()
	<-m.done
	return begin.each(float64(n - already))
}
