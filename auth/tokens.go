package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

const (
	tokenPurpose = "tokens"
	refreshEarly = 5 * time.Minute  // an access token this near its end is not used any more
	leaseLife    = 30 * time.Second // longer than a refresh can take (callLimit) and its store
	cacheLife    = 10 * time.Second // then the store is asked whether the account is still there
	cacheSize    = 10_000           // accounts
	accessLimit  = 2 * leaseLife    // one refresh, and somebody else's before
	leasePause   = 50 * time.Millisecond
)

// Refresher changes a refresh token for fresh tokens; *Provider is one. An error that
// errors.Is(err, ErrSignInRequired) says that the refresh token is good for nothing any more.
type Refresher interface {
	Refresh(ctx context.Context, refreshToken string) (*oauth2.Token, error)
}

// Tokens keeps each account's tokens, sealed. However many transfers and instances need a fresh
// access token at once, one refresh runs for an account, and the refresh token that it brings is
// stored before its access token is used.
type Tokens struct {
	Now       func() time.Time // the clock; OpenTokens sets time.Now
	bucket    *bucket          // t.<user> sealed tokens, l.<user> the lease of who refreshes, check
	keyring   *Keyring
	refresher Refresher

	flight singleflight.Group
	flying sync.WaitGroup // refreshes
	mu     sync.Mutex     // guards cache
	cache  map[string]cachedToken
}

type cachedToken struct {
	access  string
	expires time.Time
	until   time.Time // trusted without asking the store
}

// tokenRecord is what is sealed.
type tokenRecord struct {
	Version int       `json:"v"`
	Refresh string    `json:"refresh"`
	Access  string    `json:"access"`
	Expires time.Time `json:"expires"`
}

// OpenTokens opens the store of tokens, and makes it at the first start. ErrWrongKeys when the
// ring lacks the key that sealed what is there.
func OpenTokens(ctx context.Context, js jetstream.JetStream, replicas int, k *Keyring, r Refresher) (*Tokens, error) {
	b, err := openBucket(ctx, js, "tokens", replicas)
	if err != nil {
		return nil, err
	}
	if err := checkKeys(ctx, b, k); err != nil {
		return nil, err
	}
	return &Tokens{Now: time.Now, bucket: b, keyring: k, refresher: r, cache: map[string]cachedToken{}}, nil
}

// Put stores the tokens of a sign-in.
func (t *Tokens) Put(ctx context.Context, userID string, token *oauth2.Token) error {
	if !validUserID(userID) {
		return ErrNotFound
	}
	record := recordOf(token, "")
	sealed, err := t.seal(userID, record)
	if err != nil {
		return err
	}
	if _, err := t.bucket.put(ctx, "t."+userID, sealed, 0); err != nil {
		return err
	}
	t.remember(userID, record)
	return nil
}

// Access returns an access token of the account. Stale is the one that Graph just refused, or
// "": it is not returned again. ErrSignInRequired when there is no way to get one.
func (t *Tokens) Access(ctx context.Context, userID, stale string) (string, error) {
	if !validUserID(userID) {
		return "", ErrSignInRequired
	}
	if access, ok := t.remembered(userID, stale); ok {
		return access, nil
	}
	// The work belongs to all who wait for it: it goes on when the first of them leaves.
	flight := t.flight.DoChan(userID+" "+stale, func() (any, error) {
		t.flying.Add(1)
		defer t.flying.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), accessLimit)
		defer cancel()
		return t.renew(ctx, userID, stale)
	})
	select {
	case result := <-flight:
		access, _ := result.Val.(string)
		return access, result.Err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Close waits until what is being refreshed is stored, or ctx ends: the refresh token that Microsoft has
// just given away could be the only good one. Nobody may ask for tokens any more.
func (t *Tokens) Close(ctx context.Context) error {
	stored := make(chan struct{})
	go func() { // ends with the last refresh, within accessLimit
		t.flying.Wait()
		close(stored)
	}()
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("auth: a token is still being refreshed: %w", context.Cause(ctx))
	}
}

// Forget deletes the account's tokens. Microsoft cannot be told to revoke them.
func (t *Tokens) Forget(ctx context.Context, userID string) error {
	if !validUserID(userID) {
		return ErrNotFound
	}
	err := t.bucket.delete(ctx, "t."+userID, 0)
	t.drop(userID)
	return err
}

// Reseal seals again, with the newest key, what an older key sealed, and returns how many there
// were. After it the older keys can be dropped: the next start asks for the newest one only. So it
// notes that only when others, which does the same for what others have sealed with the ring, is done too.
func (t *Tokens) Reseal(ctx context.Context, others func(context.Context) (int, error)) (int, error) {
	all, err := t.bucket.list(ctx, "t.*")
	if err != nil {
		return 0, err
	}
	done := 0
	for key, sealed := range all {
		if !t.keyring.Stale(sealed) {
			continue
		}
		record, revision, err := t.load(ctx, key[len("t."):])
		if errors.Is(err, ErrSignInRequired) {
			continue
		}
		if err != nil {
			return done, err
		}
		_, err = t.save(ctx, key[len("t."):], record, revision)
		if err != nil && !errors.Is(err, errConflict) { // on conflict, whoever wrote used the newest key
			return done, err
		}
		done++
	}
	more, err := others(ctx)
	done += more
	if err != nil {
		return done, err
	}
	_, err = t.bucket.put(ctx, checkKey, sealCheck(t.keyring), 0)
	return done, err
}

// renew finds a good access token in the store, or gets one under the account's lease, or waits
// for whoever holds that lease.
func (t *Tokens) renew(ctx context.Context, userID, stale string) (string, error) {
	for pause := leasePause; ; pause = min(2*pause, 10*leasePause) {
		record, _, err := t.load(ctx, userID)
		if err != nil {
			return "", t.lost(userID, err)
		}
		if t.usable(record, stale) {
			t.remember(userID, record)
			return record.Access, nil
		}
		lease, err := t.bucket.create(ctx, "l."+userID, []byte{recordVersion}, leaseLife)
		if err == nil {
			access, err := t.refresh(ctx, userID, stale)
			// A lease that cannot be given back ends by itself.
			_ = t.bucket.delete(context.WithoutCancel(ctx), "l."+userID, lease)
			if !errors.Is(err, errConflict) {
				return access, t.lost(userID, err)
			}
			continue // a sign-in stored newer tokens meanwhile
		}
		if !errors.Is(err, errConflict) {
			return "", err
		}
		if err := wait(ctx, pause); err != nil {
			return "", fmt.Errorf("%w: another instance refreshes too long: %w", ErrTemporary, err)
		}
	}
}

// refresh runs under the lease. It reads again, because the tokens may have come between the
// look before and the lease.
func (t *Tokens) refresh(ctx context.Context, userID, stale string) (string, error) {
	record, revision, err := t.load(ctx, userID)
	if err != nil {
		return "", err
	}
	if t.usable(record, stale) {
		t.remember(userID, record)
		return record.Access, nil
	}
	token, err := t.refresher.Refresh(ctx, record.Refresh)
	if errors.Is(err, ErrSignInRequired) {
		if gone := t.bucket.delete(ctx, "t."+userID, revision); errors.Is(gone, errConflict) {
			return "", gone // not these tokens: somebody has just signed in
		}
		return "", err
	}
	if err != nil {
		return "", err
	}
	fresh := recordOf(token, record.Refresh)
	if err := t.saveFirst(ctx, userID, fresh, revision); err != nil {
		return "", err
	}
	t.remember(userID, fresh)
	return fresh.Access, nil
}

// saveFirst stores what a refresh brought, before anybody uses it. The old refresh token may be
// dead already, so it tries hard. A write whose answer got lost shows as a conflict with itself,
// and the caller finds its own tokens in the store.
func (t *Tokens) saveFirst(ctx context.Context, userID string, fresh tokenRecord, revision uint64) error {
	for try := 1; ; try++ {
		_, err := t.save(ctx, userID, fresh, revision)
		if err == nil || errors.Is(err, errConflict) || try == 4 {
			return err
		}
		if wait(ctx, time.Duration(try)*500*time.Millisecond) != nil {
			return err
		}
	}
}

// load opens the tokens of an account; ErrSignInRequired when there are none that can be opened.
func (t *Tokens) load(ctx context.Context, userID string) (tokenRecord, uint64, error) {
	var record tokenRecord
	sealed, revision, err := t.bucket.get(ctx, "t."+userID)
	if errors.Is(err, ErrNotFound) {
		return record, 0, ErrSignInRequired
	}
	if err != nil {
		return record, 0, err
	}
	plain, err := t.keyring.Open(tokenPurpose, userID, sealed)
	if err == nil {
		err = json.Unmarshal(plain, &record)
	}
	if err != nil {
		return record, 0, fmt.Errorf("%w: stored tokens: %w", ErrSignInRequired, ErrSealed)
	}
	return record, revision, nil
}

func (t *Tokens) save(ctx context.Context, userID string, record tokenRecord, revision uint64) (uint64, error) {
	sealed, err := t.seal(userID, record)
	if err != nil {
		return 0, err
	}
	return t.bucket.update(ctx, "t."+userID, sealed, revision, 0)
}

func (t *Tokens) seal(userID string, record tokenRecord) ([]byte, error) {
	plain, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	return t.keyring.Seal(tokenPurpose, userID, plain), nil
}

// recordOf keeps the old refresh token when no new one came.
func recordOf(token *oauth2.Token, old string) tokenRecord {
	record := tokenRecord{Version: recordVersion, Refresh: token.RefreshToken, Access: token.AccessToken, Expires: token.Expiry.UTC()}
	if record.Refresh == "" {
		record.Refresh = old
	}
	return record
}

func (t *Tokens) usable(record tokenRecord, stale string) bool {
	return record.Access != "" && record.Access != stale && record.Expires.Sub(t.Now()) > refreshEarly
}

func (t *Tokens) remember(userID string, record tokenRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cache) >= cacheSize {
		clear(t.cache) // the store has it all
	}
	t.cache[userID] = cachedToken{record.Access, record.Expires, t.Now().Add(cacheLife)}
}

func (t *Tokens) remembered(userID, stale string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.cache[userID]
	if !ok || c.access == stale || c.access == "" {
		return "", false
	}
	now := t.Now()
	return c.access, now.Before(c.until) && c.expires.Sub(now) > refreshEarly
}

func (t *Tokens) drop(userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.cache, userID)
}

// lost drops the remembered token when the account has to sign in again.
func (t *Tokens) lost(userID string, err error) error {
	if errors.Is(err, ErrSignInRequired) {
		t.drop(userID)
	}
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
