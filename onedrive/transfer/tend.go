package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// keepFailed is how long a failed transfer keeps the bytes in its record, to be tried again with.
const keepFailed = 24 * time.Hour

// ager is a Sealer that knows what an older key has sealed; auth.Keyring is one.
type ager interface{ Stale(sealed []byte) bool }

// Tend goes through all records and writes those again that an older key seals, so that it can be dropped,
// and those of failed transfers that have kept their bytes for a day; it says how many. One write is on its
// way at a time, so that nobody waits for it. Whoever else writes meanwhile does it with the newest key.
// A record that no key opens stays as it is.
func (s *Store) Tend(ctx context.Context) (int, error) {
	var keys []string
	err := scan(ctx, s.nc, kindTransfer+".>", 1, func(m stored) {
		if !m.deleted && (s.stale(m) || heavy(m)) {
			keys = append(keys, m.key)
		}
	})
	if err != nil {
		return 0, fmt.Errorf("look through the transfers: %w", err)
	}
	done := 0
	for _, key := range keys {
		wrote, err := s.writeAgain(ctx, key)
		if err != nil {
			return done, fmt.Errorf("write a transfer again: %w", err)
		}
		if wrote {
			done++
		}
	}
	return done, nil
}

// stale reports whether an older key seals the record.
func (s *Store) stale(m stored) bool {
	a, ok := s.codec.sealer.(ager)
	return ok && len(m.data) > 0 && (m.data[0] == formSealed || m.data[0] == formSealedJSON) && a.Stale(m.data[1:])
}

// heavy reports a record with more than words in it, of a transfer that was not saved.
func heavy(m stored) bool {
	return len(m.data) > 4<<10 && (strings.HasPrefix(string(m.ending), stateLetter(Failed)) || strings.HasPrefix(string(m.ending), stateLetter(Cancelled)))
}

// writeAgain writes what a record says, with the newest key and without bytes that have been kept long
// enough. It changes neither the transfer's time nor when the record goes.
func (s *Store) writeAgain(ctx context.Context, key string) (bool, error) {
	for {
		m, err := lastOf(ctx, s.nc, key)
		if errors.Is(err, ErrNotFound) || err == nil && m.deleted {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		t, err := s.open(ownerOf(key), m)
		if err != nil {
			return false, nil // it was so before
		}
		age := s.opt.Now().Sub(t.Modified)
		spent := len(t.Work.Inline) > 0 && (t.State == Cancelled || t.State == Failed && age > keepFailed)
		if !spent && !s.stale(m) {
			return false, nil
		}
		if spent {
			t.spend()
		}
		r, err := s.record(&t, int64(m.seq))
		if err != nil {
			return false, err
		}
		if r.same, r.event = true, nil; r.ttl > 0 {
			r.ttl = max(r.ttl-age, time.Minute)
		}
		if _, err = s.commit.put(ctx, r); !errors.Is(err, ErrConflict) {
			return err == nil, err
		}
	}
}
