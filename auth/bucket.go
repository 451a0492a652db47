package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// recordVersion stands in each stored record, so that a later version can read what this one wrote.
const recordVersion = 1

// errConflict says that a record was changed by somebody else meanwhile.
var errConflict = errors.New("auth: record changed meanwhile")

// markerLife is how long the trace of a deleted key stays, for readers that follow the stream.
const markerLife = time.Minute

// bucket is a JetStream key-value bucket whose keys may each have a time to live.
type bucket struct {
	js   jetstream.JetStream
	kv   jetstream.KeyValue
	name string
}

// openBucket makes the stream itself instead of by js.CreateKeyValue for two reasons: reads must
// go to the leader (AllowDirect off), else a session that was just made or revoked could be
// missing or alive on a follower; and expiry needs no extra marker messages.
func openBucket(ctx context.Context, js jetstream.JetStream, name string, replicas int) (*bucket, error) {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:              "KV_" + name,
		Subjects:          []string{"$KV." + name + ".>"},
		Storage:           jetstream.FileStorage,
		Replicas:          max(replicas, 1),
		MaxMsgsPerSubject: 1,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgSize:        64 << 10,
		MaxConsumers:      -1,
		Discard:           jetstream.DiscardNew,
		Duplicates:        2 * time.Minute,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowMsgTTL:       true,
	})
	if err != nil {
		return nil, fmt.Errorf("auth: open store %q: %w", name, err)
	}
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("auth: open store %q: %w", name, err)
	}
	return &bucket{js, kv, name}, nil
}

// get returns the value of a key and its revision, or ErrNotFound.
func (b *bucket) get(ctx context.Context, key string) ([]byte, uint64, error) {
	entry, err := b.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("auth: read %s: %w", b.name, err)
	}
	return entry.Value(), entry.Revision(), nil
}

func (b *bucket) getJSON(ctx context.Context, key string, into any) (uint64, error) {
	value, revision, err := b.get(ctx, key)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(value, into); err != nil {
		return 0, fmt.Errorf("auth: read %s: not a record: %w", b.name, err)
	}
	return revision, nil
}

// create stores a key that must not exist; errConflict if it does. A ttl of 0 keeps it for good.
func (b *bucket) create(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	var options []jetstream.KVCreateOpt
	if ttl > 0 {
		options = append(options, jetstream.KeyTTL(wholeSeconds(ttl)))
	}
	revision, err := b.kv.Create(ctx, key, value, options...)
	if errors.Is(err, jetstream.ErrKeyExists) || isConflict(err) { // the latter when it was deleted and made again meanwhile
		return 0, errConflict
	}
	if err != nil {
		return 0, fmt.Errorf("auth: write %s: %w", b.name, err)
	}
	return revision, nil
}

func (b *bucket) createJSON(ctx context.Context, key string, v any, ttl time.Duration) (uint64, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	return b.create(ctx, key, value, ttl)
}

// put stores a key whatever was there.
func (b *bucket) put(ctx context.Context, key string, value []byte, ttl time.Duration) (uint64, error) {
	return b.publish(ctx, key, value, ttl)
}

func (b *bucket) putJSON(ctx context.Context, key string, v any, ttl time.Duration) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = b.put(ctx, key, value, ttl)
	return err
}

// update stores a key that must still be at revision, else errConflict. Unlike kv.Update, which
// drops the time to live for ever, it sets it anew.
func (b *bucket) update(ctx context.Context, key string, value []byte, revision uint64, ttl time.Duration) (uint64, error) {
	return b.publish(ctx, key, value, ttl, jetstream.WithExpectLastSequencePerSubject(revision))
}

func (b *bucket) updateJSON(ctx context.Context, key string, v any, revision uint64, ttl time.Duration) (uint64, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return 0, err
	}
	return b.update(ctx, key, value, revision, ttl)
}

func (b *bucket) publish(ctx context.Context, key string, value []byte, ttl time.Duration, options ...jetstream.PublishOpt) (uint64, error) {
	if ttl > 0 {
		options = append(options, jetstream.WithMsgTTL(wholeSeconds(ttl)))
	}
	message := &nats.Msg{Subject: "$KV." + b.name + "." + key, Header: nats.Header{}, Data: value}
	ack, err := b.js.PublishMsg(ctx, message, options...)
	if isConflict(err) {
		return 0, errConflict
	}
	if err != nil {
		return 0, fmt.Errorf("auth: write %s: %w", b.name, err)
	}
	return ack.Sequence, nil
}

// delete removes a key. With a revision only one caller of many can: the others get errConflict.
func (b *bucket) delete(ctx context.Context, key string, revision uint64) error {
	options := []jetstream.KVDeleteOpt{jetstream.PurgeTTL(markerLife)}
	if revision != 0 {
		options = append(options, jetstream.LastRevision(revision))
	}
	err := b.kv.Purge(ctx, key, options...)
	if isConflict(err) {
		return errConflict
	}
	if err != nil {
		return fmt.Errorf("auth: delete from %s: %w", b.name, err)
	}
	return nil
}

// list returns all keys that match a filter such as "u.x.*", with their values.
func (b *bucket) list(ctx context.Context, filter string) (map[string][]byte, error) {
	watcher, err := b.kv.Watch(ctx, filter, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("auth: list %s: %w", b.name, err)
	}
	defer watcher.Stop()
	found := map[string][]byte{}
	for {
		select {
		case entry, ok := <-watcher.Updates():
			if !ok {
				return nil, fmt.Errorf("auth: list %s: watch ended", b.name)
			}
			if entry == nil { // all that is there has been sent
				return found, nil
			}
			found[entry.Key()] = entry.Value()
		case <-ctx.Done():
			return nil, fmt.Errorf("auth: list %s: %w", b.name, ctx.Err())
		}
	}
}

// isConflict knows both codes of a wrong last sequence: single and replicated streams differ.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// wholeSeconds rounds up: JetStream counts a time to live in seconds and refuses less than one.
func wholeSeconds(d time.Duration) time.Duration {
	return max(d+time.Second-1, time.Second).Truncate(time.Second)
}

// randomToken is prefix and 256 random bits, safe in URLs and headers.
func randomToken(prefix string) string {
	return prefix + base64.RawURLEncoding.EncodeToString(randomBytes(32))
}

// validToken reports whether s looks like what randomToken(prefix) makes, before the store is asked.
func validToken(prefix, s string) bool {
	if len(s) != len(prefix)+43 || s[:len(prefix)] != prefix {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s[len(prefix):])
	return err == nil && len(b) == 32
}

// hashed is the only form in which a token, code or session id reaches the store.
func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
