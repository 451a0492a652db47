package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// CodeLife is how long a one-time code can be redeemed.
const CodeLife = 60 * time.Second

// ErrBadCode is returned for a code that is unknown, used, too old, or shown with a verifier
// that does not fit its challenge; which of these is nobody's business.
var ErrBadCode = errors.New("auth: code is not valid")

// ErrBadChallenge is returned when a code is asked for with something that is no S256 challenge.
var ErrBadChallenge = errors.New("auth: challenge is not 43 characters of base64url")

// codes hands out one-time codes: 256 random bits, stored as a hash, bound to the S256
// challenge of whoever started, good for a minute and one redemption.
type codes struct {
	bucket  *bucket
	purpose string // codes of one purpose redeem for no other
	now     func() time.Time
}

type codeRecord struct {
	Version   int       `json:"v"`
	Purpose   string    `json:"purpose"`
	Challenge string    `json:"challenge"`
	Expires   time.Time `json:"expires"`
	User      User      `json:"user"`
	Name      string    `json:"name,omitempty"` // what the device is called
}

func openCodes(ctx context.Context, js jetstream.JetStream, replicas int, purpose string, now func() time.Time) (*codes, error) {
	b, err := openBucket(ctx, js, "codes", replicas)
	if err != nil {
		return nil, err
	}
	return &codes{b, purpose, now}, nil
}

func (c *codes) issue(ctx context.Context, user User, name, challenge string) (string, error) {
	if !ValidChallenge(challenge) {
		return "", ErrBadChallenge
	}
	code := randomToken("")
	_, err := c.bucket.createJSON(ctx, hashed(code), codeRecord{
		Version: recordVersion, Purpose: c.purpose, Challenge: challenge,
		Expires: c.now().Add(CodeLife), User: user, Name: name,
	}, CodeLife)
	return code, err
}

// redeem gives the code's record to exactly one caller: deleting at the revision that was read
// is the one step that only one of them can win. A wrong verifier does not use the code up, so
// that somebody who saw it cannot spoil it either.
func (c *codes) redeem(ctx context.Context, code, verifier string) (codeRecord, error) {
	var record codeRecord
	if !validToken("", code) || !validVerifier(verifier) {
		return record, ErrBadCode
	}
	key := hashed(code)
	revision, err := c.bucket.getJSON(ctx, key, &record)
	if errors.Is(err, ErrNotFound) {
		return codeRecord{}, ErrBadCode
	}
	if err != nil {
		return codeRecord{}, err
	}
	if record.Purpose != c.purpose || !record.Expires.After(c.now()) || !fits(record.Challenge, verifier) {
		return codeRecord{}, ErrBadCode
	}
	err = c.bucket.delete(ctx, key, revision)
	if errors.Is(err, errConflict) {
		return codeRecord{}, ErrBadCode
	}
	if err != nil {
		return codeRecord{}, err
	}
	return record, nil
}

// forget spoils the codes that a user has been given and that nobody has redeemed yet.
func (c *codes) forget(ctx context.Context, userID string) error {
	all, err := c.bucket.list(ctx, "*")
	if err != nil {
		return err
	}
	for key, value := range all {
		var record codeRecord
		if json.Unmarshal(value, &record) != nil || record.Purpose != c.purpose || record.User.ID != userID {
			continue
		}
		if err := c.bucket.delete(ctx, key, 0); err != nil {
			return err
		}
	}
	return nil
}

// ValidChallenge checks the form of an S256 challenge: 32 bytes in base64url (RFC 7636 §4.2).
func ValidChallenge(challenge string) bool { return validToken("", challenge) }

// validVerifier checks the form of RFC 7636 §4.1.
func validVerifier(verifier string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return len(verifier) >= 43 && len(verifier) <= 128 && strings.Trim(verifier, unreserved) == ""
}

// fits compares a challenge with the S256 transform of a verifier in constant time.
func fits(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(challenge), []byte(want)) == 1
}

// Handoffs carries a finished sign-in from a top-level window into a framed panel that cannot
// see that window's cookies: the window gets a code, the panel redeems it with its verifier.
type Handoffs struct {
	Now   func() time.Time // the clock; OpenHandoffs sets time.Now
	codes *codes
}

// OpenHandoffs opens the store of handoff codes, and makes it at the first start.
func OpenHandoffs(ctx context.Context, js jetstream.JetStream, replicas int) (*Handoffs, error) {
	h := &Handoffs{Now: time.Now}
	c, err := openCodes(ctx, js, replicas, "panel", func() time.Time { return h.Now() })
	h.codes = c
	return h, err
}

// Issue makes a code that signs in as user whoever holds the verifier of the S256 challenge.
func (h *Handoffs) Issue(ctx context.Context, user User, challenge string) (string, error) {
	return h.codes.issue(ctx, user, "", challenge)
}

// Forget spoils the codes of a user that nobody has redeemed yet.
func (h *Handoffs) Forget(ctx context.Context, userID string) error {
	return h.codes.forget(ctx, userID)
}

// Redeem returns the user of a code to the first caller with the right verifier, else ErrBadCode.
func (h *Handoffs) Redeem(ctx context.Context, code, verifier string) (User, error) {
	record, err := h.codes.redeem(ctx, code, verifier)
	return record.User, err
}
