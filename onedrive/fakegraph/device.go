package fakegraph

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// deviceLife is how long a device code waits for its person.
const deviceLife = 15 * time.Minute

// device is a device code. All but the first line is guarded by login.mu.
type device struct {
	word     string // user code
	client   string
	tenant   tenant
	scopes   scopes
	account  *Account // who approved; nil until then
	declined bool
	used     bool
}

// deviceCode serves /{tenant}/oauth2/v2.0/devicecode.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
func (s *Server) deviceCode(w http.ResponseWriter, r *http.Request) {
	if crossOrigin(w, r) {
		return
	}
	t, client, asked, e := s.readDeviceRequest(w, r)
	if e != nil {
		s.refuse(w, r, e)
		return
	}
	d := &device{word: newUserCode(), client: client, tenant: t, scopes: asked}
	value, expires := newSecret("demo-device-", 150), s.now().Add(deviceLife)
	s.login.mu.Lock()
	s.login.devices.put(digest(value), d, expires)
	s.login.words.put(d.word, d, expires)
	s.login.mu.Unlock()
	page := s.base(r) + "/common/oauth2/deviceauth"
	w.Header().Set("Cache-Control", "no-store, no-cache")
	writeJSON(w, http.StatusOK, map[string]any{
		"user_code": d.word, "device_code": value, "verification_uri": page,
		"expires_in": int(deviceLife / time.Second), "interval": 5,
		"message": fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", page, d.word),
	})
}

// readDeviceRequest checks a device code request; a device needs no secret.
func (s *Server) readDeviceRequest(w http.ResponseWriter, r *http.Request) (t tenant, client string, asked scopes, e *stsError) {
	if r.Method != http.MethodPost {
		return t, "", asked, sts(900561, r.Method)
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return t, "", asked, sts(9002313)
	}
	if t, e = s.tenantOf(r.PathValue("tenant")); e != nil {
		return t, "", asked, e
	}
	if client = r.PostForm.Get("client_id"); client == "" {
		return t, "", asked, sts(900144, "client_id")
	}
	app, e := s.app(client)
	if e != nil {
		return t, "", asked, e
	}
	if e = app.checkAudience(t); e != nil {
		return t, "", asked, e
	}
	asked, e = parseScopes(r, r.PostForm.Get("scope"), client)
	return t, client, asked, e
}

// newUserCode makes a code of nine letters and digits that are hard to mistake.
func newUserCode() string {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	b := make([]byte, 9)
	rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b)
}

// redeemDevice is the device code grant: polled until the person has decided.
func (s *Server) redeemDevice(r *http.Request, t tenant, who credentials) (*grant, scopes, *stsError) {
	value := r.PostForm.Get("device_code")
	if value == "" {
		value = r.PostForm.Get("code") // the name in older libraries
	}
	if value == "" {
		return nil, scopes{}, sts(900144, "device_code")
	}
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	d, expired, ok := s.login.devices.get(digest(value), s.now())
	switch {
	case !ok || d.client != who.client:
		return nil, scopes{}, sts(70018)
	case d.used:
		return nil, scopes{}, sts(54005)
	case d.declined:
		return nil, scopes{}, &stsError{oauth: "authorization_declined", status: http.StatusBadRequest, number: 70017, text: "The end user has denied the authorization request."}
	case expired:
		return nil, scopes{}, sts(70019)
	case d.account == nil:
		return nil, scopes{}, sts(70016)
	}
	g := &grant{account: d.account, client: d.client, scopes: d.account.gives(d.scopes), tenant: d.tenant, started: s.now(), confidential: who.confidential}
	if e := t.admits(g.account, g.client); e != nil {
		e.oauth = "invalid_grant"
		return nil, scopes{}, e
	}
	d.used = true
	return g, g.scopes, nil
}

// devicePage serves the page where a person enters the code of a device.
func (s *Server) devicePage(w http.ResponseWriter, r *http.Request) {
	if word := r.URL.Query().Get("otc"); word != "" && s.device(word) != nil {
		s.deviceAccounts(w, r, s.device(word), pageNote{})
		return
	}
	s.codePage(w, r, "", "")
}

// device finds a waiting device by its user code, which people may type in any way.
func (s *Server) device(word string) *device {
	word = strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(word))
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	d, expired, ok := s.login.words.get(word, s.now())
	if !ok || expired || d.declined || d.account != nil {
		return nil
	}
	return d
}

// deviceChoose serves what a person pressed on the pages of a device.
func (s *Server) deviceChoose(w http.ResponseWriter, r *http.Request) {
	if !s.ownForm(w, r) {
		return
	}
	word, login := r.PostForm.Get("otc"), strings.TrimSpace(r.PostForm.Get("login"))
	d, a := s.device(word), s.account(login)
	switch {
	case d == nil:
		s.codePage(w, r, clip(word, 20), "That code didn't work. Check the code and try again.")
	case r.PostForm.Has("cancel"), r.PostForm.Get("consent") == "decline":
		s.decideDevice(d, nil)
		s.messagePage(w, r, http.StatusOK, "You declined", "Nothing was connected. You can close this window.")
	case login == "" && !r.PostForm.Has("other"):
		s.deviceAccounts(w, r, d, pageNote{})
	case r.PostForm.Has("other"):
		s.deviceAccounts(w, r, d, pageNote{other: true})
	case a == nil:
		s.deviceAccounts(w, r, d, pageNote{other: true, typed: login, e: sts(50034, clip(login, 80))})
	case d.tenant.admits(a, d.client) != nil:
		s.deviceAccounts(w, r, d, pageNote{e: d.tenant.admits(a, d.client)})
	default:
		s.deviceConsent(w, r, d, a)
	}
}

// deviceConsent asks for consent if need be and then lets the device in.
func (s *Server) deviceConsent(w http.ResponseWriter, r *http.Request, d *device, a *Account) {
	state := s.consentState(a, d.client, d.scopes)
	if state == consentAsk && r.PostForm.Get("consent") == "accept" {
		s.remember(a, d.client, d.scopes)
		state = consentGiven
	}
	if state != consentGiven {
		s.consentPage(w, r, a, state, d.client, d.scopes, s.deviceForm(d))
		return
	}
	s.signIn(w, r, a)
	s.decideDevice(d, a)
	s.messagePage(w, r, http.StatusOK, "You have signed in on your device", "You can close this window.")
}

// decideDevice keeps the person's decision; no account means declined.
func (s *Server) decideDevice(d *device, a *Account) {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	d.account, d.declined = a, a == nil
}
