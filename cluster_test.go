package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skylift/onedrive/fakegraph"
)

// TestTwoInstancesAreOneSkylift points two programs at one NATS server and nothing else in
// common: a sign-in at the first counts at the second, and the second shows what the first saves.
func TestTwoInstancesAreOneSkylift(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a lease time when the hand-over meets a step")
	}
	nats := startNATS(t)
	microsoft := fakegraph.New(fakegraph.Options{})
	t.Cleanup(microsoft.Close)
	origin := httptest.NewServer(microsoft)
	t.Cleanup(origin.Close)
	host := strings.TrimPrefix(origin.URL, "http://")
	args := []string{
		"-nats", nats, "-nats-replicas", "1", "-client-id", "app", "-client-secret", "secret",
		"-login-url", origin.URL, "-graph-url", origin.URL + "/v1.0", "-microsoft-hosts", host, "-allow-sources", host,
	}
	first, second := start(t, t.TempDir(), args...), start(t, t.TempDir(), args...)

	c := first.signIn(t, "robin@demo.example")
	saved := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+origin.URL+`/samples/meadow.jpg"}`)
	c.base = second.url // cookies know no ports
	if got := c.follow(t, saved.ID)[saved.ID]; got.State != "completed" {
		t.Errorf("seen from the second instance it ended as %+v, want completed", got)
	}

	// The first goes; the second takes over what it owned.
	c.base = first.url
	slow := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+origin.URL+`/samples/slow.jpg"}`)
	first.stop(t)
	c.base = second.url

	if got := c.follow(t, slow.ID)[slow.ID]; got.State != "completed" {
		t.Errorf("after the first instance stopped it ended as %+v, want completed", got)
	}
	files := microsoft.Files("robin@demo.example")
	for _, name := range []string{"meadow", "slow"} {
		n := 0
		for _, f := range files {
			if strings.HasPrefix(f.Name, name) && strings.Count(f.Path, "/") <= 1 {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d files named %s… in the drive's root, want 1", n, name)
		}
	}
}

// startNATS runs a NATS server with JetStream on a free port until the test ends.
func startNATS(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("NATS does not answer")
	}
	return s.ClientURL()
}
