package auth

import (
	"context"
	"errors"
	"strings"
)

// realmKey is where a bucket keeps the realm of records that tell none.
const realmKey = "realm"

// realm tells the sessions and keys that this app registration brought about from those of another:
// the demo's open nothing once a client id is set, and a narrower tenant ends what the wider one let in.
type realm struct {
	now    string // "" takes every record
	before string // of records that an earlier build made, which wrote none
}

// openRealm reads the realm of the records that tell none, which is that of the first start that knew of
// realms: an update signs nobody out, and a change of the registration later does.
func openRealm(ctx context.Context, b *bucket, now string) (realm, error) {
	if now == "" {
		return realm{}, nil
	}
	_, err := b.create(ctx, realmKey, []byte(now), 0)
	if err == nil || !errors.Is(err, errConflict) {
		return realm{now, now}, err
	}
	before, _, err := b.get(ctx, realmKey)
	return realm{now, string(before)}, err
}

// has reports whether a record is of this realm.
func (r realm) has(recorded string) bool {
	if recorded == "" {
		recorded = r.before
	}
	return recorded == r.now || r.now == ""
}

// Realm stands for the app registration: login host, client and tenant.
func (p *Provider) Realm() string {
	return Mark(strings.Join([]string{p.config.LoginURL, p.config.ClientID, p.config.Tenant}, "\n"))
}
