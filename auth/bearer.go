package auth

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

const (
	// BearerLife is how long a panel's bearer works before it has to be renewed.
	BearerLife = 15 * time.Minute
	bearerKind = "bearer"
	bearerMark = "skp_"
)

// ErrBadBearer is returned for a panel bearer that is unknown, renewed, ended or expired.
var ErrBadBearer = errors.New("auth: panel bearer is not valid")

// IssueBearer makes a short bearer for a panel whose browser keeps no cookie in frames. It lives
// in the panel's memory only, and is changed for a fresh one by RenewBearer before it ends.
func (s *Sessions) IssueBearer(ctx context.Context, user User) (string, time.Time, error) {
	return s.issueBearer(ctx, user, s.options.Now().Add(s.options.Idle))
}

// IsPanelBearer reports whether a key has the form of a panel's bearer; other keys do not.
func IsPanelBearer(key string) bool { return strings.HasPrefix(key, bearerMark) }

// EndBearer ends a bearer before its time: its panel signs out.
func (s *Sessions) EndBearer(ctx context.Context, bearer string) error {
	if !validToken(bearerMark, bearer) {
		return nil
	}
	return s.forget(ctx, bearer)
}

// Bearer returns the user of a panel bearer, or ErrBadBearer.
func (s *Sessions) Bearer(ctx context.Context, bearer string) (User, error) {
	user, _, _, err := s.bearer(ctx, bearer)
	return user, err
}

// RenewBearer changes a bearer for a fresh one. The old one ends: of two who hold the same
// bearer one can renew it. The chain of renewals ends when a panel session would (Idle).
func (s *Sessions) RenewBearer(ctx context.Context, bearer string) (string, time.Time, error) {
	user, end, revision, err := s.bearer(ctx, bearer)
	if err != nil {
		return "", time.Time{}, err
	}
	err = s.bucket.delete(ctx, "s."+hashed(bearer), revision)
	if errors.Is(err, errConflict) {
		return "", time.Time{}, ErrBadBearer
	}
	if err != nil {
		return "", time.Time{}, err
	}
	_ = s.bucket.delete(ctx, "u."+user.ID+"."+hashed(bearer), 0) // else it ends by its own time
	return s.issueBearer(ctx, user, end)
}

const bearerEnd = "end" // value: when the chain of renewals ends

func (s *Sessions) issueBearer(ctx context.Context, user User, end time.Time) (string, time.Time, error) {
	now := s.options.Now()
	life := min(BearerLife, end.Sub(now))
	if !validUserID(user.ID) || life <= 0 {
		return "", time.Time{}, ErrBadBearer
	}
	profile, err := json.Marshal(user)
	if err != nil {
		return "", time.Time{}, err
	}
	bearer := randomToken(bearerMark)
	err = s.store(ctx, bearer, bearerKind, user.ID, life, map[any]any{
		userValue: user.ID, profileValue: string(profile), bearerEnd: end.UTC().Format(time.RFC3339),
	})
	return bearer, now.Add(life), err
}

func (s *Sessions) bearer(ctx context.Context, bearer string) (User, time.Time, uint64, error) {
	none := time.Time{}
	if !validToken(bearerMark, bearer) {
		return User{}, none, 0, ErrBadBearer
	}
	record, revision, err := s.load(ctx, bearerKind, bearer)
	if errors.Is(err, ErrNotFound) {
		return User{}, none, 0, ErrBadBearer
	}
	if err != nil {
		return User{}, none, 0, err
	}
	values, err := s.openValues(bearer, record)
	if err != nil {
		return User{}, none, 0, ErrBadBearer
	}
	user, ok := userOf(values)
	text, _ := values[bearerEnd].(string)
	end, err := time.Parse(time.RFC3339, text)
	if !ok || err != nil {
		return User{}, none, 0, ErrBadBearer
	}
	return user, end, revision, nil
}
