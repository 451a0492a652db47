package transfer_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer"
)

// The speed of the relay beside rclone's copyurl and a bare loop, through one stand-in. The stand-in
// with the web server, the product (store and runner included), rclone and the loop are a process
// each, so that memory is their own. rclone v1.76.0 is taken from PATH; without it its lines are left out.
//
//	go test ./onedrive/transfer -run '^$' -bench Relay -benchtime 1x -timeout 30m
//
// SPEED.md holds what it measured.

const speedLogin = "alex@work.example" // a work account: nothing but the relay

// job is one row of the table: so many files of a size, at most so many at a time.
type job struct{ files, size, atOnce int }

var jobs = map[string]job{
	"1x1GiB":      {1, 1 << 30, 4},
	"1000x200KiB": {1000, 200 << 10, 4}, // rclone's own number at a time
	"16x256MiB":   {16, 256 << 20, 16},
}

// place is where the third process is.
type place struct {
	Graph, Source, Host, Token, Drive string
	Tokens                            []string // of the accounts that OneDrive fetches for
}

func init() {
	children["speedPlace"] = servePlace
	for name, j := range jobs {
		children["speed"+name] = func() { report(saveAll(readPlace(), j, name)) }
		children["loop"+name] = func() { report(loopAll(readPlace(), j, name)) }
	}
}

// servePlace is the stand-in and a web server of zeros, until its input ends.
func servePlace() {
	ms := fakegraph.New(fakegraph.Options{Discard: true, NoHash: true, Empty: true})
	p := place{Token: ms.Token(speedLogin)}
	graph, web := must(net.Listen("tcp", "127.0.0.1:0")), must(net.Listen("tcp", "127.0.0.1:0"))
	p.Graph = "http://" + graph.Addr().String()
	p.Host = web.Addr().String()
	p.Source = "http://" + p.Host
	go http.Serve(graph, ms)                        // both end with the process
	go http.Serve(web, http.HandlerFunc(serveSize)) //
	req := must(http.NewRequest("GET", p.Graph+"/v1.0/me/drive", nil))
	req.Header.Set("Authorization", "Bearer "+p.Token)
	res := must(http.DefaultClient.Do(req))
	var drive struct{ ID string }
	if err := json.NewDecoder(res.Body).Decode(&drive); err != nil {
		panic(err)
	}
	p.Drive = drive.ID
	_ = json.NewEncoder(os.Stdout).Encode(p)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// serveSize serves /size/name with ranges.
func serveSize(w http.ResponseWriter, r *http.Request) {
	size, _, _ := strings.Cut(r.URL.Path[1:], "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+size+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(zeros{}, 0, n))
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

func readPlace() (p place) {
	if err := json.Unmarshal([]byte(os.Getenv("SKYLIFT_TEST_PLACE")), &p); err != nil {
		panic(err)
	}
	return p
}

func (p place) source(j job, name string, i int) string {
	return fmt.Sprintf("%s/%d/%s-%d.bin", p.Source, j.size, name, i)
}

// saveAll is the product: submitted, stored, relayed, verified.
func saveAll(p place, j job, name string) figures {
	e, clean := benchEngine()
	defer clean()
	defer e.close()
	var asked atomic.Int64
	graph := must(onedrive.New(onedrive.Config{GraphURL: p.Graph + "/v1.0", Hosts: []string{strings.TrimPrefix(p.Graph, "http://")},
		Observe: func(onedrive.Call) { asked.Add(1) }}))
	source := transfer.NewSource(transfer.SourceOptions{Allow: []string{p.Host}, PerHost: j.atOnce + 1, PerUser: j.atOnce + 1})
	saver := transfer.NewSaver(transfer.SaverOptions{Source: source, Client: func(context.Context, string) (*onedrive.Client, error) {
		return graph.Client(func(context.Context, string) (string, error) { return p.Token, nil }), nil
	}})
	r := transfer.NewRunner(e.store, saver, transfer.RunnerOptions{PerAccount: j.atOnce, PerHost: j.atOnce})
	ctx := context.Background()
	if err := r.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = r.Stop(ctx) }()
	rs := make([]transfer.Request, j.files)
	for i := range rs {
		rs[i] = transfer.Request{SourceURL: p.source(j, "skylift-"+name, i)}
		if err := rs[i].Validate(); err != nil {
			panic(err)
		}
	}
	left := map[string]bool{}
	profiled := profile()
	began, cpu := time.Now(), cpuTime()
	for _, s := range e.store.SubmitBatch(ctx, "alex", rs, nil) {
		if s.Err != nil {
			panic(s.Err)
		}
		left[s.Transfer.ID] = true
	}
	for ev, err := range e.store.Watch(ctx, "alex", 1) {
		if err != nil {
			panic(err)
		}
		if t := ev.Transfer; t.State.Final() && left[t.ID] {
			if t.State != transfer.Completed || t.Route != transfer.Relay || t.Item.Size != int64(j.size) {
				panic(fmt.Sprintf("%+v %+v", t, t.Failure))
			}
			if delete(left, t.ID); len(left) == 0 {
				break
			}
		}
	}
	f := speedOf(j, time.Since(began))
	profiled()
	f["graph/file"], f["cpu-ms/file"] = float64(asked.Load())/float64(j.files), (cpuTime()-cpu).Seconds()*1000/float64(j.files)
	f["records/file"] = float64(e.records()) / float64(j.files)
	return f
}

// records is how many were ever written to the store.
func (e *engine) records() uint64 {
	s := must(e.node.JetStream().Stream(context.Background(), "KV_transfers"))
	return s.CachedInfo().State.LastSeq
}

// loopAll is the least that anybody could do: GET and PUT, nothing kept, nothing checked.
func loopAll(p place, j job, name string) figures {
	began, cpu := time.Now(), cpuTime()
	var wg sync.WaitGroup
	next := make(chan int)
	for range j.atOnce {
		wg.Go(func() {
			for i := range next {
				res := must(http.Get(p.source(j, "loop", i)))
				req := must(http.NewRequest("PUT", fmt.Sprintf("%s/v1.0/me/drive/root:/loop-%d.bin:/content", p.Graph, i), res.Body))
				req.ContentLength = res.ContentLength
				req.Header.Set("Authorization", "Bearer "+p.Token)
				put := must(http.DefaultClient.Do(req))
				_, _ = io.Copy(io.Discard, put.Body)
				put.Body.Close()
				res.Body.Close()
				if put.StatusCode != http.StatusCreated {
					panic(put.Status)
				}
			}
		})
	}
	for i := range j.files {
		next <- i
	}
	close(next)
	wg.Wait()
	f := speedOf(j, time.Since(began))
	f["cpu-ms/file"] = (cpuTime() - cpu).Seconds() * 1000 / float64(j.files)
	return f
}

func speedOf(j job, d time.Duration) figures {
	return figures{"s": d.Seconds(), "MiB/s": float64(j.files) * float64(j.size) / (1 << 20) / d.Seconds(), "files/s": float64(j.files) / d.Seconds()}
}

// startPlace runs the third process as long as the benchmark.
func startPlace(b *testing.B, name string) (p place) {
	b.Helper()
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), childEnv+"="+name)
	c.Stderr = os.Stderr
	in, out := must(c.StdinPipe()), must(c.StdoutPipe())
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &p) != nil {
		b.Fatalf("the stand-in: %v %s", err, line)
	}
	b.Setenv("SKYLIFT_TEST_PLACE", string(line))
	return p
}

// rcloneAll lets rclone do the same, and measures time and memory from outside.
func rcloneAll(b *testing.B, p place, j job, name string) figures {
	b.Helper()
	program, err := exec.LookPath("rclone")
	if err != nil {
		return nil
	}
	dir := b.TempDir()
	token, _ := json.Marshal(map[string]any{"access_token": p.Token, "token_type": "Bearer", "refresh_token": "none", "expiry": time.Now().Add(time.Hour)})
	config := filepath.Join(dir, "rclone.conf")
	text := fmt.Sprintf("[od]\ntype = onedrive\nclient_id = rclone\nclient_secret = secret\nauth_url = %[1]s/common/oauth2/v2.0/authorize\ntoken_url = %[1]s/common/oauth2/v2.0/token\n"+
		"tenant_url = %[1]s\ntenant_api_version = v1.0\ntoken = %[2]s\ndrive_id = %[3]s\ndrive_type = business\n", p.Graph, token, p.Drive)
	var list strings.Builder
	for i := range j.files {
		fmt.Fprintf(&list, "%s,rclone-%s-%d.bin\n", p.source(j, "rclone", i), name, i)
	}
	urls := filepath.Join(dir, "urls.csv")
	for path, text := range map[string]string{config: text, urls: list.String()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	c := exec.Command(program, "--config", config, "--retries", "1", "--transfers", strconv.Itoa(j.atOnce), "copyurl", "--urls", urls, "od:")
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	began := time.Now()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	ended, peak := make(chan struct{}), make(chan float64)
	go func() { // ends with the program
		most, tick := 0.0, time.NewTicker(20*time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, memoryOf(c.Process.Pid, "VmHWM:"))
			select {
			case <-tick.C:
			case <-ended:
				peak <- most
				return
			}
		}
	}()
	err = c.Wait()
	d := time.Since(began)
	close(ended)
	if most := <-peak; err == nil {
		f := speedOf(j, d)
		f["MiB-rss-peak"] = most
		return f
	}
	b.Fatalf("rclone: %v\n%s", err, said.String())
	return nil
}

func memoryOf(pid int, field string) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// table is rows of SPEED.md, to be copied.
type table []string

func (t *table) add(format string, args ...any) {
	*t = append(*t, fmt.Sprintf("| "+format+" |", args...))
}

func (t table) print() {
	fmt.Println("| work | Skylift | rclone | bare loop | aim | reached |\n|---|---|---|---|---|---|")
	fmt.Println(strings.Join(t, "\n"))
}

func reached(yes bool) string {
	if yes {
		return "yes"
	}
	return "**no**"
}

// rows are what f says of a job.
func (t *table) rows(name string, f figures) {
	rclone := fmt.Sprintf("%.2f s", f["rclone-s"])
	switch name {
	case "1x1GiB":
		t.add("1 × 1 GiB, time | %.2f s | %s | | ≥ 1.0 × rclone | %s: %.2f ×", f["s"], rclone, reached(f["x-rclone"] >= 1), f["x-rclone"])
	case "1000x200KiB":
		t.add("1,000 × 200 KiB, 4 at a time | %.2f s, %.0f files/s | %s | | ≥ 2 × rclone | %s: %.1f ×", f["s"], f["files/s"], rclone, reached(f["x-rclone"] >= 2), f["x-rclone"])
		t.add("the same, beside the loop | %.1f ms of CPU a file, %.1f requests, %.1f records | | %.1f ms of CPU a file | ≥ 0.8 of the loop | %s: %.2f",
			f["cpu-ms/file"], f["graph/file"], f["records/file"], f["loop-cpu-ms/file"], reached(f["x-loop"] >= 0.8), f["x-loop"])
	case "16x256MiB":
		t.add("16 × 256 MiB at once, time | %.2f s | %s | | | %.2f ×", f["s"], rclone, f["x-rclone"])
	}
	aim := map[string]string{"1x1GiB": "≤ half of rclone's", "16x256MiB": "≤ 120 MB"}[name]
	met := map[string]string{"1x1GiB": fmt.Sprintf("%s: %.2f ×", reached(f["x-rclone-rss"] <= 0.5), f["x-rclone-rss"]), "16x256MiB": reached(f["MiB-rss-peak"] <= 120e6/(1<<20))}[name]
	t.add("the same, peak memory | %.0f MiB | %.0f MiB | | %s | %s", f["MiB-rss-peak"], f["rclone-MiB-rss-peak"], aim, met)
}

func BenchmarkRelay(b *testing.B) {
	var rows table
	for _, name := range []string{"1x1GiB", "1000x200KiB", "16x256MiB"} {
		b.Run(name, func(b *testing.B) {
			p, j := startPlace(b, "speedPlace"), jobs[name]
			ours := child(b, "speed"+name)
			f := figures{}
			for _, unit := range []string{"s", "MiB/s", "files/s", "MiB-rss-peak", "graph/file", "records/file", "cpu-ms/file"} {
				f[unit] = ours[unit]
			}
			if theirs := rcloneAll(b, p, j, name); theirs != nil {
				f["rclone-s"], f["rclone-MiB-rss-peak"] = theirs["s"], theirs["MiB-rss-peak"]
				f["x-rclone"], f["x-rclone-rss"] = theirs["s"]/ours["s"], ours["MiB-rss-peak"]/theirs["MiB-rss-peak"]
			}
			if j.size <= 4<<20 {
				loop := child(b, "loop"+name)
				f["x-loop"], f["loop-cpu-ms/file"] = loop["s"]/ours["s"], loop["cpu-ms/file"]
			}
			rows.rows(name, f)
			show(b, f)
		})
	}
	rows.print()
}
