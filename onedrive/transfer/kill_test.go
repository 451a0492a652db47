package transfer_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skylift/onedrive/transfer"
)

// The kill harness: a parent keeps the truth of what OneDrive holds and kills a server process again
// and again, at random and at each named point of its work. A thousand kills:
//
//	go test ./onedrive/transfer -run TestKill -kills 1000 -timeout 60m
var kills = flag.Int("kills", 60, "how often TestKill kills the server; 12 with -short")

// crashPoints are where the process under test kills itself.
var crashPoints = []string{
	"write.before", "write.after", "accept.after", "keep.after", "final.before", "final.after", "adopt.after",
	"post.before", "post.after",
}

const inFlight = 50

// truth is what OneDrive holds, served to the children over HTTP.
type truth struct {
	mu    sync.Mutex
	files map[string]int       // by transfer
	begun map[string]time.Time // of the job
	first map[string]time.Time // by child: its first sign of life at an old transfer
}

func (m *truth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, child := r.FormValue("id"), r.FormValue("child")
	m.mu.Lock()
	defer m.mu.Unlock()
	if begun, old := m.begun[id]; old && m.first[child].IsZero() && time.Since(begun) > 0 {
		m.first[child] = time.Now()
	}
	switch r.URL.Path {
	case "/post":
		m.files[id]++
		m.begun[id] = time.Now()
	case "/look":
		_, _ = fmt.Fprint(w, m.files[id])
	case "/poll":
		_, _ = fmt.Fprint(w, time.Since(m.begun[id]) > 150*time.Millisecond)
	}
}

// remote is the Mover of a child: it asks the truth.
type remote struct {
	url, child string
	at         func(string)
	repost     bool // broken on purpose: repeats the POST
}

func (m *remote) ask(ctx context.Context, path, id string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+path+"?"+url.Values{"id": {id}, "child": {m.child}}.Encode(), nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func (m *remote) Step(ctx context.Context, t *transfer.Transfer, keep func() error, _ func()) (transfer.Next, error) {
	again := transfer.Next{After: 20 * time.Millisecond}
	switch t.Work.Phase {
	case transfer.Choosing:
		t.Route, t.State, t.Work.Phase, t.Work.PostedAt = transfer.Native, transfer.InProgress, transfer.Posting, time.Now()
		if err := keep(); err != nil {
			return again, err
		}
	case transfer.Posting:
		n, err := m.ask(ctx, "/look", t.ID)
		if err != nil {
			return again, err
		}
		if n != "0" && !m.repost {
			t.Work.Phase = transfer.Polling
			return again, nil
		}
	default:
		done, err := m.ask(ctx, "/poll", t.ID)
		if done == "true" {
			t.State = transfer.Completed
		}
		return again, err
	}
	m.at("post.before")
	if _, err := m.ask(ctx, "/post", t.ID); err != nil {
		return again, err
	}
	m.at("post.after")
	t.Work.Phase, t.Work.Monitor = transfer.Polling, "https://monitor.example/"
	return again, keep()
}

func (m *remote) Abandon(context.Context, *transfer.Transfer) error { return nil }

// childServer is the process that gets killed.
func childServer() {
	crash, broken := os.Getenv("SKYLIFT_TEST_CRASH"), os.Getenv("SKYLIFT_TEST_BROKEN")
	var left atomic.Int64
	left.Store(rand.Int64N(20) + 1)
	at := func(point string) {
		if point == crash && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	e := reopenWith(os.Getenv("SKYLIFT_TEST_DIR"), transfer.StoreOptions{Sealer: clearSealer{}}.At(at))
	m := &remote{url: os.Getenv("SKYLIFT_TEST_TRUTH"), child: fmt.Sprint(os.Getpid()), at: at, repost: broken == "repost"}
	r := transfer.NewRunner(e.store, m, transfer.RunnerOptions{PerAccount: inFlight})
	if err := r.Start(context.Background()); err != nil {
		panic(err)
	}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Println(l.Addr())
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		submit := func() (transfer.Transfer, bool, error) {
			return e.store.Submit(context.Background(), "robin", picture(1), req.FormValue("key"))
		}
		if broken == "unsynced" { // says yes before it is stored
			time.AfterFunc(rand.N(400*time.Millisecond), func() { _, _, _ = submit() })
			return
		}
		t, isNew, err := submit()
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": t.ID, "state": t.State, "new": isNew})
	})))
}

func init() { children["server"] = childServer }

// victim is a running child.
type victim struct {
	cmd   *exec.Cmd
	url   string
	begun time.Time
}

func startVictim(t *testing.T, dir, truthURL, crash, broken string) *victim {
	t.Helper()
	v := &victim{cmd: exec.Command(os.Args[0], "-test.run=^$"), begun: time.Now()}
	v.cmd.Env = append(os.Environ(), childEnv+"=server", "SKYLIFT_TEST_DIR="+dir, "SKYLIFT_TEST_TRUTH="+truthURL,
		"SKYLIFT_TEST_CRASH="+crash, "SKYLIFT_TEST_BROKEN="+broken)
	v.cmd.Stderr = os.Stderr
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n') // nothing when it died before it listened
	if line = strings.TrimSpace(line); line != "" {
		v.url = "http://" + line
	}
	return v
}

func (v *victim) kill() {
	_ = v.cmd.Process.Kill()
	_ = v.cmd.Wait()
}

// submit asks for one transfer; ok means that it was promised.
func (v *victim) submit(key string) (answer struct {
	ID    string
	State transfer.State
	New   bool
}, ok bool) {
	c := http.Client{Timeout: 5 * time.Second}
	res, err := c.Post(v.url+"/?"+url.Values{"key": {key}}.Encode(), "", nil)
	if err != nil {
		return answer, false
	}
	defer func() { _ = res.Body.Close() }()
	err = json.NewDecoder(res.Body).Decode(&answer)
	return answer, res.StatusCode == http.StatusOK && (err == nil || err == io.EOF)
}

// verdict is what the truth says after all kills.
type verdict struct {
	promised, lost, duplicate int
	recovery                  []time.Duration
}

func killing(t *testing.T, rounds int, broken string, points []string) verdict {
	t.Helper()
	m := &truth{files: map[string]int{}, begun: map[string]time.Time{}, first: map[string]time.Time{}}
	server := httptest.NewServer(m)
	defer server.Close()
	dir := t.TempDir()
	var v verdict
	var promised []string
	for round := range rounds {
		crash := ""
		if round%2 == 0 && len(points) > 0 {
			crash = points[round/2%len(points)]
		}
		child := startVictim(t, dir, server.URL, crash, broken)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range inFlight {
			wg.Go(func() {
				key := fmt.Sprintf("%d-%d", round, i)
				if _, ok := child.submit(key); ok {
					mu.Lock()
					promised = append(promised, key)
					mu.Unlock()
				}
			})
		}
		time.Sleep(50*time.Millisecond + rand.N(500*time.Millisecond)) // the random moment
		child.kill()
		wg.Wait()
		m.mu.Lock()
		if first, ok := m.first[fmt.Sprint(child.cmd.Process.Pid)]; ok && round > 0 {
			v.recovery = append(v.recovery, first.Sub(child.begun))
		}
		m.mu.Unlock()
	}
	// A last child brings everything to its end.
	child := startVictim(t, dir, server.URL, "", broken)
	defer child.kill()
	v.promised = len(promised)
	deadline := time.Now().Add(60 * time.Second)
	for _, key := range promised {
		for {
			a, ok := child.submit(key)
			if broken == "unsynced" {
				break // its answers say nothing; the files do
			}
			if ok && a.New {
				v.lost++
				break
			}
			if ok && a.State == transfer.Completed {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("transfer %q is %q 60 s after the last start", key, a.State)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if broken == "unsynced" {
		v.lost = max(len(promised)-len(m.files), 0)
	}
	for _, n := range m.files {
		if n > 1 {
			v.duplicate++
		}
	}
	return v
}

func TestKill(t *testing.T) {
	n := *kills
	if testing.Short() {
		n = min(n, 12)
	}
	v := killing(t, n, "", crashPoints)
	slices.Sort(v.recovery)
	p99 := time.Duration(0)
	if len(v.recovery) > 0 {
		p99 = v.recovery[(len(v.recovery)-1)*99/100]
	}
	t.Logf("%d kills, %d promised, %d lost, %d duplicate, recovery p99 %v of %d", n, v.promised, v.lost, v.duplicate, p99, len(v.recovery))
	if v.lost+v.duplicate > 0 || v.promised == 0 {
		t.Errorf("%d of %d lost, %d duplicate; want none", v.lost, v.promised, v.duplicate)
	}
	if p99 > 3*time.Second {
		t.Errorf("recovery p99 %v, want < 3 s", p99)
	}
}

// TestKillFindsABrokenBuild shows that the harness can fail.
func TestKillFindsABrokenBuild(t *testing.T) {
	if v := killing(t, 6, "unsynced", []string{"write.before"}); v.lost == 0 {
		t.Error("transfers promised before they were stored: none lost, the harness sees nothing")
	}
	if v := killing(t, 8, "repost", []string{"post.after"}); v.duplicate == 0 {
		t.Error("a repeated POST: no duplicate, the harness sees nothing")
	}
}
