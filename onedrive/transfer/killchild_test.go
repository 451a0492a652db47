package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// crashPoints are where the process under test kills itself: named points of the engine, and before
// and after each kind of request that changes something at Microsoft.
var crashPoints = []string{
	"write.before", "write.after", "accept.after", "keep.after", "final.before", "final.after", "adopt.after",
	"post.before", "post.after", "monitor.after", "put.before", "put.after",
	"session.before", "session.after", "fragment.before", "fragment.after",
}

// rarePoints are passed a few times in a child's life, so one of the first times kills.
var rarePoints = map[string]int64{"session.before": 1, "session.after": 1, "fragment.before": 3, "fragment.after": 3}

func init() { children["server"] = childServer }

// childServer is the process that gets killed: the store, the runner and the saver as the program has
// them, and a door to submit by.
func childServer() {
	var o outside
	if err := json.Unmarshal([]byte(os.Getenv("SKYLIFT_TEST_OUTSIDE")), &o); err != nil {
		panic(err)
	}
	c := &killChild{o: &o, crash: os.Getenv("SKYLIFT_TEST_CRASH"), broken: os.Getenv("SKYLIFT_TEST_BROKEN")}
	c.left.Store(rand.Int64N(12) + 1)
	if n := rarePoints[c.crash]; n > 0 {
		c.left.Store(rand.Int64N(n) + 1)
	}
	memory := c.open()
	source := transfer.NewSource(transfer.SourceOptions{Allow: []string{o.Host, o.Film.host()}, PerHost: 2 * inFlight, PerUser: 2 * inFlight})
	if o.Film != nil {
		source.ReceiveBuffer(socketBuffer)
	}
	saver := transfer.NewSaver(transfer.SaverOptions{Client: c.clients(), Source: source, Memory: memory, Stall: 10 * time.Second, Buffers: o.Buffers})
	var mover transfer.Mover = saver
	if c.broken == "repost" {
		mover = reposter{saver}
	}
	c.runner = transfer.NewRunner(c.engine.store, mover, c.options())
	for c.runner.Start(context.Background()) != nil { // a cluster may have no leader yet
		time.Sleep(100 * time.Millisecond)
	}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Println(l.Addr())
	http.HandleFunc("/", c.submit)
	http.HandleFunc("/watch", c.watch)
	http.HandleFunc("/stop", c.stop)
	panic(http.Serve(l, nil))
}

// open opens the data folder, or joins the cluster as soon as it lets it.
func (c *killChild) open() transfer.NativeMemory {
	o := transfer.StoreOptions{Sealer: newGCM()}.At(c.at)
	if nats := os.Getenv("SKYLIFT_TEST_NATS"); nats == "" {
		c.engine = reopenWith(os.Getenv("SKYLIFT_TEST_DIR"), o)
	} else {
		c.engine = join(nats, o)
	}
	for {
		memory, err := transfer.OpenNativeMemory(context.Background(), c.engine.node.JetStream(), c.engine.node.Replicas())
		if err == nil {
			return memory
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func join(url string, o transfer.StoreOptions) *engine {
	for {
		node, err := natsd.Start(natsd.Options{URL: url})
		if err == nil {
			o.Replicas = node.Replicas()
			s, err := transfer.OpenStore(context.Background(), node.JetStream(), node.Conn(), o)
			if err == nil {
				return &engine{node, s}
			}
			_ = node.Close(context.Background())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *killChild) options() transfer.RunnerOptions {
	o := transfer.RunnerOptions{Instance: os.Getenv("SKYLIFT_TEST_INSTANCE"), PerAccount: inFlight, PerHost: inFlight, MaxStreams: inFlight}
	if ttl, err := time.ParseDuration(os.Getenv("SKYLIFT_TEST_LEASE")); err == nil && ttl < 30*time.Second {
		o = o.ShortLease(ttl)
	}
	return o
}

// watch is a person's stream: a line for each event.
func (c *killChild) watch(w http.ResponseWriter, r *http.Request) {
	last, _ := strconv.ParseUint(r.FormValue("last"), 10, 64)
	for e, err := range c.engine.store.Watch(r.Context(), r.FormValue("owner"), last) {
		if err != nil || json.NewEncoder(w).Encode(watched{e.ID, e.Transfer.Owner, e.Transfer.ID, e.Transfer.State}) != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// watched is an event on its way to the parent.
type watched struct {
	Event           uint64
	Owner, Transfer string
	State           transfer.State
}

// stop ends the child in order, as a signal does.
func (c *killChild) stop(http.ResponseWriter, *http.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	_ = c.runner.Stop(ctx)
	c.engine.close()
	os.Exit(0)
}

type killChild struct {
	o             *outside
	crash, broken string
	left          atomic.Int64
	engine        *engine
	runner        *transfer.Runner
}

// at is passed at each point, and the last thing that happens at one of them.
func (c *killChild) at(point string) {
	switch {
	case point == "adopted":
		c.note(childNote{Child: os.Getpid()})
	case point == c.crash && c.left.Add(-1) == 0:
		c.note(childNote{Child: os.Getpid(), Death: point})
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // nothing happens after it
	}
}

func (c *killChild) note(n childNote) {
	data := must(json.Marshal(n))
	if res, err := http.Post(c.o.Note, "application/json", bytes.NewReader(data)); err == nil {
		_ = res.Body.Close()
	}
}

// clients gives each owner's Graph client, over transports that pass the named points.
func (c *killChild) clients() func(context.Context, string) (*onedrive.Client, error) {
	host := strings.TrimPrefix(c.o.Graph, "http://")
	config := onedrive.Config{GraphURL: c.o.Graph + "/v1.0", Hosts: []string{host}}
	config.Graph, config.Bare = &http.Client{Transport: c.transport()}, &http.Client{Transport: c.transport()}
	graph := must(onedrive.New(config))
	tokens := map[string]string{}
	for _, p := range c.o.People {
		tokens[p.Owner] = p.Token
	}
	return func(_ context.Context, owner string) (*onedrive.Client, error) {
		return graph.Client(func(context.Context, string) (string, error) { return tokens[owner], nil }), nil
	}
}

// transport passes a point before and after each request that matters.
func (c *killChild) transport() http.RoundTripper {
	real := onedrive.NewHTTPClient().Transport
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		point := pointOf(r)
		c.at(point + ".before")
		res, err := real.RoundTrip(r)
		c.at(point + ".after")
		return res, err
	})
}

func pointOf(r *http.Request) string {
	path := r.URL.Path
	switch {
	case strings.Contains(path, "/monitor/") || strings.Contains(path, "/operations/"):
		return "monitor"
	case strings.HasSuffix(path, "createUploadSession"):
		return "session"
	case r.Method == http.MethodPost:
		return "post"
	case r.Method == http.MethodPut && strings.HasSuffix(path, ":/content"):
		return "put"
	case r.Method == http.MethodPut:
		return "fragment"
	}
	return "look"
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// submitted is the child's answer.
type submitted struct {
	ID      string
	State   transfer.State
	New     bool
	Item    string
	Name    string
	Route   string // and why
	Failure *transfer.Failure
}

func (c *killChild) submit(w http.ResponseWriter, r *http.Request) {
	key := r.FormValue("key")
	p, request := c.o.request(key)
	if err := request.Validate(); err != nil {
		panic(err)
	}
	if c.broken == "unsynced" { // says yes before it is stored
		time.AfterFunc(rand.N(400*time.Millisecond), func() { _, _, _ = c.engine.store.Submit(context.Background(), p.Owner, request, key) })
		_ = json.NewEncoder(w).Encode(submitted{})
		return
	}
	t, isNew, err := c.engine.store.Submit(context.Background(), p.Owner, request, key)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s := submitted{ID: t.ID, State: t.State, New: isNew, Failure: t.Failure, Name: t.Name, Route: string(t.Route) + " " + t.RouteReason}
	if t.Item != nil {
		s.Item = t.Item.ID
	}
	_ = json.NewEncoder(w).Encode(s)
}

// reposter is a saver broken on purpose: it repeats a POST whose answer it does not know.
type reposter struct{ *transfer.Saver }

func (m reposter) Step(ctx context.Context, t *transfer.Transfer, keep func() error, progress func()) (transfer.Next, error) {
	if t.Work.Phase == transfer.Posting {
		t.Work = transfer.Work{}
	}
	return m.Saver.Step(ctx, t, keep, progress)
}
