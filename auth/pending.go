package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	pendingPurpose = "pending sign-in"
	// pendingCookieLife is longer than PendingLife, so that a late answer is told from a foreign one.
	pendingCookieLife = time.Hour
	// maxPending is how many sign-ins a browser can have open, one for each tab.
	maxPending = 4
)

// PendingOptions say what kind of cookie carries a pending sign-in.
type PendingOptions struct {
	Secure bool             // the public address is https
	Name   string           // "" is "skylift-signin"; with Secure it gets the prefix __Host-
	Now    func() time.Time // nil is time.Now
}

// Pendings keeps sign-ins that have begun in the cookies of the browsers that began them: the
// store holds nothing before an answer comes, so endless starts fill nothing. Of answers it
// remembers the hash, so that each is used once.
type Pendings struct {
	bucket  *bucket
	keyring *Keyring
	options PendingOptions
}

// OpenPendings opens the store of used answers, and makes it at the first start.
func OpenPendings(ctx context.Context, js jetstream.JetStream, replicas int, k *Keyring, o PendingOptions) (*Pendings, error) {
	b, err := openBucket(ctx, js, "states", replicas)
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "skylift-signin"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Name = hostPrefix(o.Name, o.Secure)
	return &Pendings{b, k, o}, nil
}

// hostPrefix is the name of a cookie: __Host- keeps other hosts of the domain from planting it,
// but browsers take it on https only.
func hostPrefix(name string, secure bool) string {
	if secure {
		return "__Host-" + name
	}
	return name
}

// Put sends the cookie of a sign-in that begins.
func (p *Pendings) Put(w http.ResponseWriter, r *http.Request, pending Pending) error {
	value, err := p.seal(pending)
	if err != nil {
		return err
	}
	p.makeRoom(w, r)
	http.SetCookie(w, p.cookie(p.nameFor(pending.State), value, int(pendingCookieLife/time.Second)))
	return nil
}

// Take returns the sign-in that an answer belongs to, once: it deletes the cookie and remembers
// the answer. The error is a *SignInError of kind WrongState, Expired or Replayed, or the store's.
func (p *Pendings) Take(w http.ResponseWriter, r *http.Request, query url.Values) (Pending, error) {
	states := query["state"]
	if len(states) != 1 || !validToken("", states[0]) {
		return Pending{}, &SignInError{Kind: WrongState, Detail: "no state in the answer"}
	}
	state := states[0]
	name := p.nameFor(state)
	cookie, err := r.Cookie(name)
	if err != nil {
		return Pending{}, p.withoutCookie(r.Context(), state)
	}
	http.SetCookie(w, p.cookie(name, "", -1))
	// A cookie opens for the state that it was sealed for only.
	pending, err := p.open(cookie.Value, state)
	if err != nil {
		return Pending{}, &SignInError{Kind: WrongState, Detail: "the cookie is not ours"}
	}
	if !pending.Expires.After(p.options.Now()) {
		return Pending{}, &SignInError{Kind: Expired}
	}
	// The browser's clock of ten minutes ends before this mark does.
	_, err = p.bucket.create(r.Context(), hashed(state), []byte{recordVersion}, pendingCookieLife)
	if errors.Is(err, errConflict) {
		return Pending{}, &SignInError{Kind: Replayed}
	}
	if err != nil {
		return Pending{}, err
	}
	return pending, nil
}

// withoutCookie tells a reload of a finished sign-in from an answer that was begun elsewhere.
func (p *Pendings) withoutCookie(ctx context.Context, state string) error {
	_, _, err := p.bucket.get(ctx, hashed(state))
	switch {
	case err == nil:
		return &SignInError{Kind: Replayed}
	case errors.Is(err, ErrNotFound):
		return &SignInError{Kind: WrongState, Detail: "no cookie of this sign-in"}
	}
	return err
}

// makeRoom deletes cookies of sign-ins that were never finished when there are too many.
func (p *Pendings) makeRoom(w http.ResponseWriter, r *http.Request) {
	var old []string
	for _, cookie := range r.Cookies() {
		if strings.HasPrefix(cookie.Name, p.options.Name+"-") {
			old = append(old, cookie.Name)
		}
	}
	for len(old) >= maxPending {
		http.SetCookie(w, p.cookie(old[0], "", -1))
		old = old[1:]
	}
}

// nameFor gives each sign-in its own cookie, so that two tabs do not spoil each other's.
func (p *Pendings) nameFor(state string) string {
	return p.options.Name + "-" + hashed(state)[:8]
}

func (p *Pendings) cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: p.options.Secure, SameSite: http.SameSiteLaxMode,
	}
}

func (p *Pendings) seal(pending Pending) (string, error) {
	plain, err := json.Marshal(pending)
	if err != nil {
		return "", err
	}
	state := pending.State
	return base64.RawURLEncoding.EncodeToString(p.keyring.Seal(pendingPurpose, hashed(state), plain)), nil
}

func (p *Pendings) open(value, state string) (Pending, error) {
	var pending Pending
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil {
		return pending, ErrSealed
	}
	plain, err := p.keyring.Open(pendingPurpose, hashed(state), sealed)
	if err != nil {
		return pending, err
	}
	return pending, json.Unmarshal(plain, &pending)
}
