package transfer_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// line is a row of the table in README.md: a measure, what it is to reach, and what was found.
type line struct {
	measure, goal, found string
	reached              bool
}

func (l line) String() string {
	verdict := ""
	switch {
	case l.goal == "":
	case l.reached:
		verdict = "reached"
	default:
		verdict = "**not reached**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", l.measure, l.goal, l.found, verdict)
}

// engineTable gathers the rows in the order in which they are measured.
type engineTable []line

// atMost and atLeast add a row whose goal is a number; format says both.
func (t *engineTable) atMost(measure, format string, goal, v float64, more string, args ...any) {
	*t = append(*t, line{measure, fmt.Sprintf(format, goal), fmt.Sprintf(format, v) + fmt.Sprintf(more, args...), v <= goal})
}

func (t *engineTable) atLeast(measure, format string, goal, v float64, more string, args ...any) {
	*t = append(*t, line{measure, fmt.Sprintf(format, goal), fmt.Sprintf(format, v) + fmt.Sprintf(more, args...), v >= goal})
}

func (t *engineTable) print() {
	fmt.Println("\n| measure | goal | measured | |\n| --- | --- | --- | --- |")
	for _, l := range *t {
		fmt.Println(l)
	}
}

// against puts what the engine did beside the loop: polls and ends by time, CPU by the finished transfer.
func (f figures) against(loop figures) figures {
	f["loop-polls/s"], f["loop-done/s"], f["loop-late-p99-ms"] = loop["polls/s"], loop["done/s"], loop["late-p99-ms"]
	f["x-polls"], f["x-done"] = f["polls/s"]/loop["polls/s"], f["done/s"]/loop["done/s"]
	f["cpu-ms/done"], f["loop-cpu-ms/done"] = 1000*f["cpu"]/f["done/s"], 1000*loop["cpu"]/loop["done/s"]
	f["x-cpu"] = f["cpu-ms/done"] / f["loop-cpu-ms/done"]
	return f
}

func (t *engineTable) accept(f figures, submitters int, goal float64) {
	t.atLeast(fmt.Sprintf("synced accepts, %d submitters", submitters), "%.0f/s", goal, f["accepts/s"], ", p99 %.1f ms", f["accept-p99-ms"])
}

func (t *engineTable) inflight50k(f figures) {
	t.atLeast("50,000 in flight, polls against the loop", "%.2f", 0.97, f["x-polls"], ", and %.2f of its ends", f["x-done"])
	t.atMost("its lateness p99", "%.0f ms", 25, f["late-p99-ms"], "; the loop itself %.0f ms", f["loop-late-p99-ms"])
	t.atMost("its CPU for a finished transfer against the loop", "%.1f", 4, f["x-cpu"], ": %.2f ms, the loop %.3f", f["cpu-ms/done"], f["loop-cpu-ms/done"])
	t.atMost("its memory, with 1,000 streams", "%.0f MiB", 350, f["MiB-rss-peak"], "")
}

func (t *engineTable) inflight10k(f figures) {
	*t = append(*t, line{measure: "10,000 in flight, in the process", found: fmt.Sprintf("%.2f of the loop's polls, %.2f of its ends; lateness p99 %.0f ms, event p99 %.0f ms; %.0f MiB",
		f["x-polls"], f["x-done"], f["late-p99-ms"], f["event-p99-ms"], f["MiB-rss-peak"])})
}

func (t *engineTable) inflightHTTP(f figures) {
	t.atLeast("10,000 in flight over HTTP, ends against the loop", "%.2f", 0.98, f["x-done"], ", and %.2f of its polls", f["x-polls"])
	t.atMost("its lateness p99", "%.0f ms", 10, f["late-p99-ms"], "; the loop itself %.0f ms", f["loop-late-p99-ms"])
}

func (t *engineTable) sse(f figures) {
	t.atMost("change to 1,000 event streams, 10,000 in flight over HTTP, p99", "%.0f ms", 30, f["sse-p99-ms"], ", p50 %.0f ms", f["sse-p50-ms"])
}

func (t *engineTable) page(f figures) {
	t.atMost("page of 50 of 20,000, among 200,000 records, p99", "%.1f ms", 5, f["page-p99-ms"], ", p50 %.1f ms; further back p99 %.1f ms", f["page-p50-ms"], f["deep-p99-ms"])
	*t = append(*t, line{measure: "the first page after a start, which begins the index", found: fmt.Sprintf("%.0f ms", f["cold-ms"])},
		line{measure: "a page of a search that finds little", found: fmt.Sprintf("%.0f ms, then a cursor to go on", f["search-p50-ms"])})
}

func (t *engineTable) start(f figures) {
	t.atMost("start with 10,000 records", "%.0f ms", 150, f["start-ms"], "")
}

func (t *engineTable) idle(f figures) {
	t.atMost("idle memory, the product", "%.1f MiB", 35, f["MiB-rss"], " after 30 s, %.0f of them the program's own pages", f["MiB-file"])
	*t = append(*t, line{measure: "the same with 10,000 records", found: fmt.Sprintf("%.0f MiB", f["MiB-rss-10k"])})
}

// idleProduct builds the product and lets it stand on an empty folder, and on one with 10,000 records.
func idleProduct(b *testing.B) figures {
	b.Helper()
	dir := b.TempDir()
	program, data := filepath.Join(dir, "skylift"), filepath.Join(dir, "data")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "skylift").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	fill := exec.Command(os.Args[0], "-test.run=^$")
	fill.Env = append(os.Environ(), childEnv+"=fill10k", "SKYLIFT_TEST_DIR="+data)
	if out, err := fill.CombinedOutput(); err != nil {
		b.Fatalf("fill: %v\n%s", err, out)
	}
	f := standing(b, program, filepath.Join(dir, "empty"))
	f["MiB-rss-10k"] = standing(b, program, data)["MiB-rss"]
	return f
}

// standing is what program takes after 30 s on data.
func standing(b *testing.B, program, data string) figures {
	b.Helper()
	c := exec.Command(program)
	c.Env = append(os.Environ(), "SKYLIFT_DATA="+data, "SKYLIFT_LISTEN=127.0.0.1:0", "SKYLIFT_METRICS=off")
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	time.Sleep(30 * time.Second)
	pid := c.Process.Pid
	f := figures{"MiB-rss": memoryOf(pid, "VmRSS:"), "MiB-anonymous": memoryOf(pid, "RssAnon:"), "MiB-file": memoryOf(pid, "RssFile:")}
	_ = c.Process.Signal(os.Interrupt)
	if err := c.Wait(); err != nil || f["MiB-rss"] == 0 {
		b.Fatalf("the product: %v\n%s", err, said.String())
	}
	return f
}
