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
	"strconv"
	"strings"
	"sync"
	"time"

	"skylift/handlers/sse"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// What the benchmarks of transfers in flight run in other processes: a stand-in for Microsoft that
// does nothing but answer, and a thousand readers of event streams.

// process is a child that tells where it is, hears commands and says its figures when its input ends.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	first string // its first line
}

func startProcess(name string, env ...string) *process {
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(append(os.Environ(), childEnv+"="+name), env...)
	c.Stderr = os.Stderr
	p := &process{cmd: c, in: must(c.StdinPipe()), out: bufio.NewReader(must(c.StdoutPipe()))}
	if err := c.Start(); err != nil {
		panic(err)
	}
	p.first = strings.TrimSpace(must(p.out.ReadString('\n')))
	return p
}

func (p *process) say(line string) { _, _ = fmt.Fprintln(p.in, line) }

func (p *process) end() (f figures) {
	_ = p.in.Close()
	_ = json.NewDecoder(p.out).Decode(&f)
	_ = p.cmd.Wait()
	return f
}

// serveMonitors is the stand-in: a POST gives the address of a monitor, which knows when its job ends.
func serveMonitors() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /job/{ends}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+"/monitor/"+r.PathValue("ends"))
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /monitor/{ends}", func(w http.ResponseWriter, r *http.Request) {
		ends, _ := strconv.ParseInt(r.PathValue("ends"), 10, 64)
		w.Header().Set("Content-Type", "application/json")
		if time.Now().UnixMilli() < ends {
			_, _ = io.WriteString(w, `{"operation":"DownloadUrl","percentageComplete":27.8,"status":"inProgress"}`)
			return
		}
		_, _ = io.WriteString(w, `{"percentageComplete":100.0,"resourceId":"01MOWKYVJML57KN2ANMBA3JZJS2MBGC7KM","status":"completed"}`)
	})
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	go http.Serve(l, mux) // ends with the process
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// standIn is the client of it: the product's Graph client, over at most 256 connections.
type standIn struct {
	host   string
	http   *http.Client
	client *onedrive.Client
}

func startStandIn() (*standIn, func()) {
	p := startProcess("standIn")
	h := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 256, MaxIdleConnsPerHost: 256}}
	g := must(onedrive.New(onedrive.Config{GraphURL: "http://" + p.first + "/v1.0", Hosts: []string{p.first}, Bare: h}))
	return &standIn{host: p.first, http: h, client: g.Client(nil)}, func() { p.end() }
}

func (s *standIn) post(ends time.Time) onedrive.SecretURL {
	for {
		res, err := s.http.Post(fmt.Sprintf("http://%s/job/%d", s.host, ends.UnixMilli()), "application/json", strings.NewReader("{}"))
		if err == nil {
			_ = res.Body.Close()
			return onedrive.SecretURL(res.Header.Get("Location"))
		}
	}
}

func (s *standIn) completed(monitor onedrive.SecretURL) bool {
	status, err := s.client.MonitorStatus(context.Background(), monitor)
	return err == nil && status.State == onedrive.JobCompleted
}

// startReaders serves store's events over HTTP, as the web side does, to n readers in another process.
func startReaders(ctx context.Context, store *transfer.Store, n int) *process {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	go http.Serve(l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { // ends with the process
		w, err := sse.Open(rw)
		if err != nil {
			return
		}
		ctx, fail := context.WithCancelCause(ctx)
		defer fail(nil)
		for e := range sse.Pump(ctx, store.Watch(ctx, r.URL.Path[1:], 0), fail) {
			e.Transfer.Work = transfer.Work{}
			data, _ := json.Marshal(e.Transfer)
			if w.Send(sse.Event{ID: e.ID, Name: "transfer", Data: data}) != nil {
				return
			}
		}
	}))
	return startProcess("readers", "SKYLIFT_TEST_ADDR="+l.Addr().String(), "SKYLIFT_TEST_N="+strconv.Itoa(n))
}

// readStreams is the readers: from the beginning of a write to the arrival of its event's last byte.
func readStreams() {
	addr, n := os.Getenv("SKYLIFT_TEST_ADDR"), must(strconv.Atoi(os.Getenv("SKYLIFT_TEST_N")))
	latency := &sample{}
	var open sync.WaitGroup
	for i := range n {
		open.Add(1)
		go func() { // ends with the process
			res := must(http.Get(fmt.Sprintf("http://%s/user%d", addr, i)))
			open.Done()
			lines := bufio.NewScanner(res.Body)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				data, ok := strings.CutPrefix(lines.Text(), "data: ")
				if !ok || !latency.counting.Load() {
					continue
				}
				_, modified, _ := strings.Cut(data, `"modified":"`) // a reader's own work is not to be measured
				modified, _, _ = strings.Cut(modified, `"`)
				if at, err := time.Parse(time.RFC3339Nano, modified); err == nil {
					latency.add(time.Since(at))
				}
			}
		}()
	}
	open.Wait()
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	latency.counting.Store(true)
	in.Scan() // the end
	latency.counting.Store(false)
	latency.mu.Lock()
	defer latency.mu.Unlock()
	f := percentiles("sse", latency.ds)
	f["sse-events"] = float64(len(latency.ds))
	_ = json.NewEncoder(os.Stdout).Encode(f)
}
