package transfer_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// bench is a Mover whose monitor answers in the process, or over HTTP: jobs of 2-20 s, delays of
// 250 ms growing by half to 5 s. It measures how late each step comes.
type bench struct {
	remote   *standIn // nil: in the process
	jobs     sync.Map // id -> *benchJob
	polls    atomic.Int64
	done     atomic.Int64
	finished chan string // owner
	counting atomic.Bool
	mu       sync.Mutex
	late     []time.Duration
}

type benchJob struct {
	ends, due time.Time
	delay     time.Duration
	monitor   onedrive.SecretURL // over HTTP
}

func (b *bench) begin(now time.Time) (*benchJob, time.Duration) {
	j := &benchJob{ends: now.Add(2*time.Second + rand.N(18*time.Second)), delay: 250 * time.Millisecond}
	if b.remote != nil {
		j.monitor = b.remote.post(j.ends)
		now = time.Now()
	}
	j.due = now.Add(j.delay)
	return j, j.delay
}

func (b *bench) over(j *benchJob, now time.Time) bool {
	if b.remote == nil {
		return !now.Before(j.ends)
	}
	return b.remote.completed(j.monitor)
}

// poll reports the next delay, or 0 when the job is done.
func (b *bench) poll(j *benchJob, now time.Time) time.Duration {
	if b.counting.Load() {
		b.polls.Add(1)
		if rand.N(16) == 0 {
			b.mu.Lock()
			b.late = append(b.late, max(now.Sub(j.due), 0))
			b.mu.Unlock()
		}
	}
	over := b.over(j, now)
	if b.remote != nil {
		now = time.Now()
	}
	if over {
		if b.counting.Load() {
			b.done.Add(1)
		}
		return 0
	}
	j.delay = min(j.delay*3/2, 5*time.Second)
	d := j.delay - rand.N(j.delay/10)
	j.due = now.Add(d)
	return d
}

func (b *bench) Step(_ context.Context, t *transfer.Transfer, keep func() error, _ func()) (transfer.Next, error) {
	now := time.Now()
	if t.Work.Phase == transfer.Choosing {
		t.Route, t.State, t.Work.Phase, t.Work.PostedAt = transfer.Native, transfer.InProgress, transfer.Posting, now
		if err := keep(); err != nil {
			return transfer.Next{}, err
		}
		j, d := b.begin(time.Now())
		b.jobs.Store(t.ID, j)
		t.Work.Phase, t.Work.Monitor = transfer.Polling, cmp.Or(j.monitor, "https://monitor.example/token")
		if err := keep(); err != nil {
			return transfer.Next{}, err
		}
		j.due = time.Now().Add(d)
		return transfer.Next{After: d}, nil
	}
	v, _ := b.jobs.Load(t.ID)
	j := v.(*benchJob)
	if d := b.poll(j, now); d > 0 {
		return transfer.Next{After: d}, nil
	}
	b.jobs.Delete(t.ID)
	t.State, t.Item = transfer.Completed, &transfer.Item{DriveID: "drive", ID: t.ID, Name: t.Name, Size: 183422, WebURL: "https://onedrive.example/" + t.ID}
	b.finished <- t.Owner
	return transfer.Next{}, nil
}

func (b *bench) Abandon(context.Context, *transfer.Transfer, func() error) (transfer.Next, error) {
	return transfer.Next{}, nil
}

// loop is the plain in-memory loop: a timer for each transfer, and nothing that lasts. Whoever follows
// is shown the same as by the engine.
func (b *bench) loop(shown func(transfer.Transfer)) {
	mu, all := sync.Mutex{}, map[string]*transfer.Transfer{}
	n := 0
	for owner := range b.finished {
		n++
		t := &transfer.Transfer{ID: strconv.Itoa(n), Owner: owner, State: transfer.NotStarted, SourceURL: picture(n).SourceURL, Name: "picture.jpg"}
		become := func(s transfer.State) {
			mu.Lock()
			t.State, t.Modified = s, time.Now()
			if s == transfer.Completed {
				delete(all, t.ID)
			} else {
				all[t.ID] = t
			}
			c := *t
			mu.Unlock()
			shown(c)
		}
		become(transfer.NotStarted)
		run := func() {
			j, d := b.begin(time.Now())
			become(transfer.InProgress)
			var timer *time.Timer
			timer = time.AfterFunc(d, func() {
				if d := b.poll(j, time.Now()); d > 0 {
					timer.Reset(d)
					return
				}
				become(transfer.Completed)
				b.finished <- t.Owner
			})
		}
		if b.remote == nil {
			run()
		} else {
			go run() // as many POSTs at a time as there are connections
		}
	}
}

// plainFeed shows one person's stream what changes, in memory: what was not taken yet is replaced.
type plainFeed struct {
	mu      sync.Mutex
	pending map[string]transfer.Transfer
	signal  chan struct{}
}

func (f *plainFeed) put(t transfer.Transfer) {
	f.mu.Lock()
	f.pending[t.ID] = t
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

func (f *plainFeed) follow(to *sample) {
	for range f.signal {
		f.mu.Lock()
		for _, t := range f.pending {
			if to.counting.Load() {
				to.add(time.Since(t.Modified))
			}
		}
		clear(f.pending)
		f.mu.Unlock()
	}
}

// flood is a measurement of n transfers at a time.
type flood struct {
	n        int
	http     bool // the monitor is another process
	watchers int  // streams in this process
	readers  int  // event streams over HTTP, in another process
}

func (m flood) begin() (*bench, func()) {
	b, end := &bench{finished: make(chan string, m.n+1000)}, func() {}
	if m.http {
		b.remote, end = startStandIn()
	}
	for i := range m.n {
		b.finished <- fmt.Sprintf("user%d", i%1000)
	}
	return b, end
}

func (m flood) loop() figures {
	b, end := m.begin()
	defer end()
	latency, feeds := &sample{}, map[string]*plainFeed{}
	for i := range m.watchers {
		f := &plainFeed{pending: map[string]transfer.Transfer{}, signal: make(chan struct{}, 1)}
		feeds[fmt.Sprintf("user%d", i)] = f
		go f.follow(latency)
	}
	go b.loop(func(t transfer.Transfer) {
		if f := feeds[t.Owner]; f != nil {
			f.put(t)
		}
	})
	return b.measure(latency, nil)
}

func (m flood) engine() figures {
	b, end := m.begin()
	defer end()
	e, clean := benchEngine()
	defer clean()
	defer e.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	latency := &sample{}
	for i := range m.watchers {
		go follow(ctx, e.store, fmt.Sprintf("user%d", i), latency)
	}
	r := transfer.NewRunner(e.store, b, transfer.RunnerOptions{PerAccount: m.n})
	if err := r.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = r.Stop(context.Background()) }()
	var outside *process
	if m.readers > 0 {
		outside = startReaders(ctx, e.store, m.readers)
	}
	for i := range 256 {
		go func() {
			for owner := range b.finished {
				if _, _, err := e.store.Submit(ctx, owner, picture(i), ""); err != nil {
					return
				}
			}
		}()
	}
	return b.measure(latency, outside)
}

// measure lets the run go on for a while and counts.
func (b *bench) measure(latency *sample, outside *process) figures {
	time.Sleep(warm())
	for wait := 0; len(b.finished) > 1000 && wait < 60; wait++ { // not all are in flight yet
		time.Sleep(time.Second)
	}
	runtime.GC()
	profiled := profile()
	latency.counting.Store(true)
	b.counting.Store(true)
	if outside != nil {
		outside.say("count")
	}
	cpu, begin := cpuTime(), time.Now()
	time.Sleep(15 * time.Second)
	b.counting.Store(false)
	latency.counting.Store(false)
	profiled()
	s := time.Since(begin).Seconds()
	f := figures{"cpu": (cpuTime() - cpu).Seconds() / s, "polls/s": float64(b.polls.Load()) / s, "done/s": float64(b.done.Load()) / s}
	b.mu.Lock()
	maps.Copy(f, percentiles("late", b.late))
	b.mu.Unlock()
	if outside != nil {
		maps.Copy(f, outside.end())
	}
	latency.mu.Lock()
	defer latency.mu.Unlock()
	if len(latency.ds) > 0 {
		maps.Copy(f, percentiles("event", latency.ds))
	}
	return f
}

// warm is how long a run goes on before it counts, until old and young are mixed. SKYLIFT_TEST_WARM
// makes it longer, to see whether a rate lasts.
func warm() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SKYLIFT_TEST_WARM")); err == nil {
		return d
	}
	return 20 * time.Second
}

// profile writes where the time and the memory go into the folder that SKYLIFT_TEST_PROFILE names.
func profile() (end func()) {
	dir := os.Getenv("SKYLIFT_TEST_PROFILE")
	if dir == "" {
		return func() {}
	}
	name := filepath.Join(dir, os.Getenv(childEnv))
	f := must(os.Create(name + ".cpu"))
	if err := pprof.StartCPUProfile(f); err != nil {
		panic(err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
		heap := must(os.Create(name + ".heap"))
		_ = pprof.WriteHeapProfile(heap)
		_ = heap.Close()
	}
}

type sample struct {
	counting atomic.Bool
	mu       sync.Mutex
	ds       []time.Duration
}

func (s *sample) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ds = append(s.ds, d)
}

// follow measures from the beginning of a write to its arrival: Modified is set when the write begins.
func follow(ctx context.Context, s *transfer.Store, owner string, to *sample) {
	for e, err := range s.Watch(ctx, owner, 0) {
		if err != nil {
			panic(err)
		}
		if to.counting.Load() {
			to.add(time.Since(e.Transfer.Modified))
		}
	}
}
