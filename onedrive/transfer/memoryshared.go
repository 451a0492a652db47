package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// workedNote is the note of an account whose OneDrive fetches; any other note is the end of a refusal.
const workedNote = "worked"

// OpenNativeMemory is a NativeMemory that all instances share and that outlives them. What it knows
// is a hash and a time, and the bucket forgets each after a day.
func OpenNativeMemory(ctx context.Context, js jetstream.JetStream, replicas int) (NativeMemory, error) {
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: "native", Description: "whose OneDrive fetches URLs", History: 1, TTL: refusedFor,
		Storage: jetstream.FileStorage, Replicas: max(replicas, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("open the memory of native transfers: %w", err)
	}
	return &sharedMemory{kv}, nil
}

type sharedMemory struct{ kv jetstream.KeyValue }

func (m *sharedMemory) note(ctx context.Context, owner string) (string, error) {
	e, err := m.kv.Get(ctx, memoryKey(owner))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	return string(e.Value()), nil
}

func (m *sharedMemory) Refused(ctx context.Context, owner string) (time.Time, error) {
	note, err := m.note(ctx, owner)
	if err != nil || note == "" || note == workedNote {
		return time.Time{}, err
	}
	until, err := time.Parse(time.RFC3339, note)
	if err != nil {
		return time.Time{}, nil // of another version: as if nothing were known
	}
	return until, nil
}

func (m *sharedMemory) Refuse(ctx context.Context, owner string, until time.Time) error {
	if until.IsZero() {
		return m.kv.Delete(ctx, memoryKey(owner))
	}
	_, err := m.kv.PutString(ctx, memoryKey(owner), until.UTC().Format(time.RFC3339))
	return err
}

func (m *sharedMemory) Worked(ctx context.Context, owner string) (bool, error) {
	note, err := m.note(ctx, owner)
	return note == workedNote, err
}

// Work writes only what is not there yet: a batch of a thousand is one write.
func (m *sharedMemory) Work(ctx context.Context, owner string) error {
	if known, err := m.Worked(ctx, owner); known || err != nil {
		return err
	}
	_, err := m.kv.PutString(ctx, memoryKey(owner), workedNote)
	return err
}

// memoryKey says nothing about whom it belongs to, and is a key whatever the owner's id holds.
func memoryKey(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
