package natsd_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skylift/onedrive/transfer/natsd"
)

func TestALookAtTheFolderMakesNothing(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "a", "data")
	if free, err := natsd.LookAtFolder(dir); err != nil || free <= 0 {
		t.Errorf("where it will be made: %d bytes free, %v", free, err)
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("the look made %v, %v", left, err)
	}
	n := start(t, natsd.Options{Dir: dir})
	if _, err := natsd.LookAtFolder(dir); !errors.Is(err, natsd.ErrLocked) {
		t.Errorf("in use: %v, want ErrLocked", err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := natsd.LookAtFolder(dir); err != nil {
		t.Errorf("left by somebody: %v", err)
	}
	start(t, natsd.Options{Dir: dir}) // the look has let go of it
}

func TestALookAtACluster(t *testing.T) {
	for _, jets := range []bool{true, false} {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: jets, StoreDir: t.TempDir(), NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("NATS does not answer")
		}
		c, err := natsd.LookAtCluster(t.Context(), natsd.Options{URL: s.ClientURL()})
		if jets && err != nil || !jets && !errors.Is(err, natsd.ErrNoJetStream) {
			t.Errorf("JetStream %v: %v", jets, err)
		}
		if c.Name != "" || c.Addresses != 1 || c.Replicas != 3 || c.Version != server.VERSION {
			t.Errorf("JetStream %v: %+v", jets, c)
		}
	}
	if _, err := natsd.LookAtCluster(t.Context(), natsd.Options{URL: "nats://u:marked@127.0.0.1:1"}); err == nil {
		t.Error("a cluster that is not there was reached")
	}
}
