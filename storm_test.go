package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skylift/onedrive/fakegraph"
)

// storm is three programs on three NATS servers, and a Microsoft that refuses a refresh token that was
// used before: a second refresh, or one whose token was not stored, would sign the person out.
type storm struct {
	*testing.T
	microsoft *fakegraph.Server
	origin    string
	programs  [3]*program
	caller    *caller // signed in at all three: cookies know no ports
	login     string
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{T: t, microsoft: fakegraph.New(fakegraph.Options{StrictRefresh: true, Empty: true}), login: "alex@work.example"}
	t.Cleanup(s.microsoft.Close)
	origin := httptest.NewServer(s.microsoft)
	t.Cleanup(origin.Close)
	s.origin = origin.URL
	host := strings.TrimPrefix(origin.URL, "http://")
	args := []string{
		"-nats", startNATSCluster(t), "-client-id", "app", "-client-secret", "secret", "-login-url", origin.URL, "-graph-url", origin.URL + "/v1.0",
		"-microsoft-hosts", host, "-allow-sources", host,
	}
	for i := range s.programs {
		s.programs[i] = start(t, t.TempDir(), args...)
	}
	s.caller = s.programs[0].signIn(t, s.login)
	return s
}

// folders is what a page of instance i needs at once: Graph, and for that a token.
func (s *storm) folders(ctx context.Context, i int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.programs[i].url+"/api/v1/folders", nil)
	if err != nil {
		return err
	}
	res, err := s.caller.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

// refreshes are how many there were, and how many with a token that was used before.
func (s *storm) refreshes() (all, reused int) {
	c := s.microsoft.Counts()
	return c["refresh"], c["refreshReused"]
}

// save submits n transfers of a batch to instance i.
func (s *storm) save(i, n int, name string) {
	var lines []map[string]string
	for k := range n {
		lines = append(lines, map[string]string{"sourceUrl": s.origin + "/samples/meadow.jpg", "name": fmt.Sprintf("%s %d %d.jpg", name, i, k)})
	}
	body, err := json.Marshal(map[string]any{"transfers": lines})
	if err != nil {
		s.Fatal(err)
	}
	res, err := s.caller.http.Post(s.programs[i].url+"/api/v1/transfers/batch", "application/json", strings.NewReader(string(body)))
	if err != nil {
		s.Error(err)
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		s.Errorf("%d transfers: %s", n, res.Status)
	}
}

// saved is how many files of that name OneDrive has.
func (s *storm) saved(name string) (n int) {
	for _, f := range s.microsoft.Files(s.login) {
		if strings.HasPrefix(f.Name, name+" ") {
			n++
		}
	}
	return n
}

// TestARefreshStormRefreshesOnce: two hundred transfers of one account, and pages of all three
// instances, meet an expired access token at once. Each later round needs what the refresh before it
// has stored.
func TestARefreshStormRefreshesOnce(t *testing.T) {
	s := newStorm(t)
	before, _ := s.refreshes()
	for round, n := range []int{200, 6, 6} {
		s.microsoft.ExpireTokens(s.login)
		expired := time.Now()
		name := fmt.Sprint("storm", round)
		var all sync.WaitGroup
		for i := range s.programs {
			all.Go(func() { s.save(i, n/3+max(0, n%3-i), name) })
			for range 5 {
				all.Go(func() {
					if err := s.folders(t.Context(), i); err != nil {
						t.Errorf("round %d: folders of instance %d: %v", round, i, err)
					}
				})
			}
		}
		all.Wait()
		for deadline := time.Now().Add(time.Minute); s.saved(name) < n; <-time.After(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("round %d: %d of %d saved", round, s.saved(name), n)
			}
		}
		t.Logf("round %d: %d saved %v after the token had expired", round, n, time.Since(expired).Round(time.Millisecond))
		if got, reused := s.refreshes(); got-before != round+1 || reused > 0 {
			t.Errorf("round %d: %d refreshes of %d expired tokens, %d with an old one", round, got-before, round+1, reused)
		}
	}

	t.Log("the instance that refreshes stops while Microsoft answers, and nobody waits for it any more")
	answer := s.microsoft.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseRefresh, Action: fakegraph.Stall, After: true})
	s.microsoft.ExpireTokens(s.login)
	before, _ = s.refreshes()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- s.folders(ctx, 2) }()
	<-answer.Hit()
	leave()
	<-left
	s.programs[2].end()
	for s.folders(t.Context(), 2) == nil { // until it listens no more
	}
	time.AfterFunc(2*time.Second, answer.Release)
	s.programs[2].stop(t)
	if err := s.folders(t.Context(), 1); err != nil {
		t.Errorf("folders after the stop: %v", err)
	}
	if got, reused := s.refreshes(); got-before != 1 || reused > 0 {
		t.Errorf("%d refreshes, %d with an old token; want the one whose answer came during the stop", got-before, reused)
	}
}

// startNATSCluster runs three NATS servers until the test ends and returns their addresses.
func startNATSCluster(t *testing.T) string {
	t.Helper()
	var routes []*url.URL
	for range 3 { // ports that are free now, so that each server can know the others from the start
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: l.Addr().String()})
		l.Close()
	}
	var nodes []*server.Server
	for i, route := range routes {
		port, _ := strconv.Atoi(route.Port())
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxMemory: 16 << 20, JetStreamMaxStore: 1 << 30,
			Cluster: server.ClusterOpts{Name: "storm", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		nodes = append(nodes, s)
	}
	var urls []string
	for _, s := range nodes {
		s.Start()
	}
	for _, s := range nodes {
		if !s.ReadyForConnections(20 * time.Second) {
			t.Fatal("a NATS server did not start")
		}
		urls = append(urls, s.ClientURL())
	}
	leads := func(s *server.Server) bool { return len(s.JetStreamClusterPeers()) == 3 } // only the leader knows its peers
	for deadline := time.Now().Add(30 * time.Second); !slices.ContainsFunc(nodes, leads); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cluster has no leader")
		}
	}
	return strings.Join(urls, ",")
}
