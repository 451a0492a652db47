package auth

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/sessions"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	sessionTouch   = 5 * time.Minute // the idle clock is set anew at most this often
	anonymousLife  = time.Hour       // of a session that nobody has signed in to
	sessionPurpose = "session"
	maxSession     = 32 << 10 // sealed values; the bucket takes 64 KB with base64 around them

	userValue    = "user"
	profileValue = "profile"
)

// ErrSessionTooLarge is returned by Save for more values than a session may hold.
var ErrSessionTooLarge = errors.New("auth: session holds too much")

// SessionOptions say what kind of cookie a store of sessions uses and how long they last.
type SessionOptions struct {
	Secure   bool             // the public address is https
	Name     string           // "" is "skylift", or "skylift-panel"; with Secure it gets the prefix __Host-
	Idle     time.Duration    // 0 is 7 days, or 8 hours for a panel
	Absolute time.Duration    // 0 is 30 days, or 7 days for a panel
	Realm    string           // what lets people in, see Provider.Realm; a session of another one is none. "" takes all
	Panel    bool             // the cookie is used inside other sites' frames: SameSite=None; Partitioned
	Now      func() time.Time // nil is time.Now
}

// Sessions is a sessions.Store whose cookie is a random id only. The store knows the id by its
// hash, and ends a session on the server at sign-out. All Sessions of one JetStream share their
// records, so that DeleteAll reaches pages, panels and panel bearers alike.
type Sessions struct {
	bucket  *bucket // s.<hash of id> the session, u.<user>.<hash of id> an index
	realm   realm
	keyring *Keyring
	options SessionOptions
}

// sessionRecord is what the store keeps of a session.
type sessionRecord struct {
	Version int       `json:"v"`
	Kind    string    `json:"kind"` // cookie name or "bearer": an id of one kind opens no other
	Realm   string    `json:"realm,omitempty"`
	UserID  string    `json:"user,omitempty"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"` // absolute
	Values  []byte    `json:"values"`  // sealed
}

// OpenSessions opens the store of sessions, and makes it at the first start.
func OpenSessions(ctx context.Context, js jetstream.JetStream, replicas int, k *Keyring, o SessionOptions) (*Sessions, error) {
	b, err := openBucket(ctx, js, "sessions", replicas)
	if err != nil {
		return nil, err
	}
	realm, err := openRealm(ctx, b, o.Realm)
	if err != nil {
		return nil, err
	}
	name, idle, absolute := "skylift", 7*24*time.Hour, 30*24*time.Hour
	if o.Panel {
		name, idle, absolute = "skylift-panel", 8*time.Hour, 7*24*time.Hour
	}
	if o.Name == "" {
		o.Name = name
	}
	if o.Idle == 0 {
		o.Idle = idle
	}
	if o.Absolute == 0 {
		o.Absolute = absolute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Name = hostPrefix(o.Name, o.Secure)
	return &Sessions{b, realm, k, o}, nil
}

// Name is the name of the cookie, and of the session in Get.
func (s *Sessions) Name() string { return s.options.Name }

// Get returns the request's session, loading it once a request. A missing, broken or dead
// cookie gives a fresh session; an error means that the store could not be asked.
func (s *Sessions) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New loads the session of the request's cookie, else makes a fresh one that is not stored yet.
func (s *Sessions) New(r *http.Request, name string) (*sessions.Session, error) {
	session := s.fresh(name)
	cookie, err := r.Cookie(name)
	if err != nil || !validToken("", cookie.Value) {
		return session, nil
	}
	record, revision, err := s.load(r.Context(), name, cookie.Value)
	if errors.Is(err, ErrNotFound) {
		return session, nil
	}
	if err != nil {
		return session, err
	}
	values, err := s.openValues(cookie.Value, record)
	if err != nil {
		return session, nil // sealed by a key that is gone: sign in again
	}
	session.ID, session.Values, session.IsNew = cookie.Value, values, false
	s.touch(r.Context(), cookie.Value, record, revision)
	return session, nil
}

// Save stores the session's values, and sends its cookie when it is a new one. A session that was
// ended meanwhile stays ended. MaxAge < 0 in its options ends it.
func (s *Sessions) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if session.Options.MaxAge < 0 {
		return s.end(r.Context(), w, session)
	}
	if session.ID == "" {
		return s.create(r.Context(), w, session)
	}
	for {
		record, revision, err := s.load(r.Context(), session.Name(), session.ID)
		if errors.Is(err, ErrNotFound) {
			s.sendCookie(w, session, -1)
			return nil
		}
		if err != nil {
			return err
		}
		if record.Values, err = s.sealValues(session.ID, session.Values); err != nil {
			return err
		}
		_, err = s.bucket.updateJSON(r.Context(), "s."+hashed(session.ID), record, revision, s.life(record))
		if !errors.Is(err, errConflict) {
			return err
		}
	}
}

// Renew gives the session a new id and ends the old one: whoever knew the old id, or planted it,
// has nothing. It saves the session.
func (s *Sessions) Renew(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	if err := s.forget(r.Context(), session.ID); err != nil {
		return err
	}
	session.ID = ""
	return s.Save(r, w, session)
}

// SignIn starts a session of user under a new id; nothing of the session before is kept.
func (s *Sessions) SignIn(w http.ResponseWriter, r *http.Request, user User) error {
	if !validUserID(user.ID) {
		return errors.New("auth: sign in: bad user id")
	}
	session, err := s.Get(r, s.Name())
	if err != nil {
		return err
	}
	profile, err := json.Marshal(user)
	if err != nil {
		return err
	}
	clear(session.Values)
	session.Values[userValue] = user.ID
	session.Values[profileValue] = string(profile)
	return s.Renew(r, w, session)
}

// SignOut ends the request's session here and in the browser.
func (s *Sessions) SignOut(w http.ResponseWriter, r *http.Request) error {
	session, err := s.Get(r, s.Name())
	if err != nil {
		return err
	}
	return s.end(r.Context(), w, session)
}

// User returns who is signed in. When the store cannot be asked it says nobody; see Lookup.
func (s *Sessions) User(r *http.Request) (User, bool) {
	user, ok, _ := s.Lookup(r)
	return user, ok
}

// Lookup returns who is signed in, and apart from that whether the store could be asked.
func (s *Sessions) Lookup(r *http.Request) (User, bool, error) {
	session, err := s.Get(r, s.Name())
	if err != nil {
		return User{}, false, err
	}
	user, ok := userOf(session.Values)
	return user, ok, nil
}

// Mark stands for the request's session where its id may not be known; "" when there is none.
func (s *Sessions) Mark(r *http.Request) string {
	session, err := s.Get(r, s.Name())
	if err != nil || session.ID == "" {
		return ""
	}
	return Mark(session.ID)
}

// Mark stands for a session's id, or a bearer, where that itself may not be known.
func Mark(secret string) string { return hashed(secret)[:32] }

func userOf(values map[any]any) (User, bool) {
	var user User
	id, _ := values[userValue].(string)
	profile, _ := values[profileValue].(string)
	if id == "" || json.Unmarshal([]byte(profile), &user) != nil || user.ID != id {
		return User{}, false
	}
	return user, true
}

// DeleteAll ends all sessions of a user on all devices: pages, panels and panel bearers.
func (s *Sessions) DeleteAll(ctx context.Context, userID string) error {
	if !validUserID(userID) {
		return ErrNotFound
	}
	prefix := "u." + userID + "."
	found, err := s.bucket.list(ctx, prefix+"*")
	if err != nil {
		return err
	}
	for key := range found {
		err := errors.Join(s.bucket.delete(ctx, "s."+key[len(prefix):], 0), s.bucket.delete(ctx, key, 0))
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Sessions) fresh(name string) *sessions.Session {
	session := sessions.NewSession(s, name)
	session.IsNew = true
	session.Options = &sessions.Options{
		Path: "/", HttpOnly: true, Secure: s.options.Secure, SameSite: http.SameSiteLaxMode,
		MaxAge: int(s.options.Absolute / time.Second),
	}
	// Browsers refuse SameSite=None and Partitioned without Secure; on plain http a framed panel
	// uses the bearer instead.
	if s.options.Panel && s.options.Secure {
		session.Options.SameSite = http.SameSiteNoneMode
		session.Options.Partitioned = true
	}
	return session
}

// create stores a session under a fresh id. The index comes first, so that no session lives that
// DeleteAll does not find.
func (s *Sessions) create(ctx context.Context, w http.ResponseWriter, session *sessions.Session) error {
	id := randomToken("")
	user, _ := session.Values[userValue].(string)
	if err := s.store(ctx, id, session.Name(), user, s.options.Absolute, session.Values); err != nil {
		return err
	}
	session.ID, session.IsNew = id, false
	s.sendCookie(w, session, session.Options.MaxAge)
	return nil
}

// store writes the record of a new session of some kind.
func (s *Sessions) store(ctx context.Context, id, kind, userID string, absolute time.Duration, values map[any]any) error {
	sealed, err := s.sealValues(id, values)
	if err != nil {
		return err
	}
	now := s.options.Now().UTC()
	record := sessionRecord{
		Version: recordVersion, Kind: kind, Realm: s.realm.now, UserID: userID,
		Created: now, Seen: now, Expires: now.Add(absolute), Values: sealed,
	}
	if userID != "" {
		if _, err := s.bucket.create(ctx, "u."+userID+"."+hashed(id), []byte{recordVersion}, absolute); err != nil {
			return err
		}
	}
	_, err = s.bucket.createJSON(ctx, "s."+hashed(id), record, s.life(record))
	return err
}

// load reads a session that is alive, else ErrNotFound.
func (s *Sessions) load(ctx context.Context, kind, id string) (sessionRecord, uint64, error) {
	var record sessionRecord
	revision, err := s.bucket.getJSON(ctx, "s."+hashed(id), &record)
	if err != nil {
		return record, 0, err
	}
	if record.Kind != kind || !s.realm.has(record.Realm) || s.life(record) <= 0 {
		return record, 0, ErrNotFound
	}
	return record, revision, nil
}

// life is how much longer a session lives if nobody comes.
func (s *Sessions) life(record sessionRecord) time.Duration {
	idle := s.options.Idle
	if record.UserID == "" {
		idle = min(idle, anonymousLife)
	}
	end := record.Seen.Add(idle)
	if record.Expires.Before(end) {
		end = record.Expires
	}
	return end.Sub(s.options.Now())
}

// touch sets the idle clock anew. It may lose against another request's touch, or find the store
// read-only: both are no reason to turn somebody away.
func (s *Sessions) touch(ctx context.Context, id string, record sessionRecord, revision uint64) {
	now := s.options.Now().UTC()
	if now.Sub(record.Seen) < sessionTouch {
		return
	}
	record.Seen = now
	_, _ = s.bucket.updateJSON(ctx, "s."+hashed(id), record, revision, s.life(record))
}

func (s *Sessions) end(ctx context.Context, w http.ResponseWriter, session *sessions.Session) error {
	err := s.forget(ctx, session.ID)
	session.ID, session.IsNew = "", true
	clear(session.Values)
	s.sendCookie(w, session, -1)
	return err
}

// forget deletes a session and its index entry.
func (s *Sessions) forget(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	var record sessionRecord
	_, err := s.bucket.getJSON(ctx, "s."+hashed(id), &record)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.bucket.delete(ctx, "s."+hashed(id), 0); err != nil || record.UserID == "" {
		return err
	}
	return s.bucket.delete(ctx, "u."+record.UserID+"."+hashed(id), 0)
}

func (s *Sessions) sendCookie(w http.ResponseWriter, session *sessions.Session, maxAge int) {
	options := *session.Options
	options.MaxAge = maxAge
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, &options))
}

func (s *Sessions) sealValues(id string, values map[any]any) ([]byte, error) {
	var plain bytes.Buffer
	if err := gob.NewEncoder(&plain).Encode(values); err != nil {
		return nil, fmt.Errorf("auth: session values: %w", err)
	}
	if plain.Len() > maxSession {
		return nil, ErrSessionTooLarge
	}
	return s.keyring.Seal(sessionPurpose, hashed(id), plain.Bytes()), nil
}

func (s *Sessions) openValues(id string, record sessionRecord) (map[any]any, error) {
	plain, err := s.keyring.Open(sessionPurpose, hashed(id), record.Values)
	if err != nil {
		return nil, err
	}
	values := map[any]any{}
	return values, gob.NewDecoder(bytes.NewReader(plain)).Decode(&values)
}
