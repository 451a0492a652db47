package transfer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer"
)

// How soon a row says what OneDrive has done by itself, and what that costs in requests. The stand-in
// is a process of its own, asked over HTTP; a job takes as long as its source takes to send.
//
//	go test ./onedrive/transfer -run '^$' -bench Native -benchtime 1x

// nativeFiles are saved at once, each by an account of its own, as OneDrive does an account's jobs one by one.
const nativeFiles = 100

var nativeJobs = map[string]time.Duration{"0.5s": 500 * time.Millisecond, "2s": 2 * time.Second, "10s": 10 * time.Second}

func init() {
	children["nativePlace"] = serveNativePlace
	for name, d := range nativeJobs {
		children["native"+name] = func() { report(saveNative(readPlace(), d)) }
	}
}

// serveNativePlace is the stand-in with its accounts, and a web server that takes its time, until its input ends.
func serveNativePlace() {
	ms := fakegraph.New(fakegraph.Options{Discard: true, NoHash: true, Empty: true, Fetch: &http.Transport{MaxIdleConnsPerHost: nativeFiles}})
	var p place
	for i := range nativeFiles {
		a := fakegraph.Account{Login: fmt.Sprintf("n%d@demo.example", i), Name: "N", DriveType: "personal", Temper: "legacy",
			TenantID: fakegraph.ConsumersTenant, ObjectID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i)}
		ms.AddAccount(a)
		p.Tokens = append(p.Tokens, ms.Token(a.Login))
	}
	graph, web := must(net.Listen("tcp", "127.0.0.1:0")), must(net.Listen("tcp", "127.0.0.1:0"))
	p.Graph, p.Host = "http://"+graph.Addr().String(), web.Addr().String()
	p.Source = "http://" + p.Host
	go http.Serve(graph, ms)                               // both end with the process
	go http.Serve(web, http.HandlerFunc(serveInGivenTime)) //
	_ = json.NewEncoder(os.Stdout).Encode(p)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// serveInGivenTime serves /milliseconds/name: 2 MiB in about that time.
func serveInGivenTime(w http.ResponseWriter, r *http.Request) {
	ms, _, _ := strings.Cut(r.URL.Path[1:], "/")
	n, _ := strconv.Atoi(ms)
	const parts = 20
	part := make([]byte, 2<<20/parts)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(parts*len(part)))
	for i := 0; i < parts && r.Method == http.MethodGet; i++ {
		time.Sleep(time.Duration(n) * time.Millisecond / parts)
		_, _ = w.Write(part)
		_ = http.NewResponseController(w).Flush()
	}
}

// saveNative saves a file of each account and compares when OneDrive had it with when its row said so.
func saveNative(p place, job time.Duration) figures {
	e, clean := benchEngine()
	defer clean()
	defer e.close()
	var mu sync.Mutex
	calls := map[string]int{}
	graph := must(onedrive.New(onedrive.Config{GraphURL: p.Graph + "/v1.0", Hosts: []string{strings.TrimPrefix(p.Graph, "http://")}, Observe: func(c onedrive.Call) {
		mu.Lock()
		calls[c.Op]++
		mu.Unlock()
	}}))
	client := func(_ context.Context, owner string) (*onedrive.Client, error) {
		token := p.Tokens[must(strconv.Atoi(owner[1:]))]
		return graph.Client(func(context.Context, string) (string, error) { return token, nil }), nil
	}
	source := transfer.NewSource(transfer.SourceOptions{Allow: []string{p.Host}, PerHost: nativeFiles})
	saver := transfer.NewSaver(transfer.SaverOptions{Source: source, Client: client})
	r := transfer.NewRunner(e.store, saver, transfer.RunnerOptions{})
	ctx := context.Background()
	if err := r.Start(ctx); err != nil {
		panic(err)
	}
	defer func() { _ = r.Stop(ctx) }()
	rows := make([]row, nativeFiles)
	var all sync.WaitGroup
	for i := range rows {
		all.Go(func() { rows[i] = watchOne(e.store, fmt.Sprintf("n%d", i), p.Source, job) })
	}
	all.Wait()
	var late, took []time.Duration
	per := func(op string) float64 { return float64(calls[op]) / nativeFiles }
	f := figures{"POST/file": per("save from URL"), "polls/file": per("ask monitor"), "drive/file": per("read drive"), "looks/file": per("look for name"), "GET/file": per("read item")}
	for i, w := range rows {
		c, _ := client(ctx, fmt.Sprintf("n%d", i))
		item := must(c.Item(ctx, onedrive.Ref{ID: w.item}))
		late = append(late, w.said.Sub(item.CreatedDateTime))
		took = append(took, item.CreatedDateTime.Sub(w.asked))
	}
	for name, v := range percentiles("row", late) {
		f[name] = v
	}
	f["took-p50-ms"] = percentiles("took", took)["took-p50-ms"]
	return f
}

// row is what somebody saw of a transfer.
type row struct {
	item        string
	asked, said time.Time
}

// watchOne submits one file and follows its row until it is there.
func watchOne(store *transfer.Store, owner, source string, job time.Duration) row {
	ctx := context.Background()
	spread := job*3/4 + rand.N(job/2)
	request := transfer.Request{SourceURL: fmt.Sprintf("%s/%d/%s.bin", source, spread.Milliseconds(), owner)}
	if err := request.Validate(); err != nil {
		panic(err)
	}
	w := row{asked: time.Now()}
	if _, _, err := store.Submit(ctx, owner, request, ""); err != nil {
		panic(err)
	}
	for ev, err := range store.Watch(ctx, owner, 1) {
		if err != nil {
			panic(err)
		}
		if t := ev.Transfer; t.State.Final() {
			if t.State != transfer.Completed || t.Route != transfer.Native {
				panic(fmt.Sprintf("%+v %+v", t, t.Failure))
			}
			w.item, w.said = t.Item.ID, time.Now()
			break
		}
	}
	return w
}

func BenchmarkNative(b *testing.B) {
	var rows table
	for _, name := range []string{"0.5s", "2s", "10s"} {
		b.Run(name, func(b *testing.B) {
			startPlace(b, "nativePlace")
			f := child(b, "native"+name)
			most := max(300, 0.15*f["took-p50-ms"])
			rows.add("native, %d jobs of about %s at once | row says so after p50 %.0f ms, p99 %.0f ms | | | p50 ≤ %.0f ms (15 %% of %.1f s, or 300 ms) | %s",
				nativeFiles, name, f["row-p50-ms"], f["row-p99-ms"], most, f["took-p50-ms"]/1000, reached(f["row-p50-ms"] <= most))
			rows.add("the same, requests to Microsoft a file | %.2f POST, %.1f polls, %.2f GET of the item, %.2f for the name before | | | 1 POST, polls, 1 GET | %s",
				f["POST/file"], f["polls/file"], f["GET/file"], f["looks/file"], reached(f["POST/file"] <= 1 && f["GET/file"]+f["looks/file"] <= 1))
			show(b, f)
		})
	}
	rows.print()
}
