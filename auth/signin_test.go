package auth_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"skylift/auth"
	"skylift/onedrive/fakegraph"
)

// site is a small app made of this package's parts, with the stand-in Microsoft behind it.
type site struct {
	*httptest.Server
	dir       string // of the store
	microsoft *fakegraph.Server
	provider  *auth.Provider
	pendings  *auth.Pendings
	sessions  *auth.Sessions
	tokens    *auth.Tokens
	users     *auth.Users
	devices   *auth.Devices
	secrets   []string // everything that must be found nowhere
}

func newSite(t *testing.T, tenant string) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), microsoft: fakegraph.New(fakegraph.Options{Prefix: "/demo", StrictRefresh: true})}
	login := httptest.NewServer(s.microsoft)
	t.Cleanup(login.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth/login", s.login)
	mux.HandleFunc("GET /auth/callback", s.callback)
	mux.HandleFunc("POST /auth/logout", s.logout)
	mux.HandleFunc("GET /{$}", s.home)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)

	js, k := auth.StartNATS(t, s.dir, 1)[0], auth.TestKeyring(t)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.provider = auth.NewProvider(auth.Config{
		ClientID: "an-app", ClientSecret: "marked-client-secret", Tenant: tenant, LoginURL: login.URL + "/demo",
		RedirectURL: s.URL + "/auth/callback", HTTP: client,
	})
	var errs [5]error
	s.pendings, errs[0] = auth.OpenPendings(t.Context(), js, 1, k, auth.PendingOptions{})
	s.sessions, errs[1] = auth.OpenSessions(t.Context(), js, 1, k, auth.SessionOptions{})
	s.tokens, errs[2] = auth.OpenTokens(t.Context(), js, 1, k, s.provider)
	s.users, errs[3] = auth.OpenUsers(t.Context(), js, 1)
	s.devices, errs[4] = auth.OpenDevices(t.Context(), js, 1, "")
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	address, pending := s.provider.Begin(auth.BeginOptions{
		Return: r.FormValue("return"), Prompt: r.FormValue("prompt"), LoginHint: r.FormValue("login_hint"),
	})
	s.secrets = append(s.secrets, pending.State, pending.Nonce, pending.Verifier)
	if err := s.pendings.Put(w, r, pending); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

func (s *site) callback(w http.ResponseWriter, r *http.Request) {
	s.secrets = append(s.secrets, r.FormValue("code"))
	err := func() error {
		pending, err := s.pendings.Take(w, r, r.URL.Query())
		if err != nil {
			return err
		}
		user, token, err := s.provider.Finish(r.Context(), pending, r.URL.Query())
		if err != nil {
			return err
		}
		s.secrets = append(s.secrets, token.AccessToken, token.RefreshToken, token.Extra("id_token").(string))
		if err := errors.Join(s.users.Put(r.Context(), user), s.tokens.Put(r.Context(), user.ID, token), s.sessions.SignIn(w, r, user)); err != nil {
			return err
		}
		http.Redirect(w, r, pending.Return, http.StatusSeeOther)
		return nil
	}()
	var refused *auth.SignInError
	if errors.As(err, &refused) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, string(refused.Kind)+" "+refused.AADSTS)
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	user, _ := s.sessions.User(r)
	if err := errors.Join(s.sessions.SignOut(w, r), s.tokens.Forget(r.Context(), user.ID)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *site) home(w http.ResponseWriter, r *http.Request) {
	user, _ := s.sessions.User(r)
	json.NewEncoder(w).Encode(user)
}

// person is somebody with a browser.
type person struct {
	*http.Client
	t *testing.T
}

func newPerson(t *testing.T) person {
	jar, _ := cookiejar.New(nil)
	return person{&http.Client{Jar: jar, Timeout: time.Minute}, t}
}

// see loads an address and returns where it ended, the status and the page.
func (p person) see(address string) (*url.URL, int, string) {
	p.t.Helper()
	response, err := p.Get(address)
	return p.read(response, err)
}

func (p person) read(response *http.Response, err error) (*url.URL, int, string) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.Request.URL, response.StatusCode, string(body)
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	entities   = strings.NewReplacer("&amp;", "&", "&#43;", "+", "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">")
)

// press submits the form of a page of the stand-in's by one of its buttons.
func (p person) press(at *url.URL, page, name, value string) (*url.URL, int, string) {
	p.t.Helper()
	action := formAction.FindStringSubmatch(page)
	if action == nil {
		p.t.Fatalf("no form on %s:\n%s", at.Path, page)
	}
	form := url.Values{name: {value}}
	for _, field := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(entities.Replace(field[1]), entities.Replace(field[2]))
	}
	target, err := at.Parse(entities.Replace(action[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.PostForm(target.String(), form)
	return p.read(response, err)
}

// signIn goes the silent way of somebody who is signed in at Microsoft.
func (p person) signIn(s *site, login string) auth.User {
	p.t.Helper()
	at, status, page := p.see(s.URL + "/auth/login?prompt=none&login_hint=" + url.QueryEscape(login))
	if status != http.StatusOK || at.Path != "/" {
		p.t.Fatalf("%s: %d at %s: %s", login, status, at.Path, page)
	}
	return p.whoAmI(s)
}

func (p person) whoAmI(s *site) (user auth.User) {
	p.t.Helper()
	_, _, page := p.see(s.URL + "/")
	if err := json.Unmarshal([]byte(page), &user); err != nil {
		p.t.Fatal(err)
	}
	return user
}

func TestSignInAtTheStandIn(t *testing.T) {
	for _, row := range []struct {
		tenant, login string
		personal      bool
	}{
		{"common", "robin@demo.example", true}, {"common", "alex@work.example", false},
		{"consumers", "kim@demo.example", true}, {"organizations", "alex@work.example", false},
		{"work.example", "alex@work.example", false},
	} {
		t.Run(row.login+" by "+row.tenant, func(t *testing.T) {
			s, p := newSite(t, row.tenant), newPerson(t)
			at, _, page := p.see(s.URL + "/auth/login?return=/%3Ffrom=test")
			at, _, page = p.press(at, page, "login", row.login)
			if strings.Contains(page, `name="consent"`) {
				at, _, page = p.press(at, page, "consent", "accept")
			}
			if at.Host != strings.TrimPrefix(s.URL, "http://") || at.RequestURI() != "/?from=test" {
				t.Fatalf("ended at %s: %s", at, page)
			}
			user := p.whoAmI(s)
			if user.Username != row.login || user.Personal() != row.personal || user.Name == "" || user.ID != auth.UserID(user.TenantID, user.ObjectID) {
				t.Errorf("got %+v", user)
			}
			if stored, err := s.users.Get(t.Context(), user.ID); err != nil || stored != user {
				t.Errorf("stored %+v, %v", stored, err)
			}
			if access, err := s.tokens.Access(t.Context(), user.ID, ""); err != nil || access == "" {
				t.Errorf("no access token: %v", err)
			}
		})
	}
}

func TestRefreshRevokeAndReturn(t *testing.T) {
	s, p := newSite(t, "common"), newPerson(t)
	user := p.signIn(s, "robin@demo.example")
	access := func(stale string) (string, error) { return s.tokens.Access(t.Context(), user.ID, stale) }
	first, err := access("")
	if err != nil {
		t.Fatal(err)
	}
	stale := first
	for range 5 { // strict: each refresh token works once, so a lost one would show
		fresh, err := access(stale)
		if err != nil || fresh == stale {
			t.Fatalf("refresh: %v", err)
		}
		stale = fresh
	}
	if counts := s.microsoft.Counts(); counts["refresh"] != 5 || counts["refreshReused"] != 0 {
		t.Errorf("counts %v", counts)
	}
	s.microsoft.RevokeGrants("robin@demo.example")
	if _, err := access(stale); !errors.Is(err, auth.ErrSignInRequired) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := access(""); !errors.Is(err, auth.ErrSignInRequired) {
		t.Errorf("revoked tokens are still used: %v", err)
	}
	p.signIn(s, "robin@demo.example")
	if _, err := access(stale); err != nil {
		t.Errorf("after signing in again: %v", err)
	}
	response, err := p.Post(s.URL+"/auth/logout", "", nil)
	if _, status, page := p.read(response, err); status != http.StatusOK {
		t.Fatal(page)
	}
	if _, err := access(""); !errors.Is(err, auth.ErrSignInRequired) || p.whoAmI(s) != (auth.User{}) {
		t.Errorf("signed out: %v", err)
	}
}

func TestRefusalsOfTheStandIn(t *testing.T) {
	s, p := newSite(t, "common"), newPerson(t)
	at, _, page := p.see(s.URL + "/auth/login")
	if _, status, page := p.press(at, page, "cancel", "1"); status != http.StatusForbidden || !strings.HasPrefix(page, string(auth.Declined)) {
		t.Errorf("cancel: %d %s", status, page)
	}
	at, _, page = p.see(s.URL + "/auth/login?prompt=consent")
	if at, _, page = p.press(at, page, "login", "robin@demo.example"); !strings.Contains(page, `name="consent"`) {
		t.Fatalf("no consent page at %s", at)
	}
	if _, status, page := p.press(at, page, "consent", "decline"); status != http.StatusForbidden || page != string(auth.Declined)+" 65004" {
		t.Errorf("decline: %d %s", status, page)
	}
	if _, _, page := p.see(s.URL + "/auth/login?prompt=none&login_hint=nobody@demo.example"); page != string(auth.InteractionNeeded)+" 50058" {
		t.Errorf("nobody signed in: %s", page)
	}
	if user := p.whoAmI(s); user != (auth.User{}) {
		t.Errorf("signed in as %+v", user)
	}
	_, _, page = p.see(newSite(t, "consumers").URL + "/auth/login?prompt=none&login_hint=alex@work.example")
	if !strings.HasPrefix(page, string(auth.WrongAccountType)) && !strings.HasPrefix(page, string(auth.InteractionNeeded)) {
		t.Errorf("a work account at consumers: %s", page)
	}
}

func TestReplayedAndForeignCallbacks(t *testing.T) {
	s, p := newSite(t, "common"), newPerson(t)
	var callback string
	p.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/auth/callback" {
			callback = r.URL.String()
		}
		return nil
	}
	p.signIn(s, "robin@demo.example")
	if _, _, page := p.see(callback); page != string(auth.Replayed)+" " {
		t.Errorf("a reload: %s", page)
	}
	if user := p.whoAmI(s); user.Username != "robin@demo.example" {
		t.Errorf("the reload signed out: %+v", user)
	}
	victim := newPerson(t)
	callback = ""
	attacker := newPerson(t)
	attacker.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/auth/callback" {
			callback = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	attacker.see(s.URL + "/auth/login?prompt=none&login_hint=kim@demo.example")
	if _, _, page := victim.see(callback); page != string(auth.WrongState)+" " {
		t.Errorf("the attacker's answer in another browser: %s", page)
	}
	if user := victim.whoAmI(s); user != (auth.User{}) {
		t.Errorf("the victim is %+v", user)
	}
}

func TestKeysOfTheStandInRotate(t *testing.T) {
	s := newSite(t, "common")
	newPerson(t).signIn(s, "robin@demo.example")
	newPerson(t).signIn(s, "alex@work.example")
	for range 2 {
		s.microsoft.RotateKeys()
		newPerson(t).signIn(s, "robin@demo.example")
	}
	if got := s.microsoft.Counts()["metadata"]; got != 3 {
		t.Errorf("metadata fetched %d times for three sets of keys", got)
	}
}

// TestStoreShowsNoSecret uses everything, and then looks for every secret in every file.
func TestStoreShowsNoSecret(t *testing.T) {
	s, p := newSite(t, "common"), newPerson(t)
	user := p.signIn(s, "robin@demo.example")
	access, err := s.tokens.Access(t.Context(), user.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := s.tokens.Access(t.Context(), user.ID, access)
	if err != nil {
		t.Fatal(err)
	}
	verifier := oauth2.GenerateVerifier()
	code, err := s.devices.IssueCode(t.Context(), user.ID, "Firefox", oauth2.S256ChallengeFromVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := s.devices.Redeem(t.Context(), code, verifier)
	if err != nil {
		t.Fatal(err)
	}
	bearer, _, err := s.sessions.IssueBearer(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	site, _ := url.Parse(s.URL)
	s.secrets = append(s.secrets, fresh, verifier, code, key, bearer, "marked-client-secret")
	for _, cookie := range p.Jar.Cookies(site) {
		s.secrets = append(s.secrets, cookie.Value)
	}
	if len(s.secrets) < 13 {
		t.Fatalf("only %d secrets were seen", len(s.secrets))
	}
	found, size := 0, 0
	err = filepath.WalkDir(s.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		size += len(content)
		for i, secret := range s.secrets {
			if secret != "" && strings.Contains(string(content), secret) {
				t.Errorf("secret %d is in %s", i, filepath.Base(name))
			}
		}
		found += strings.Count(string(content), user.ID)
		return err
	})
	if err != nil || found == 0 || size == 0 {
		t.Errorf("the search found nothing at all in %d bytes: %v", size, err)
	}
}
