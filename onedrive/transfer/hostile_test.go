package transfer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// elsewhere is where the sources and the stand-in of the hostile sources' test are.
type elsewhere struct {
	Web, Graph string
	Tokens     map[string]string
}

// hostileEnv makes TestHostileSources play one of its parts in a process of its own, so that the
// memory that is measured is the product's alone.
const hostileEnv = "SKYLIFT_TEST_HOSTILE"

// 500 hostile sources at once: each one ends with the right word, healthy ones finish meanwhile, and
// memory stays bounded.
func TestHostileSources(t *testing.T) {
	switch os.Getenv(hostileEnv) {
	case "place":
		serveHostile(t)
		return
	case "saver":
		meetHostile(t)
		return
	}
	t.Parallel()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHostileSources$", "-test.v", fmt.Sprintf("-test.short=%v", testing.Short()))
	c.Env = append(os.Environ(), hostileEnv+"=saver", "GOMEMLIMIT=160MiB") // as in production
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the saver: %v", err)
	}
}

// serveHostile is the other side: it says where it is, and at the end of its input what is on the drives.
func serveHostile(t *testing.T) {
	w := newWorldWith(t, fakegraph.Options{Discard: true})
	hostile(w.web)
	p := elsewhere{w.web.URL, w.ms.GraphURL, map[string]string{kim: w.ms.Token(kim), alex: w.ms.Token(alex)}}
	for _, login := range []string{kim, alex} {
		w.ms.SetConduct(login, func(c *fakegraph.Conduct) { c.Temper = "retired" })
	}
	line, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("place %s\n", line)
	io.Copy(io.Discard, os.Stdin)
	healthy, others := 0, 0
	for _, f := range w.ms.Files(alex) {
		if f.Size == int64(len(tabby)) && strings.HasPrefix(f.Name, "tabby") {
			healthy++
		}
	}
	for _, f := range w.ms.Files(kim) {
		if strings.HasSuffix(f.Name, ".bin") {
			others++
		}
	}
	fmt.Printf("files %d %d\n", healthy, others)
}

// meetHostile is the product's side.
func meetHostile(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 100
	}
	c := exec.Command(os.Args[0], "-test.run=^TestHostileSources$")
	c.Env, c.Stderr = append(os.Environ(), hostileEnv+"=place", "GOMEMLIMIT=off"), os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(out)
	line, _ := answers.ReadString('\n')
	var p elsewhere
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "place ")), &p); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	w := farWorld(t, p)
	want := map[string]string{
		"slow": codeSourceTooSlow, "stalled": codeSourceTooSlow, "endless": codeSourceTooLarge, "headers": codeSourceUnavailable,
		"huge": codeSourceTooLarge, "round": codeSourceTooManyRedirects, "short": codeSourceIncomplete, "silent": codeSourceUnavailable,
	}
	kinds := []string{"slow", "stalled", "silent", "endless", "headers", "huge", "round", "short"}
	before := resident()
	peak := watchMemory(t)
	var wg, good sync.WaitGroup
	for i := range n {
		kind := kinds[i%len(kinds)]
		tr := w.ask(t, kim, Request{SourceURL: "/evil/" + kind + ".bin?n=" + fmt.Sprint(i)})
		wg.Go(func() {
			if w.drive(t, tr); tr.State != Failed || tr.Failure.Code != want[kind] {
				t.Errorf("%s: %s %+v; want %s", kind, tr.State, tr.Failure, want[kind])
			}
		})
	}
	healthy := make([]*Transfer, 20)
	began := time.Now()
	for i := range healthy {
		healthy[i] = w.ask(t, alex, Request{SourceURL: "/tabby.jpg"})
		good.Go(func() {
			if w.drive(t, healthy[i]); healthy[i].State != Completed || healthy[i].Item.Size != int64(len(tabby)) {
				t.Errorf("a healthy one: %s %+v", healthy[i].State, healthy[i].Failure)
			}
		})
	}
	good.Wait()
	took := time.Since(began)
	wg.Wait()
	mib := (peak() - before) >> 20
	t.Logf("%d hostile sources: healthy ones took %v, all %v, RSS grew by %d MiB at most", n, took, time.Since(began), mib)
	if mib > 256*raceFactor {
		t.Errorf("RSS grew by %d MiB", mib)
	}
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if n := strings.Count(string(stacks), "transfer.(*saving)") + strings.Count(string(stacks), "transfer.(*sourceBody)"); n > 0 {
		t.Errorf("%d goroutines of the saver are left", n)
	}
	in.Close()
	if line, _ := answers.ReadString('\n'); line != "files 20 0\n" {
		t.Errorf("on the drives: %q; want 20 of the healthy, 0 of the hostile", line)
	}
	io.Copy(io.Discard, answers)
	c.Wait()
}

// farWorld is a saver whose Microsoft and web are in another process.
func farWorld(t *testing.T, p elsewhere) *world {
	t.Helper()
	graph, err := onedrive.New(onedrive.Config{GraphURL: p.Graph})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{web: &web{Server: &httptest.Server{URL: p.Web}}}
	patience := 4 * time.Second // with the sources that say nothing
	if testing.Short() {
		patience = 2 * time.Second
	}
	w.src = SourceOptions{
		Allow: []string{strings.TrimPrefix(p.Web, "http://")}, MaxBytes: 8 << 20, PerHost: 1000, PerUser: 1000,
		Idle: 500 * time.Millisecond, Window: 600 * time.Millisecond, Header: patience,
	}
	w.opt = SaverOptions{Now: w.now, MaxSpool: 1 << 30, SpoolDir: t.TempDir(), Client: func(_ context.Context, owner string) (*onedrive.Client, error) {
		return graph.Client(func(context.Context, string) (string, error) { return p.Tokens[owner], nil }), nil
	}}
	w.restart(t)
	return w
}
