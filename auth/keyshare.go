package auth

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// SharedKeyring is the ring of instances on one cluster that were given no keys: the first one
// makes a key and puts it there, the others take it. It keeps them able to open each other's
// tokens with no setting; who can read the whole cluster can open them too.
func SharedKeyring(ctx context.Context, js jetstream.JetStream, replicas int) (*Keyring, error) {
	b, err := openBucket(ctx, js, "keys", replicas)
	if err != nil {
		return nil, err
	}
	if _, err := b.create(ctx, "shared", []byte(NewKey()), 0); err != nil && !errors.Is(err, errConflict) {
		return nil, err
	}
	keys, _, err := b.get(ctx, "shared")
	if err != nil {
		return nil, err
	}
	return OpenKeyring(string(keys))
}
