package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/sessions"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

var _ sessions.Store = (*Sessions)(nil)

func openSessions(t testing.TB, js jetstream.JetStream, o SessionOptions) *Sessions {
	t.Helper()
	s, err := OpenSessions(t.Context(), js, 1, testKeyring(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *browser) signIn(t testing.TB, s *Sessions, user User) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := s.SignIn(w, b.request("/auth/callback"), user); err != nil {
		t.Fatal(err)
	}
	b.take(w)
}

func (b *browser) user(s *Sessions) (User, bool) { return s.User(b.request("/")) }

func TestSignInAndOut(t *testing.T) {
	js := oneNATS(t)
	s := openSessions(t, js, SessionOptions{Secure: true})
	var b browser
	if _, ok := b.user(s); ok {
		t.Fatal("somebody is signed in already")
	}
	b.signIn(t, s, robin)
	if user, ok := b.user(s); !ok || user != robin {
		t.Fatalf("got %+v, %v", user, ok)
	}
	cookie := b.cookies[0]
	if cookie.Name != "__Host-skylift" || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Partitioned || cookie.MaxAge != 30*24*3600 {
		t.Errorf("cookie %v", cookie)
	}
	if !validToken("", cookie.Value) {
		t.Errorf("the cookie holds more than a random id: %q", cookie.Value)
	}
	stolen := browser{b.cookies}
	w := httptest.NewRecorder()
	if err := s.SignOut(w, b.request("/auth/logout")); err != nil {
		t.Fatal(err)
	}
	b.take(w)
	if len(b.cookies) != 0 {
		t.Error("the cookie stays")
	}
	if _, ok := stolen.user(s); ok {
		t.Error("the session lives on the server after sign-out")
	}
	if keys, _ := s.bucket.list(t.Context(), ">"); len(keys) != 0 {
		t.Errorf("left in the store: %d", len(keys))
	}
}

func TestCookiesOfEachKind(t *testing.T) {
	js := oneNATS(t)
	for _, row := range []struct {
		name    string
		options SessionOptions
		cookie  string
		same    http.SameSite
		apart   bool
	}{
		{"page on http", SessionOptions{}, "skylift", http.SameSiteLaxMode, false},
		{"page on https", SessionOptions{Secure: true}, "__Host-skylift", http.SameSiteLaxMode, false},
		{"panel on http", SessionOptions{Panel: true}, "skylift-panel", http.SameSiteLaxMode, false},
		{"panel on https", SessionOptions{Panel: true, Secure: true}, "__Host-skylift-panel", http.SameSiteNoneMode, true},
	} {
		var b browser
		b.signIn(t, openSessions(t, js, row.options), robin)
		got := b.cookies[0]
		if got.Name != row.cookie || got.SameSite != row.same || got.Partitioned != row.apart || got.Secure != row.options.Secure {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestSessionFixation(t *testing.T) {
	s := openSessions(t, oneNATS(t), SessionOptions{})
	var attacker browser
	attacker.signIn(t, s, alex)
	victim := browser{attacker.cookies} // planted
	victim.signIn(t, s, robin)
	if victim.cookies[0].Value == attacker.cookies[0].Value {
		t.Error("the planted id is used on")
	}
	if user, ok := attacker.user(s); ok {
		t.Errorf("the planted id is still %+v", user)
	}
	planted := browser{[]*http.Cookie{{Name: s.Name(), Value: randomToken("")}}}
	before := planted.cookies[0].Value
	planted.signIn(t, s, robin)
	if planted.cookies[0].Value == before {
		t.Error("an id that the client chose is used")
	}
}

func TestBrokenCookiesGiveAFreshSession(t *testing.T) {
	js := oneNATS(t)
	s := openSessions(t, js, SessionOptions{})
	var b browser
	b.signIn(t, s, robin)
	good := b.cookies[0].Value
	panel, err := OpenSessions(t.Context(), js, 1, s.keyring, SessionOptions{Panel: true})
	if err != nil {
		t.Fatal(err)
	}
	otherKeys := openSessions(t, js, SessionOptions{})
	for name, value := range map[string]string{
		"empty": "", "short": good[1:], "long": good + "A", "another": randomToken(""), "a wildcard": ">", "dots": "..", "huge": strings.Repeat("A", 4000),
	} {
		r := (&browser{[]*http.Cookie{{Name: s.Name(), Value: value}}}).request("/")
		session, err := s.Get(r, s.Name())
		if err != nil || session == nil || !session.IsNew || len(session.Values) != 0 {
			t.Errorf("%s: %+v, %v", name, session, err)
		}
	}
	if _, ok := panel.User((&browser{[]*http.Cookie{{Name: panel.Name(), Value: good}}}).request("/")); ok {
		t.Error("a page's id opens the panel")
	}
	if session, err := otherKeys.Get(b.request("/"), s.Name()); err != nil || !session.IsNew {
		t.Errorf("values sealed by a lost key: %v", err)
	}
}

func TestSessionTimes(t *testing.T) {
	c := newClock()
	s := openSessions(t, oneNATS(t), SessionOptions{Now: c.Now})
	day := 24 * time.Hour
	t.Run("idle for a week ends it", func(t *testing.T) {
		var b browser
		b.signIn(t, s, robin)
		c.Advance(7*day - time.Minute)
		if _, ok := b.user(s); !ok {
			t.Error("ended early")
		}
		c.Advance(7*day - time.Minute)
		if _, ok := b.user(s); !ok {
			t.Error("the visit did not set the clock anew")
		}
		c.Advance(7*day + time.Minute)
		if _, ok := b.user(s); ok {
			t.Error("lives on")
		}
	})
	t.Run("thirty days end it however busy", func(t *testing.T) {
		var b browser
		b.signIn(t, s, robin)
		for d := range 29 {
			c.Advance(day)
			if _, ok := b.user(s); !ok {
				t.Fatalf("ended on day %d", d)
			}
		}
		c.Advance(day + time.Minute)
		if _, ok := b.user(s); ok {
			t.Error("lives on")
		}
	})
	t.Run("many visits within minutes write once, and the time to live stays", func(t *testing.T) {
		var b browser
		b.signIn(t, s, robin)
		key := "s." + hashed(b.cookies[0].Value)
		c.Advance(sessionTouch)
		b.user(s)
		_, before, _ := s.bucket.get(t.Context(), key)
		for range 50 {
			b.user(s)
		}
		if _, after, _ := s.bucket.get(t.Context(), key); after != before {
			t.Errorf("wrote %d times", after-before)
		}
		if ttl := timeToLive(t, s.bucket, key); ttl < 6*day || ttl > 7*day+time.Minute {
			t.Errorf("time to live is %v", ttl)
		}
	})
}

// timeToLive reads the header that JetStream goes by.
func timeToLive(t *testing.T, b *bucket, key string) time.Duration {
	t.Helper()
	stream, err := b.js.Stream(t.Context(), "KV_"+b.name)
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.GetLastMsgForSubject(t.Context(), "$KV."+b.name+"."+key)
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := time.ParseDuration(message.Header.Get("Nats-TTL"))
	if err != nil {
		t.Fatalf("header %v: %v", message.Header, err)
	}
	return ttl
}

func TestStoreForgetsByItself(t *testing.T) {
	s := openSessions(t, oneNATS(t), SessionOptions{Idle: time.Second, Absolute: 2 * time.Second})
	var b browser
	b.signIn(t, s, robin)
	deadline := time.Now().Add(20 * time.Second)
	for {
		stream, err := s.bucket.js.Stream(t.Context(), "KV_sessions")
		if err != nil {
			t.Fatal(err)
		}
		info, err := stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d records stay", info.State.Msgs)
		}
		wait(t.Context(), 50*time.Millisecond)
	}
}

func TestSignOutEverywhere(t *testing.T) {
	js := oneNATS(t)
	k := testKeyring(t)
	page, err := OpenSessions(t.Context(), js, 1, k, SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	panel, err := OpenSessions(t.Context(), js, 1, k, SessionOptions{Panel: true})
	if err != nil {
		t.Fatal(err)
	}
	var laptop, phone, framed, other browser
	laptop.signIn(t, page, robin)
	phone.signIn(t, page, robin)
	framed.signIn(t, panel, robin)
	other.signIn(t, page, alex)
	bearer, _, err := panel.IssueBearer(t.Context(), robin)
	if err != nil {
		t.Fatal(err)
	}
	if err := page.DeleteAll(t.Context(), robin.ID); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*browser{"laptop": &laptop, "phone": &phone} {
		if _, ok := b.user(page); ok {
			t.Errorf("%s is still signed in", name)
		}
	}
	if _, ok := framed.user(panel); ok {
		t.Error("the panel is still signed in")
	}
	if _, err := panel.Bearer(t.Context(), bearer); !errors.Is(err, ErrBadBearer) {
		t.Errorf("the bearer still works: %v", err)
	}
	if _, ok := other.user(page); !ok {
		t.Error("another user was signed out")
	}
}

func TestSaveKeepsValuesAndNeverRevives(t *testing.T) {
	s := openSessions(t, oneNATS(t), SessionOptions{})
	var b browser
	b.signIn(t, s, robin)
	r, w := b.request("/"), httptest.NewRecorder()
	session, _ := s.Get(r, s.Name())
	session.AddFlash("Saved")
	if err := session.Save(r, w); err != nil {
		t.Fatal(err)
	}
	if len(w.Result().Cookies()) != 0 {
		t.Error("an id that stays is sent again")
	}
	r = b.request("/")
	session, _ = s.Get(r, s.Name())
	if flashes := session.Flashes(); len(flashes) != 1 || flashes[0] != "Saved" {
		t.Errorf("flashes %v", flashes)
	}
	if err := s.DeleteAll(t.Context(), robin.ID); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	if err := session.Save(r, w); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.user(s); ok {
		t.Error("saving brought an ended session back")
	}
	session.Values["big"] = strings.Repeat("x", maxSession)
	session.ID = ""
	if err := session.Save(r, httptest.NewRecorder()); !errors.Is(err, ErrSessionTooLarge) {
		t.Errorf("a huge session: %v", err)
	}
}

func TestSignInForgetsWhatTheVisitorHad(t *testing.T) {
	s := openSessions(t, oneNATS(t), SessionOptions{})
	var b browser
	b.signIn(t, s, alex)
	r, w := b.request("/"), httptest.NewRecorder()
	session, _ := s.Get(r, s.Name())
	session.Values["folder"] = "alex's"
	if err := session.Save(r, w); err != nil {
		t.Fatal(err)
	}
	b.signIn(t, s, robin)
	session, _ = s.Get(b.request("/"), s.Name())
	if _, ok := session.Values["folder"]; ok {
		t.Error("robin sees what alex had")
	}
}

func TestStoreAwayIsNotSignedOut(t *testing.T) {
	s := openSessions(t, oneNATS(t), SessionOptions{})
	var b browser
	b.signIn(t, s, robin)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, ok, err := s.Lookup(b.request("/").WithContext(ctx))
	if ok || err == nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestPanelBearer(t *testing.T) {
	c := newClock()
	s := openSessions(t, oneNATS(t), SessionOptions{Panel: true, Now: c.Now})
	bearer, expires, err := s.IssueBearer(t.Context(), robin)
	if err != nil || !expires.Equal(c.Now().Add(BearerLife)) {
		t.Fatalf("expires %v, %v", expires, err)
	}
	if user, err := s.Bearer(t.Context(), bearer); err != nil || user != robin {
		t.Fatalf("got %+v, %v", user, err)
	}
	if _, ok := s.User((&browser{[]*http.Cookie{{Name: s.Name(), Value: bearer}}}).request("/")); ok {
		t.Error("a bearer works as a cookie")
	}
	var b browser
	b.signIn(t, s, robin)
	if _, err := s.Bearer(t.Context(), b.cookies[0].Value); !errors.Is(err, ErrBadBearer) {
		t.Errorf("a cookie works as a bearer: %v", err)
	}
	c.Advance(10 * time.Minute)
	next, _, err := s.RenewBearer(t.Context(), bearer)
	if err != nil || next == bearer {
		t.Fatal(err)
	}
	if _, err := s.Bearer(t.Context(), bearer); !errors.Is(err, ErrBadBearer) {
		t.Errorf("the old one: %v", err)
	}
	if _, _, err := s.RenewBearer(t.Context(), bearer); !errors.Is(err, ErrBadBearer) {
		t.Errorf("the old one renewed: %v", err)
	}
	c.Advance(BearerLife + time.Second)
	if _, err := s.Bearer(t.Context(), next); !errors.Is(err, ErrBadBearer) {
		t.Errorf("after 15 minutes: %v", err)
	}
	bearer, _, _ = s.IssueBearer(t.Context(), robin)
	start, renewals := c.Now(), 0
	for err == nil {
		c.Advance(BearerLife - time.Minute)
		bearer, _, err = s.RenewBearer(t.Context(), bearer)
		renewals++
	}
	if life := c.Now().Sub(start); life < 7*time.Hour || life > 9*time.Hour {
		t.Errorf("a chain of %d renewals lasts %v", renewals, life)
	}
	for _, junk := range []string{"", "skp_", ">", "skl_" + bearer} {
		if _, err := s.Bearer(t.Context(), junk); !errors.Is(err, ErrBadBearer) {
			t.Errorf("%q: %v", junk, err)
		}
	}
}

// TestSessionLife runs random steps of two browsers against a model: who is signed in where.
func TestSessionLife(t *testing.T) {
	c := newClock()
	s := openSessions(t, oneNATS(t), SessionOptions{Now: c.Now})
	rapid.Check(t, func(rt *rapid.T) {
		browsers := []*browser{{}, {}}
		model := []*User{nil, nil}
		clear := func() {
			for _, user := range []User{robin, alex} {
				if err := s.DeleteAll(t.Context(), user.ID); err != nil {
					rt.Fatal(err)
				}
			}
		}
		clear()
		pick := func() int { return rapid.IntRange(0, 1).Draw(rt, "browser") }
		rt.Repeat(map[string]func(*rapid.T){
			"sign in": func(rt *rapid.T) {
				i, user := pick(), rapid.SampledFrom([]User{robin, alex}).Draw(rt, "user")
				browsers[i].signIn(t, s, user)
				model[i] = &user
			},
			"sign out": func(rt *rapid.T) {
				i, w := pick(), httptest.NewRecorder()
				if err := s.SignOut(w, browsers[i].request("/")); err != nil {
					rt.Fatal(err)
				}
				browsers[i].take(w)
				model[i] = nil
			},
			"sign out everywhere": func(rt *rapid.T) {
				user := rapid.SampledFrom([]User{robin, alex}).Draw(rt, "user")
				if err := s.DeleteAll(t.Context(), user.ID); err != nil {
					rt.Fatal(err)
				}
				for i := range model {
					if model[i] != nil && model[i].ID == user.ID {
						model[i] = nil
					}
				}
			},
			"": func(rt *rapid.T) {
				for i, b := range browsers {
					got, ok := b.user(s)
					if ok != (model[i] != nil) || ok && got != *model[i] {
						rt.Fatalf("browser %d is %+v, %v; want %+v", i, got, ok, model[i])
					}
				}
			},
		})
	})
}
