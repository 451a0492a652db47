package transfer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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
// It ends with the rows of the table in README.md. A measurement is chosen by name, as in
// -bench Engine/accept.

// childEnv makes this test binary a measurement or a server to be killed: see TestMain.
const childEnv = "SKYLIFT_TEST_CHILD"

var children = map[string]func(){
	"accept64":   func() { report(measureAccept(64)) },
	"accept256":  func() { report(measureAccept(256)) },
	"loop50k":    func() { report(flood{n: 50000, watchers: 1000}.loop()) },
	"engine50k":  func() { report(flood{n: 50000, watchers: 1000}.engine()) },
	"loop10k":    func() { report(flood{n: 10000, watchers: 1000}.loop()) },
	"engine10k":  func() { report(flood{n: 10000, watchers: 1000}.engine()) },
	"loopHTTP":   func() { report(flood{n: 10000, http: true}.loop()) },
	"engineHTTP": func() { report(flood{n: 10000, http: true}.engine()) },
	"engineSSE":  func() { report(flood{n: 10000, http: true, readers: 1000}.engine()) },
	"standIn":    serveMonitors,
	"readers":    readStreams,
	"page":       func() { report(measurePage()) },
	"start":      func() { report(measureStart()) },
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
	var t engineTable
	run := func(name string, measure func(b *testing.B) figures, add func(figures)) {
		b.Run(name, func(b *testing.B) {
			f := measure(b)
			show(b, f)
			add(f)
		})
	}
	alone := func(name string) func(*testing.B) figures {
		return func(b *testing.B) figures { return child(b, name) }
	}
	loopToo := func(n string) func(*testing.B) figures {
		return func(b *testing.B) figures {
			loop := child(b, "loop"+n)
			return child(b, "engine"+n).against(loop)
		}
	}
	run("accept64", alone("accept64"), func(f figures) { t.accept(f, 64, 5000) })
	run("accept256", alone("accept256"), func(f figures) { t.accept(f, 256, 12000) })
	run("inflight50k", loopToo("50k"), t.inflight50k)
	run("inflight10k", loopToo("10k"), t.inflight10k)
	run("inflightHTTP", loopToo("HTTP"), t.inflightHTTP)
	run("inflightSSE", alone("engineSSE"), t.sse)
	run("start", alone("start"), t.start)
	run("idle", idleProduct, t.idle)
	run("page", alone("page"), t.page)
	t.print()
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
		at = time.Now()
		must(e.store.List(ctx, "busy", transfer.ListOptions{State: transfer.Completed}))
		state = append(state, time.Since(at))
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
