package transfer_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"skylift/onedrive/transfer"
)

// Three instances on three NATS servers, all of them processes, with links between them that can be
// cut. With the leases and all that can go wrong:
//
//	go test ./onedrive/transfer -run TestCluster -cluster -timeout 20m -v
var wholeCluster = flag.Bool("cluster", false, "TestCluster with leases of 30 s, a killed and an isolated NATS node, and a restart of all")

// converges is how long a stream may take to show the truth once the cluster has a leader.
const converges = 5 * time.Second

// silent is how long an instance may take to leave a server that says nothing any more.
const silent = 10 * time.Second

// fleet is the instances and what they promised.
type fleet struct {
	*cluster
	o     *outside
	lease time.Duration

	mu         sync.Mutex
	members    map[string]*member
	promised   map[string]bool
	unanswered map[string]bool
	round      int
}

// member is an instance with its own way to each NATS server.
type member struct {
	*victim
	links   [3]*link
	streams map[string]*follower // by owner
}

func newFleet(t *testing.T, lease time.Duration, names ...string) *fleet {
	t.Helper()
	f := &fleet{cluster: startCluster(t), o: newOutside(t), lease: lease, members: map[string]*member{}, promised: map[string]bool{}, unanswered: map[string]bool{}}
	for _, name := range names {
		f.join(name)
	}
	return f
}

func (f *fleet) join(name string) {
	f.t.Helper()
	m := &member{streams: map[string]*follower{}}
	var urls []string
	for i := range m.links {
		m.links[i] = newLink(f.t, fmt.Sprintf("127.0.0.1:%d", f.opts[i].Port))
		urls = append(urls, "nats://"+m.links[i].addr())
	}
	m.victim = f.o.start(f.t, "SKYLIFT_TEST_NATS="+strings.Join(urls, ","), "SKYLIFT_TEST_INSTANCE="+name, "SKYLIFT_TEST_LEASE="+f.lease.String())
	f.t.Cleanup(m.kill)
	for _, p := range f.o.People {
		m.streams[p.Owner] = openStream(f.t, m.url, p.Owner)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[name] = m
}

func (f *fleet) kill(name string) {
	m := f.members[name]
	delete(f.members, name)
	m.kill()
	for _, s := range m.streams {
		s.stop()
	}
}

func (f *fleet) stop(name string) {
	m := f.members[name]
	delete(f.members, name)
	for _, s := range m.streams {
		s.stop()
	}
	_, _ = killHTTP.Post(m.url+"/stop", "", nil)
	<-m.ended
}

// submit asks for n transfers in the background, at two of the instances at once with the same keys.
// What gets no answer is asked for again at the end, as clients do.
func (f *fleet) submit(n int, at ...string) (wait func()) {
	f.round++
	var wg sync.WaitGroup
	for i := range n {
		key := fmt.Sprintf("%d-%d", f.round, 49-i)
		for _, name := range at {
			m := f.members[name]
			wg.Go(func() {
				_, ok := m.submit(key)
				f.mu.Lock()
				defer f.mu.Unlock()
				if ok {
					f.promised[key] = true
				} else {
					f.unanswered[key] = true
				}
			})
		}
	}
	return wg.Wait
}

// completed waits until all that was promised has its end.
func (f *fleet) completed(name string, within time.Duration) {
	f.t.Helper()
	at := time.Now()
	f.mu.Lock()
	for key := range f.unanswered {
		if _, ok := f.members[name].submit(key); ok {
			delete(f.unanswered, key)
			f.promised[key] = true
		}
	}
	promised := maps.Clone(f.promised)
	f.mu.Unlock()
	ends, lost := f.members[name].ends(f.t, promised)
	if len(lost) > 0 {
		f.t.Errorf("lost: %v", lost)
	}
	if took := time.Since(at); took > within {
		f.t.Errorf("it took %v until all was done, want at most %v", took, within)
	} else {
		f.t.Logf("  all done after %v", took.Round(time.Millisecond))
	}
	f.converged(time.Now(), ends)
}

// shown submits one more and waits until every stream of its owner has heard of it, at most until
// converges has passed since leader.
func (f *fleet) shown(leader time.Time, at string) {
	f.t.Helper()
	f.round++
	key := fmt.Sprintf("%d-1", f.round)
	var s submitted
	ok := false
	for !ok && time.Since(leader) < converges {
		s, ok = f.members[at].submit(key)
	}
	if !ok {
		f.t.Errorf("nothing was accepted %v after the leader", converges)
		return
	}
	f.promised[key] = true
	owner := ownerOfKey(key).Owner
	for name, m := range f.members {
		for !m.streams[owner].has(s.ID) {
			if time.Since(leader) > converges {
				f.t.Errorf("the stream of %s shows nothing new %v after the leader", name, converges)
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	f.t.Logf("  all streams show a new transfer %v after the leader", time.Since(leader).Round(time.Millisecond))
}

// converged waits until every stream shows the ends.
func (f *fleet) converged(since time.Time, ends map[string]submitted) {
	f.t.Helper()
	for key, end := range ends {
		for name, m := range f.members {
			s := m.streams[ownerOfKey(key).Owner]
			for s.state(end.ID) != end.State {
				if time.Since(since) > converges {
					f.t.Errorf("%s shows %s as %q, it is %q", name, key, s.state(end.ID), end.State)
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
}

// follower keeps a stream open, as a browser does, and notes the latest states.
type follower struct {
	mu    sync.Mutex
	seen  map[string]transfer.State
	ended chan struct{}
	once  sync.Once
}

func openStream(t *testing.T, base, owner string) *follower {
	f := &follower{seen: map[string]transfer.State{}, ended: make(chan struct{})}
	t.Cleanup(f.stop)
	last := uint64(1 << 20) // from the first revision
	read := func() {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/watch?"+url.Values{"owner": {owner}, "last": {fmt.Sprint(last)}}.Encode(), nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		defer res.Body.Close()
		lines := json.NewDecoder(res.Body)
		for {
			var e watched
			if lines.Decode(&e) != nil {
				return
			}
			if e.Owner != owner {
				t.Errorf("a foreign event: %s", e.Owner)
			}
			if e.Event <= last {
				t.Errorf("event %d after %d", e.Event, last)
			}
			last = e.Event
			f.mu.Lock()
			f.seen[e.Transfer] = e.State
			f.mu.Unlock()
		}
	}
	go func() { // ends with stop, or with its test
		for {
			read()
			select {
			case <-f.ended:
				return
			case <-t.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return f
}

func (f *follower) stop() { f.once.Do(func() { close(f.ended) }) }

func (f *follower) state(id string) transfer.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[id]
}

func (f *follower) has(id string) bool { return f.state(id) != "" }

func TestCluster(t *testing.T) {
	t.Parallel()
	lease := 4 * time.Second
	if *wholeCluster {
		lease = 30 * time.Second
	}
	f := newFleet(t, lease, "x", "y", "z")
	t.Log("two instances are asked for the same at once")
	f.submit(50, "x", "y")()
	f.completed("z", 60*time.Second)

	t.Log("an instance stops in order")
	wait := f.submit(50, "y", "z")
	f.stop("x")
	wait()
	f.completed("z", 60*time.Second)

	t.Log("an instance is killed")
	wait = f.submit(50, "y", "z")
	time.Sleep(300 * time.Millisecond)
	f.kill("y")
	wait()
	f.completed("z", 2*lease+60*time.Second)

	t.Log("an instance is cut off from every server for twice its lease")
	f.join("w")
	wait = f.submit(50, "z", "w")
	time.Sleep(300 * time.Millisecond)
	for _, l := range f.members["w"].links {
		l.cut()
	}
	time.Sleep(2 * lease)
	for _, l := range f.members["w"].links {
		l.mend()
	}
	f.shown(time.Now(), "z")
	wait()
	f.completed("z", 2*lease+60*time.Second)
	t.Log("the ways of an instance to two servers go silent, and it finds the third")
	for _, l := range f.members["w"].links[:2] {
		l.cut()
	}
	wait = f.submit(20, "z", "w")
	f.shown(time.Now().Add(silent), "z")
	wait()
	f.completed("w", 60*time.Second)
	for _, l := range f.members["w"].links[:2] {
		l.mend()
	}
	if *wholeCluster {
		f.nodesFail()
	}
	v := f.o.judgeBy(t, f.members["z"].victim, f.promised)
	t.Logf("%d promised, %d lost, %d duplicate", v.promised, v.lost, v.duplicate)
	if v.lost+v.duplicate+len(v.failed)+len(v.mistaken) > 0 {
		t.Errorf("lost %d, duplicate %d, failed %v, with another's file %v", v.lost, v.duplicate, v.failed, v.mistaken)
	}
}

// nodesFail kills the leading NATS server, cuts it off, and restarts everything.
func (f *fleet) nodesFail() {
	f.t.Log("the leading NATS server is killed")
	leader := f.leader(-1)
	wait := f.submit(50, "z", "w")
	f.cluster.kill(leader)
	f.leader(leader)
	f.shown(time.Now(), "z")
	wait()
	f.completed("z", 2*f.lease+60*time.Second)
	f.start(leader)

	f.t.Log("the leading NATS server is cut off from the others, with its clients")
	leader = f.leader(-1)
	wait = f.submit(50, "z", "w")
	f.isolate(leader, (*link).cut)
	time.Sleep(2 * f.lease)
	f.isolate(leader, (*link).mend)
	f.leader(-1)
	f.shown(time.Now(), "z")
	wait()
	f.completed("z", 2*f.lease+60*time.Second)

	f.t.Log("everything is killed and started again")
	wait = f.submit(50, "z", "w")
	time.Sleep(300 * time.Millisecond)
	f.kill("z")
	f.kill("w")
	for i := range f.nodes {
		f.cluster.kill(i)
	}
	wait()
	for i := range f.nodes {
		f.start(i)
	}
	f.leader(-1)
	f.join("z")
	f.completed("z", 2*f.lease+60*time.Second)
}
