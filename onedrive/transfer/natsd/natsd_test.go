package natsd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"skylift/onedrive/transfer/natsd"
)

func start(t *testing.T, o natsd.Options) *natsd.Node {
	t.Helper()
	n, err := natsd.Start(o)
	if err != nil {
		t.Fatalf("start in %q: %v", o.Dir, err)
	}
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	return n
}

func bucket(t *testing.T, n *natsd.Node) jetstream.KeyValue {
	t.Helper()
	kv, err := n.JetStream().CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "things"})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestStartKeepsWhatWasStored(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	n := start(t, natsd.Options{Dir: dir})
	if _, err := bucket(t, n).PutString(t.Context(), "cat", "tabby"); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, err := bucket(t, start(t, natsd.Options{Dir: dir})).Get(t.Context(), "cat")
	if err != nil || string(e.Value()) != "tabby" {
		t.Errorf("after a restart: %v, %v; want tabby", e, err)
	}
}

func TestStartRefusesAFolderInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, natsd.Options{Dir: dir})
	if _, err := natsd.Start(natsd.Options{Dir: dir}); !errors.Is(err, natsd.ErrLocked) {
		t.Errorf("second start: %v, want ErrLocked", err)
	}
}

// On a machine that stands still for a few seconds, as one with too much to do does, a start must not fail.
func TestTheServerInsideIsWaitedFor(t *testing.T) {
	if got := start(t, natsd.Options{Dir: natsd.Memory}).JetStream().Options().DefaultTimeout; got < 10*time.Second {
		t.Errorf("a call is given up after %v", got)
	}
}

func TestMemoryLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	n := start(t, natsd.Options{Dir: natsd.Memory})
	if _, err := bucket(t, n).PutString(t.Context(), "cat", "tabby"); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSpaceIsShortBeforeTheDiskIsFull(t *testing.T) {
	if err := start(t, natsd.Options{Dir: t.TempDir()}).Space(); err != nil {
		t.Errorf("with room: %v", err)
	}
	if err := start(t, natsd.Options{Dir: t.TempDir(), Reserve: 1 << 60}).Space(); !errors.Is(err, natsd.ErrNoSpace) {
		t.Errorf("with less than the reserve: %v, want ErrNoSpace", err)
	}
}

// TestSpaceIsShortBeforeNATSRefuses: past MaxStore nats-server stores nothing, not even a sign-in.
func TestSpaceIsShortBeforeNATSRefuses(t *testing.T) {
	n := start(t, natsd.Options{Dir: t.TempDir(), MaxStore: 4 << 20})
	kv := bucket(t, n)
	put := func(key string) error {
		_, err := kv.Put(t.Context(), key, make([]byte, 64<<10))
		return err
	}
	stored := 0
	for n.Space() == nil {
		if err := put(fmt.Sprint("picture", stored)); err != nil {
			t.Fatalf("after %d pictures there is space, and NATS says %v", stored, err)
		}
		stored++
	}
	if err := n.Space(); !errors.Is(err, natsd.ErrNoSpace) || stored < 50 {
		t.Errorf("after %d pictures: %v, want ErrNoSpace after some 57", stored, err)
	}
	for i := range 5 {
		if err := put(fmt.Sprint("signin", i)); err != nil {
			t.Errorf("a sign-in out of the reserve: %v", err)
		}
	}
	for i := range stored {
		if err := kv.Purge(t.Context(), fmt.Sprint("picture", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Space(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
