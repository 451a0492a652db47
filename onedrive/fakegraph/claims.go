package fakegraph

import (
	"crypto/sha256"
	"encoding/base64"
)

// subject is the sub claim: another one for each app, as Microsoft's.
func (a *Account) subject(client string) string {
	sum := sha256.Sum256([]byte("sub\x00" + client + "\x00" + a.TenantID + "\x00" + a.ObjectID))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
