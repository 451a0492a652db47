package natsd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// LookAtFolder looks at a data folder as Start would, and makes nothing: what is free on its disk, or on that of the
// folder in which it will be made. ErrLocked when somebody has it, ErrNoSpace when only the reserve is free.
func LookAtFolder(dir string) (free int64, err error) {
	var o Options
	o.fill()
	lock := filepath.Join(dir, "lock")
	if _, err := os.Stat(lock); err == nil {
		f, err := lockFile(lock)
		if err != nil {
			return 0, err
		}
		defer f.Close()
	}
	for _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir); _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	free, err = freeBytes(dir)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrNoDisk, err)
	case free < o.Reserve:
		return free, ErrNoSpace
	}
	return free, nil
}

// Cluster is what a NATS server tells of itself and of those beside it.
type Cluster struct {
	Name      string // of its cluster, "" when it stands alone
	Version   string
	Addresses int // of servers that are known, by setting and by word of the server
	Replicas  int // copies that Start would want
}

// ErrNoJetStream means that NATS is there, but without JetStream, or not for this account.
var ErrNoJetStream = errors.New("NATS answers without JetStream")

// LookAtCluster connects to the cluster and asks its JetStream for an answer. It makes nothing there.
func LookAtCluster(ctx context.Context, o Options) (Cluster, error) {
	o.fill()
	n := &Node{opt: o}
	nc, err := nats.Connect(o.URL, nats.Name("skylift check"), nats.Timeout(n.patience()), nats.NoReconnect())
	if err != nil {
		return Cluster{}, fmt.Errorf("connect to the NATS cluster: %w", err)
	}
	defer nc.Close()
	c := Cluster{nc.ConnectedClusterName(), nc.ConnectedServerVersion(), len(nc.Servers()), o.Replicas}
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		err = ErrNoJetStream
	}
	return c, err
}
