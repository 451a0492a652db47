package auth

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// DeviceLife is how long a device key works after it was made.
	DeviceLife = 90 * 24 * time.Hour
	// deviceTouch is how exact the time of last use is: a write at most this often.
	deviceTouch   = 5 * time.Minute
	deviceKeyMark = "skl_"
	maxDeviceName = 80
	// maxDevices is more than anybody needs and less than would hurt.
	maxDevices = 100
)

// ErrBadKey is returned for a device key that is unknown, revoked or expired.
var ErrBadKey = errors.New("auth: device key is not valid")

// ErrTooManyDevices is returned when a user has as many devices as are allowed.
var ErrTooManyDevices = errors.New("auth: too many devices")

// Device is something that holds a key to a user's API, such as a browser with the extension.
type Device struct {
	ID       string    `json:"id"`
	UserID   string    `json:"userId"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed"` // exact to a few minutes; zero when never used
	Expires  time.Time `json:"expires"`
}

// Devices keeps the devices of all users. A key is stored as its hash only.
type Devices struct {
	Now    func() time.Time // the clock; OpenDevices sets time.Now
	bucket *bucket          // k.<hash> the device, u.<user>.<id> its hash
	realm  realm
	codes  *codes
}

type deviceRecord struct {
	Version int    `json:"v"`
	Realm   string `json:"realm,omitempty"`
	Device
}

// OpenDevices opens the store of devices, and makes it at the first start. A key that was made in
// another realm is none; "" takes all.
func OpenDevices(ctx context.Context, js jetstream.JetStream, replicas int, realm string) (*Devices, error) {
	b, err := openBucket(ctx, js, "devices", replicas)
	if err != nil {
		return nil, err
	}
	d := &Devices{Now: time.Now, bucket: b}
	if d.realm, err = openRealm(ctx, b, realm); err != nil {
		return nil, err
	}
	d.codes, err = openCodes(ctx, js, replicas, "device", func() time.Time { return d.Now() })
	return d, err
}

// IssueCode makes a one-time code for a device that showed the S256 challenge of its verifier.
// It can be redeemed once within CodeLife.
func (d *Devices) IssueCode(ctx context.Context, userID, name, challenge string) (string, error) {
	if !validUserID(userID) {
		return "", ErrNotFound
	}
	return d.codes.issue(ctx, User{ID: userID}, deviceName(name), challenge)
}

// Redeem changes a one-time code for a device key. Of many callers one wins, the others get ErrBadCode.
func (d *Devices) Redeem(ctx context.Context, code, verifier string) (string, Device, error) {
	record, err := d.codes.redeem(ctx, code, verifier)
	if err != nil {
		return "", Device{}, err
	}
	return d.Make(ctx, record.User.ID, record.Name)
}

// Make adds a device and returns its key, which is shown this once.
func (d *Devices) Make(ctx context.Context, userID, name string) (string, Device, error) {
	if !validUserID(userID) {
		return "", Device{}, ErrNotFound
	}
	mine, err := d.bucket.list(ctx, "u."+userID+".*")
	if err != nil {
		return "", Device{}, err
	}
	if len(mine) >= maxDevices {
		return "", Device{}, ErrTooManyDevices
	}
	now := d.Now().UTC()
	device := Device{
		ID: base64.RawURLEncoding.EncodeToString(randomBytes(12)), UserID: userID, Name: deviceName(name),
		Created: now, Expires: now.Add(DeviceLife),
	}
	key := randomToken(deviceKeyMark)
	// The index comes first: a key that works is always one that the user can see and revoke.
	if _, err := d.bucket.create(ctx, "u."+userID+"."+device.ID, []byte(hashed(key)), DeviceLife); err != nil {
		return "", Device{}, err
	}
	if _, err := d.bucket.createJSON(ctx, "k."+hashed(key), deviceRecord{recordVersion, d.realm.now, device}, DeviceLife); err != nil {
		return "", Device{}, err
	}
	return key, device, nil
}

// Authenticate returns the device that holds key, or ErrBadKey.
func (d *Devices) Authenticate(ctx context.Context, key string) (Device, error) {
	if !validToken(deviceKeyMark, key) {
		return Device{}, ErrBadKey
	}
	record, revision, err := d.find(ctx, hashed(key))
	if errors.Is(err, ErrNotFound) {
		return Device{}, ErrBadKey
	}
	if err != nil {
		return Device{}, err
	}
	if now := d.Now().UTC(); now.Sub(record.LastUsed) >= deviceTouch {
		record.LastUsed = now
		// Somebody else's touch, or a revocation between, is as good; a store that cannot be
		// written must not stop a key that is right.
		_, _ = d.bucket.updateJSON(ctx, "k."+hashed(key), record, revision, record.Expires.Sub(now))
	}
	return record.Device, nil
}

// List returns the devices of a user, newest first.
func (d *Devices) List(ctx context.Context, userID string) ([]Device, error) {
	if !validUserID(userID) {
		return nil, ErrNotFound
	}
	mine, err := d.bucket.list(ctx, "u."+userID+".*")
	if err != nil {
		return nil, err
	}
	var devices []Device
	for _, hash := range mine {
		record, _, err := d.find(ctx, string(hash))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		devices = append(devices, record.Device)
	}
	slices.SortFunc(devices, func(a, b Device) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return devices, nil
}

// Revoke ends a device's key at once; ErrNotFound also for somebody else's device.
func (d *Devices) Revoke(ctx context.Context, userID, id string) error {
	if !validUserID(userID) || !validDeviceID(id) {
		return ErrNotFound
	}
	index := "u." + userID + "." + id
	hash, _, err := d.bucket.get(ctx, index)
	if err != nil {
		return err
	}
	if err := d.bucket.delete(ctx, "k."+string(hash), 0); err != nil {
		return err
	}
	return d.bucket.delete(ctx, index, 0)
}

// RevokeAll ends the keys of all devices of a user, and the codes that could still become one.
func (d *Devices) RevokeAll(ctx context.Context, userID string) error {
	if err := d.codes.forget(ctx, userID); err != nil {
		return err
	}
	devices, err := d.List(ctx, userID)
	if err != nil {
		return err
	}
	for _, device := range devices {
		if err := d.Revoke(ctx, userID, device.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

func (d *Devices) find(ctx context.Context, hash string) (deviceRecord, uint64, error) {
	var record deviceRecord
	revision, err := d.bucket.getJSON(ctx, "k."+hash, &record)
	if err != nil {
		return record, 0, err
	}
	if !record.Expires.After(d.Now()) || !d.realm.has(record.Realm) {
		return record, 0, ErrNotFound
	}
	return record, revision, nil
}

func validDeviceID(id string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(b) == 12
}

// deviceName makes a name that a list can show: one line, no control characters, not endless.
func deviceName(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, name)
	runes := []rune(strings.Join(strings.Fields(name), " "))
	if len(runes) == 0 {
		return "Device"
	}
	return string(runes[:min(len(runes), maxDeviceName)])
}
