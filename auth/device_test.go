package auth

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

func openDevices(t *testing.T) (*Devices, *clock) {
	t.Helper()
	d, err := OpenDevices(t.Context(), oneNATS(t), 1, "")
	if err != nil {
		t.Fatal(err)
	}
	c := newClock()
	d.Now = c.Now
	return d, c
}

// A registration's sessions and keys are its own. Those that tell nothing are of the first start that
// knew of registrations.
func TestEachRealmLetsInItsOwn(t *testing.T) {
	js, k := oneNATS(t), testKeyring(t)
	open := func(realm string) (*Sessions, *Devices) {
		t.Helper()
		s, err := OpenSessions(t.Context(), js, 1, k, SessionOptions{Realm: realm})
		if err != nil {
			t.Fatal(err)
		}
		d, err := OpenDevices(t.Context(), js, 1, realm)
		if err != nil {
			t.Fatal(err)
		}
		return s, d
	}
	var in [3]browser
	var keys [3]string
	realms := []string{"", "common", "one tenant"}
	for i, realm := range realms {
		sessions, devices := open(realm)
		in[i].signIn(t, sessions, robin)
		var err error
		if keys[i], _, err = devices.Make(t.Context(), robin.ID, realm); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		realm string
		want  [3]bool
	}{
		{"common", [3]bool{true, true, false}},
		{"one tenant", [3]bool{false, false, true}},
		{"another", [3]bool{}},
	} {
		sessions, devices := open(c.realm)
		for j, want := range c.want {
			_, ok := in[j].user(sessions)
			_, err := devices.Authenticate(t.Context(), keys[j])
			if ok != want || (err == nil) != want {
				t.Errorf("%d: in %q the session of %q is good: %v, the key: %v; want %v", i, c.realm, realms[j], ok, err, want)
			}
		}
	}
}

func TestDeviceFromCodeToRevocation(t *testing.T) {
	d, clock := openDevices(t)
	verifier := oauth2.GenerateVerifier()
	code, err := d.IssueCode(t.Context(), robin.ID, "  Firefox on\nlaptop\x00 ", oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	key, device, err := d.Redeem(t.Context(), code, verifier)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key, "skl_") || len(key) != 47 || device.Name != "Firefox on laptop" || device.UserID != robin.ID {
		t.Errorf("got key of %d characters and %+v", len(key), device)
	}
	clock.Advance(time.Hour)
	got, err := d.Authenticate(t.Context(), key)
	if err != nil || got.ID != device.ID || !got.LastUsed.Equal(clock.Now()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if devices, err := d.List(t.Context(), robin.ID); err != nil || len(devices) != 1 || !devices[0].LastUsed.Equal(clock.Now()) {
		t.Errorf("list: %+v, %v", devices, err)
	}
	if devices, err := d.List(t.Context(), alex.ID); err != nil || len(devices) != 0 {
		t.Errorf("another user's list: %+v, %v", devices, err)
	}
	if err := d.Revoke(t.Context(), alex.ID, device.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked by somebody else: %v", err)
	}
	if err := d.Revoke(t.Context(), robin.ID, device.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(t.Context(), key); !errors.Is(err, ErrBadKey) {
		t.Errorf("revoked key: %v", err)
	}
	if devices, _ := d.List(t.Context(), robin.ID); len(devices) != 0 {
		t.Errorf("revoked device is listed: %+v", devices)
	}
}

func TestDeviceKeyEnds(t *testing.T) {
	d, clock := openDevices(t)
	key, _, err := d.Make(t.Context(), robin.ID, "script")
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(DeviceLife - time.Minute)
	if _, err := d.Authenticate(t.Context(), key); err != nil {
		t.Errorf("a minute before the end: %v", err)
	}
	clock.Advance(2 * time.Minute)
	if _, err := d.Authenticate(t.Context(), key); !errors.Is(err, ErrBadKey) {
		t.Errorf("after the end: %v", err)
	}
}

func TestLastUseIsWrittenRarely(t *testing.T) {
	d, clock := openDevices(t)
	key, _, err := d.Make(t.Context(), robin.ID, "script")
	if err != nil {
		t.Fatal(err)
	}
	first, _ := d.Authenticate(t.Context(), key)
	_, before, _ := d.bucket.get(t.Context(), "k."+hashed(key))
	clock.Advance(time.Minute)
	for range 50 {
		if again, err := d.Authenticate(t.Context(), key); err != nil || !again.LastUsed.Equal(first.LastUsed) {
			t.Fatalf("%+v, %v", again, err)
		}
	}
	if _, after, _ := d.bucket.get(t.Context(), "k."+hashed(key)); after != before {
		t.Errorf("50 calls within minutes wrote %d times", after-before)
	}
}

func TestDeviceNumberIsBounded(t *testing.T) {
	d, _ := openDevices(t)
	for range maxDevices {
		if _, _, err := d.Make(t.Context(), robin.ID, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := d.Make(t.Context(), robin.ID, "x"); !errors.Is(err, ErrTooManyDevices) {
		t.Errorf("got %v", err)
	}
	if err := d.RevokeAll(t.Context(), robin.ID); err != nil {
		t.Fatal(err)
	}
	if devices, _ := d.List(t.Context(), robin.ID); len(devices) != 0 {
		t.Errorf("%d devices left", len(devices))
	}
}

func TestCodeRefusals(t *testing.T) {
	d, clock := openDevices(t)
	verifier, other := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	code, err := d.IssueCode(t.Context(), robin.ID, "x", oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]string{
		"another verifier":           {code, other},
		"no verifier":                {code, ""},
		"the challenge as verifier":  {code, oauth2.S256ChallengeFromVerifier(verifier)},
		"a verifier with odd signs":  {code, verifier[:42] + "\n"},
		"another code":               {randomToken(""), verifier},
		"no code":                    {"", verifier},
		"a code that is a wildcard":  {"*", verifier},
		"a code with something more": {code + "A", verifier},
	} {
		if _, _, err := d.Redeem(t.Context(), pair[0], pair[1]); !errors.Is(err, ErrBadCode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	clock.Advance(CodeLife + time.Second)
	if _, _, err := d.Redeem(t.Context(), code, verifier); !errors.Is(err, ErrBadCode) {
		t.Errorf("after 61 s: %v", err)
	}
	for _, challenge := range []string{"", "short", strings.Repeat("A", 44), strings.Repeat("=", 43)} {
		if _, err := d.IssueCode(t.Context(), robin.ID, "x", challenge); !errors.Is(err, ErrBadChallenge) {
			t.Errorf("challenge %q: %v", challenge, err)
		}
	}
}

func TestCodeOfOnePurposeIsGoodForNoOther(t *testing.T) {
	js := oneNATS(t)
	d, err := OpenDevices(t.Context(), js, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	h, err := OpenHandoffs(t.Context(), js, 1)
	if err != nil {
		t.Fatal(err)
	}
	verifier := oauth2.GenerateVerifier()
	code, err := h.Issue(t.Context(), robin, oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Redeem(t.Context(), code, verifier); !errors.Is(err, ErrBadCode) {
		t.Errorf("handoff code as device code: %v", err)
	}
	if user, err := h.Redeem(t.Context(), code, verifier); err != nil || user != robin {
		t.Errorf("got %+v, %v", user, err)
	}
}

func TestOneOfHundredRedemptionsWins(t *testing.T) {
	handles := startNATS(t, t.TempDir(), 3)
	var stores []*Devices
	for _, js := range handles {
		d, err := OpenDevices(t.Context(), js, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, d)
	}
	verifier := oauth2.GenerateVerifier()
	code, err := stores[0].IssueCode(t.Context(), robin.ID, "x", oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range 100 {
		all.Go(func() {
			<-start
			_, _, err := stores[i%3].Redeem(t.Context(), code, verifier)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrBadCode):
				t.Errorf("got %v", err)
			}
		})
	}
	close(start)
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 100 won", won.Load())
	}
	if devices, _ := stores[0].List(t.Context(), robin.ID); len(devices) != 1 {
		t.Errorf("%d devices", len(devices))
	}
}
