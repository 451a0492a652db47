package transfer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// The benchmarks of the engine. Each measurement runs in a process of its own, so that memory and CPU
// are its own; the plain in-memory loop runs first and the ratios are to it. One command for all:
//
//	go test ./onedrive/transfer -run '^$' -bench Engine -benchtime 1x -timeout 30m
//
// A measurement is chosen by name, as in -bench Engine/accept.

// childEnv makes this test binary a measurement or a server to be killed: see TestMain.
const childEnv = "SKYLIFT_TEST_CHILD"

var children = map[string]func(){
	"accept64":  func() { report(measureAccept(64)) },
	"accept256": func() { report(measureAccept(256)) },
	"loop50k":   func() { report(measureInFlight(false, 50000, 0)) },
	"engine50k": func() { report(measureInFlight(true, 50000, 1000)) },
	"loop10k":   func() { report(measureInFlight(false, 10000, 0)) },
	"engine10k": func() { report(measureInFlight(true, 10000, 1000)) },
	"page":      func() { report(measurePage()) },
	"start":     func() { report(measureStart()) },
}

func TestMain(m *testing.M) {
	if f := children[os.Getenv(childEnv)]; f != nil {
		transfer.Forget()
		f()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// figures are what a measurement found, by unit.
type figures map[string]float64

func report(f figures) {
	f["MiB-rss"], f["MiB-rss-peak"] = memory("VmRSS:"), memory("VmHWM:")
	_ = json.NewEncoder(os.Stdout).Encode(f)
}

func memory(field string) float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

func child(b *testing.B, name string) figures {
	b.Helper()
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), childEnv+"="+name)
	c.Stderr = os.Stderr
	out, err := c.Output()
	var f figures
	if err != nil || json.Unmarshal(out, &f) != nil {
		b.Fatalf("%s: %v: %s", name, err, out)
	}
	return f
}

func show(b *testing.B, f figures) {
	b.ReportMetric(0, "ns/op")
	for unit, v := range f {
		b.ReportMetric(v, unit)
	}
}

func BenchmarkEngine(b *testing.B) {
	for _, name := range []string{"accept64", "accept256", "page", "start"} {
		b.Run(name, func(b *testing.B) { show(b, child(b, name)) })
	}
	for _, n := range []string{"10k", "50k"} {
		b.Run("inflight"+n, func(b *testing.B) {
			loop := child(b, "loop"+n)
			f := child(b, "engine"+n)
			f["loop-polls/s"], f["loop-cpu"] = loop["polls/s"], loop["cpu"]
			f["x-polls"], f["x-done"], f["x-cpu"] = f["polls/s"]/loop["polls/s"], f["done/s"]/loop["done/s"], f["cpu"]/loop["cpu"]
			show(b, f)
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// benchEngine is a store in a fresh folder, synced.
func benchEngine() (*engine, func()) {
	dir := must(os.MkdirTemp("", "skylift-bench-*"))
	return reopen(dir), func() { _ = os.RemoveAll(dir) }
}

type clearSealer struct{}

func (clearSealer) Seal(_, _ string, plain []byte) []byte           { return plain }
func (clearSealer) Open(_, _ string, sealed []byte) ([]byte, error) { return sealed, nil }

func reopen(dir string) *engine {
	return reopenWith(dir, transfer.StoreOptions{Sealer: clearSealer{}})
}

func reopenWith(dir string, o transfer.StoreOptions) *engine {
	node := must(natsd.Start(natsd.Options{Dir: dir}))
	return &engine{node, must(transfer.OpenStore(context.Background(), node.JetStream(), node.Conn(), o))}
}

func measureAccept(submitters int) figures {
	e, clean := benchEngine()
	defer clean()
	defer e.close()
	const d = 5 * time.Second
	var count atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range submitters {
		wg.Go(func() {
			var mine []time.Duration
			for n := 0; time.Since(begin) < d; n++ {
				at := time.Now()
				_, _, err := e.store.Submit(context.Background(), fmt.Sprintf("user%d", i), picture(n), "")
				if err != nil {
					panic(err)
				}
				mine = append(mine, time.Since(at))
				count.Add(1)
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	f := percentiles("accept", took)
	f["accepts/s"] = float64(count.Load()) / time.Since(begin).Seconds()
	return f
}

func percentiles(name string, ds []time.Duration) figures {
	slices.Sort(ds)
	at := func(p float64) float64 {
		if len(ds) == 0 {
			return 0
		}
		return float64(ds[int(p*float64(len(ds)-1))].Microseconds()) / 1000
	}
	return figures{name + "-p50-ms": at(0.50), name + "-p99-ms": at(0.99)}
}

// bench is a Mover whose monitor answers in the process: jobs of 2-20 s, delays of 250 ms growing by
// half to 5 s. It measures how late each step comes.
type bench struct {
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
}

func (b *bench) begin(now time.Time) (*benchJob, time.Duration) {
	j := &benchJob{ends: now.Add(2*time.Second + rand.N(18*time.Second)), delay: 250 * time.Millisecond}
	j.due = now.Add(j.delay)
	return j, j.delay
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
	if !now.Before(j.ends) {
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
		t.Work.Phase, t.Work.Monitor = transfer.Polling, "https://monitor.example/token"
		if err := keep(); err != nil {
			return transfer.Next{}, err
		}
		j, d := b.begin(time.Now())
		b.jobs.Store(t.ID, j)
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

func (b *bench) Abandon(context.Context, *transfer.Transfer) error { return nil }

// loop is the plain in-memory loop: a timer for each transfer and nothing that lasts.
func (b *bench) loop() {
	mu, all := sync.Mutex{}, map[string]*transfer.Transfer{}
	n := 0
	for owner := range b.finished {
		n++
		t := &transfer.Transfer{ID: strconv.Itoa(n), Owner: owner, State: transfer.InProgress, SourceURL: picture(n).SourceURL, Name: "picture.jpg"}
		mu.Lock()
		all[t.ID] = t
		mu.Unlock()
		j, d := b.begin(time.Now())
		var timer *time.Timer
		timer = time.AfterFunc(d, func() {
			if d := b.poll(j, time.Now()); d > 0 {
				timer.Reset(d)
				return
			}
			mu.Lock()
			t.State = transfer.Completed
			delete(all, t.ID)
			mu.Unlock()
			b.finished <- t.Owner
		})
	}
}

func measureInFlight(durable bool, n, watchers int) figures {
	b := &bench{finished: make(chan string, n+1000)}
	for i := range n {
		b.finished <- fmt.Sprintf("user%d", i%1000)
	}
	f := figures{}
	latency := &sample{}
	if durable {
		e, clean := benchEngine()
		defer clean()
		defer e.close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for i := range watchers {
			go follow(ctx, e.store, fmt.Sprintf("user%d", i), latency)
		}
		r := transfer.NewRunner(e.store, b, transfer.RunnerOptions{PerAccount: n})
		if err := r.Start(ctx); err != nil {
			panic(err)
		}
		defer func() { _ = r.Stop(context.Background()) }()
		for i := range 256 {
			go func() {
				for owner := range b.finished {
					if _, _, err := e.store.Submit(ctx, owner, picture(i), ""); err != nil {
						return
					}
				}
			}()
		}
	} else {
		go b.loop()
	}
	time.Sleep(warm())
	runtime.GC()
	profiled := profile()
	latency.counting.Store(true)
	b.counting.Store(true)
	cpu, begin := cpuTime(), time.Now()
	time.Sleep(15 * time.Second)
	b.counting.Store(false)
	latency.counting.Store(false)
	profiled()
	s := time.Since(begin).Seconds()
	f["cpu"] = (cpuTime() - cpu).Seconds() / s
	f["polls/s"], f["done/s"] = float64(b.polls.Load())/s, float64(b.done.Load())/s
	b.mu.Lock()
	for k, v := range percentiles("late", b.late) {
		f[k] = v
	}
	b.mu.Unlock()
	if watchers > 0 {
		latency.mu.Lock()
		for k, v := range percentiles("event", latency.ds) {
			f[k] = v
		}
		latency.mu.Unlock()
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

// follow measures from the beginning of a write to its arrival: Modified is set when the write begins.
func follow(ctx context.Context, s *transfer.Store, owner string, to *sample) {
	for e, err := range s.Watch(ctx, owner, 0) {
		if err != nil {
			panic(err)
		}
		if to.counting.Load() {
			to.mu.Lock()
			to.ds = append(to.ds, time.Since(e.Transfer.Modified))
			to.mu.Unlock()
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measurePage reads pages of 50 of a user with 20,000 records among 200,000.
func measurePage() figures {
	e, clean := benchEngine()
	defer clean()
	defer e.close()
	ctx := context.Background()
	fill(e.store, "busy", 20000)
	for i := range 36 {
		fill(e.store, fmt.Sprintf("user%d", i), 5000)
	}
	at := time.Now()
	must(e.store.List(ctx, "busy", transfer.ListOptions{})) // makes the index
	cold := time.Since(at)
	var first, deep, state, search, found []time.Duration
	cursor := ""
	for i := range 200 {
		at = time.Now()
		must(e.store.List(ctx, "busy", transfer.ListOptions{}))
		first = append(first, time.Since(at))
		at = time.Now()
		p := must(e.store.List(ctx, "busy", transfer.ListOptions{Cursor: cursor}))
		deep = append(deep, time.Since(at))
		cursor = p.Cursor
		if i%20 == 0 {
			at = time.Now()
			must(e.store.List(ctx, "busy", transfer.ListOptions{Query: fmt.Sprintf("/%d.jpg", i)}))
			search = append(search, time.Since(at))
		}
		at = time.Now()
		must(e.store.Find(ctx, "busy", "", picture(i).SourceURL))
		found = append(found, time.Since(at))
	}
	f := percentiles("page", first)
	f["cold-ms"] = float64(cold.Microseconds()) / 1000
	for _, g := range []figures{percentiles("deep", deep), percentiles("state", state), percentiles("search", search), percentiles("find", found)} {
		for k, v := range g {
			f[k] = v
		}
	}
	return f
}

// fill stores n finished transfers of owner.
func fill(s *transfer.Store, owner string, n int) {
	rs := make([]transfer.Request, min(n, 1000))
	for done := 0; done < n; done += len(rs) {
		for i := range rs {
			rs[i] = picture(done + i)
		}
		var wg sync.WaitGroup
		for _, got := range s.SubmitBatch(context.Background(), owner, rs, nil) {
			wg.Go(func() {
				t := got.Transfer
				t.State = transfer.Completed
				if err := s.Update(context.Background(), &t); err != nil {
					panic(err)
				}
			})
		}
		wg.Wait()
	}
}

// measureStart opens a folder with 10,000 records and stays idle.
func measureStart() figures {
	dir := must(os.MkdirTemp("", "skylift-bench-*"))
	defer func() { _ = os.RemoveAll(dir) }()
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), childEnv+"=fill10k", "SKYLIFT_TEST_DIR="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		panic(string(out))
	}
	begin := time.Now()
	e := reopen(dir)
	defer e.close()
	r := transfer.NewRunner(e.store, &bench{}, transfer.RunnerOptions{})
	if err := r.Start(context.Background()); err != nil {
		panic(err)
	}
	f := figures{"start-ms": float64(time.Since(begin).Microseconds()) / 1000}
	cpu := cpuTime()
	time.Sleep(5 * time.Second)
	f["idle-cpu"] = (cpuTime() - cpu).Seconds() / 5
	return f
}

func init() {
	children["fill10k"] = func() {
		e := reopen(os.Getenv("SKYLIFT_TEST_DIR"))
		fill(e.store, "user", 10000)
		e.close()
	}
}
