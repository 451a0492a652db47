package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// ConsumersTenant is the tenant id of all personal Microsoft accounts.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
const ConsumersTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// ErrNotFound is returned for a user, device or code that is not there (any more).
var ErrNotFound = errors.New("auth: not found")

// User is a person as Microsoft names them. Only TenantID and ObjectID identify: names change
// and get reused, so they are for display.
type User struct {
	ID       string `json:"id"` // 26 characters a-z2-7, made of tenant and object id; safe in a store's key
	TenantID string `json:"tenantId"`
	ObjectID string `json:"objectId"`
	Name     string `json:"name"`     // display name
	Username string `json:"username"` // mostly an e-mail address; never a key
}

// Personal reports whether this is a personal Microsoft account, not one of work or school.
func (u User) Personal() bool { return u.TenantID == ConsumersTenant }

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// UserID is the id of the user with this tenant and object id.
func UserID(tenantID, objectID string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(tenantID) + "|" + strings.ToLower(objectID)))
	return base32Lower.EncodeToString(sum[:])[:26]
}

func validUserID(id string) bool {
	return len(id) == 26 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Users keeps the profile and the preferences of everybody who has signed in.
type Users struct {
	bucket *bucket
}

// OpenUsers opens the store of users, and makes it at the first start.
func OpenUsers(ctx context.Context, js jetstream.JetStream, replicas int) (*Users, error) {
	b, err := openBucket(ctx, js, "users", replicas)
	if err != nil {
		return nil, err
	}
	return &Users{b}, nil
}

type userRecord struct {
	Version int `json:"v"`
	User
}

// Put stores the profile of a user, as it came with a sign-in.
func (u *Users) Put(ctx context.Context, user User) error {
	if !validUserID(user.ID) {
		return fmt.Errorf("auth: put user: bad id")
	}
	return u.bucket.putJSON(ctx, "u."+user.ID, userRecord{recordVersion, user}, 0)
}

// Get returns the profile of a user, or ErrNotFound.
func (u *Users) Get(ctx context.Context, id string) (User, error) {
	var record userRecord
	if !validUserID(id) {
		return User{}, ErrNotFound
	}
	_, err := u.bucket.getJSON(ctx, "u."+id, &record)
	return record.User, err
}

type prefsRecord struct {
	Version int             `json:"v"`
	Prefs   json.RawMessage `json:"prefs"`
}

// Prefs decodes the preferences of a user into the value that into points to, and leaves it as
// it is when there are none.
func (u *Users) Prefs(ctx context.Context, id string, into any) error {
	var record prefsRecord
	if !validUserID(id) {
		return ErrNotFound
	}
	_, err := u.bucket.getJSON(ctx, "p."+id, &record)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(record.Prefs, into)
}

// SetPrefs stores the preferences of a user: anything that JSON can hold.
func (u *Users) SetPrefs(ctx context.Context, id string, v any) error {
	if !validUserID(id) {
		return ErrNotFound
	}
	prefs, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("auth: preferences: %w", err)
	}
	return u.bucket.putJSON(ctx, "p."+id, prefsRecord{recordVersion, prefs}, 0)
}

// Delete forgets profile and preferences of a user.
func (u *Users) Delete(ctx context.Context, id string) error {
	if !validUserID(id) {
		return ErrNotFound
	}
	return errors.Join(u.bucket.delete(ctx, "u."+id, 0), u.bucket.delete(ctx, "p."+id, 0))
}
