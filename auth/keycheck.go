package auth

import (
	"context"
	"errors"
)

// ErrWrongKeys is returned at the start when the store's secrets were sealed with keys that the
// ring does not hold. Going on would sign everybody out.
var ErrWrongKeys = errors.New("auth: the keys do not fit the stored data; give those that sealed it (SKYLIFT_KEYS, newest first)")

const (
	checkKey     = "check"
	checkPurpose = "key check"
)

// checkKeys holds the ring against the value that the first start sealed in the store.
func checkKeys(ctx context.Context, b *bucket, k *Keyring) error {
	_, err := b.create(ctx, checkKey, sealCheck(k), 0)
	if !errors.Is(err, errConflict) {
		return err
	}
	sealed, _, err := b.get(ctx, checkKey)
	if err != nil {
		return err
	}
	if _, err := k.Open(checkPurpose, "", sealed); err != nil {
		return ErrWrongKeys
	}
	return nil
}

func sealCheck(k *Keyring) []byte { return k.Seal(checkPurpose, "", []byte(checkPurpose)) }
