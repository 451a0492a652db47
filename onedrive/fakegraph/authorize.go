package fakegraph

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// codeLife is how long an authorization code is good.
const codeLife = 10 * time.Minute

// code is an authorization code that waits to be redeemed.
type code struct {
	grant   *grant
	literal string // redirect_uri of the authorize request
	proof   challenge
	used    bool // guarded by login.mu
}

// authorize serves /{tenant}/oauth2/v2.0/authorize.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	s.count("authorize")
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 4*maxAuthRequest)
		if err := r.ParseForm(); err != nil {
			s.errorPage(w, r, sts(9002313))
			return
		}
		raw = r.Form.Encode()
	}
	req, ok := s.readAuthRequest(w, r, raw)
	if !ok {
		return
	}
	hinted := s.hinted(r, req)
	switch {
	case req.prompt == "none":
		s.silent(w, r, req, hinted)
	case hinted != nil && req.prompt != "login" && req.prompt != "select_account" && slices.Contains(s.signedIn(r), hinted):
		s.proceed(w, r, req, hinted)
	default:
		s.accountPage(w, r, req, pageNote{})
	}
}

// readAuthRequest checks a query and answers the request itself when it is no good.
func (s *Server) readAuthRequest(w http.ResponseWriter, r *http.Request, raw string) (*authRequest, bool) {
	req, shown, sent := s.parseAuthRequest(r, r.PathValue("tenant"), raw)
	switch {
	case shown != nil:
		s.errorPage(w, r, shown)
	case sent != nil:
		req.deny(s, w, r, sent)
	default:
		return req, true
	}
	return nil, false
}

// hinted is the account that the app means: the one of login_hint, else, for a silent request,
// the only one signed in.
func (s *Server) hinted(r *http.Request, req *authRequest) *Account {
	if req.hint != "" {
		return s.account(req.hint)
	}
	if in := s.signedIn(r); req.prompt == "none" && len(in) == 1 {
		return in[0]
	}
	return nil
}

// silent answers prompt=none: a known login_hint counts as somebody already signed in.
func (s *Server) silent(w http.ResponseWriter, r *http.Request, req *authRequest, a *Account) {
	if a == nil {
		number := 50058
		if req.hint == "" && len(s.signedIn(r)) > 1 {
			number = 16000
		}
		req.deny(s, w, r, sts(number))
		return
	}
	e := s.refuseAccount(req, a)
	if e == nil {
		switch s.consentState(a, req.client, req.scopes) {
		case consentAsk:
			e = sts(65001, req.client)
		case consentAdmin:
			e = sts(90094, a.domain(), req.appName())
		}
		if e != nil {
			e.oauth = "consent_required"
		}
	}
	if e != nil {
		req.deny(s, w, r, e)
		return
	}
	s.grantCode(w, r, req, a)
}

// refuseAccount says why an account can't sign in to this app here.
func (s *Server) refuseAccount(req *authRequest, a *Account) *stsError {
	if e := req.tenant.admits(a, req.client); e != nil {
		return e
	}
	return req.app.admitsAccount(a)
}

// choose serves POST /{tenant}/login: what a person pressed on the account or consent page.
func (s *Server) choose(w http.ResponseWriter, r *http.Request) {
	if !s.ownForm(w, r) {
		return
	}
	req, ok := s.readAuthRequest(w, r, r.PostForm.Get("request"))
	if !ok {
		return
	}
	login := strings.TrimSpace(r.PostForm.Get("login"))
	a := s.account(login)
	switch {
	case r.PostForm.Has("cancel"):
		req.deny(s, w, r, &stsError{oauth: "access_denied", subcode: "cancel", text: "The user canceled the authentication."})
	case r.PostForm.Has("other"):
		s.accountPage(w, r, req, pageNote{other: true})
	case a == nil:
		s.accountPage(w, r, req, pageNote{other: true, typed: login, e: sts(50034, clip(login, 80))})
	case s.refuseAccount(req, a) != nil:
		s.accountPage(w, r, req, pageNote{e: s.refuseAccount(req, a)})
	case r.PostForm.Get("consent") == "decline":
		s.decline(w, r, req, a)
	case r.PostForm.Get("consent") == "accept" && s.consentState(a, req.client, req.scopes) != consentAdmin:
		s.remember(a, req.client, req.scopes)
		s.grantCode(w, r, req, a)
	default:
		s.proceed(w, r, req, a)
	}
}

// ownForm reads a form of the server's own pages; posts from other sites are refused.
func (s *Server) ownForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 4*maxAuthRequest)
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		s.errorPage(w, r, &stsError{status: http.StatusForbidden, text: "This form was sent from another site."})
		return false
	}
	if err := r.ParseForm(); err != nil {
		s.errorPage(w, r, sts(9002313))
		return false
	}
	return true
}

// proceed goes on with the chosen account: consent if need be, then the code.
func (s *Server) proceed(w http.ResponseWriter, r *http.Request, req *authRequest, a *Account) {
	if e := s.refuseAccount(req, a); e != nil {
		s.accountPage(w, r, req, pageNote{e: e})
		return
	}
	state := s.consentState(a, req.client, req.scopes)
	if state == consentGiven && req.prompt != "consent" {
		s.grantCode(w, r, req, a)
		return
	}
	s.consentPage(w, r, a, state, req.appName(), req.scopes, s.chooseForm(req))
}

// decline sends the browser back after a declined consent or an unapproved app.
func (s *Server) decline(w http.ResponseWriter, r *http.Request, req *authRequest, a *Account) {
	if s.consentState(a, req.client, req.scopes) == consentAdmin {
		req.deny(s, w, r, sts(90094, a.domain(), req.appName()))
		return
	}
	req.deny(s, w, r, sts(65004))
}

// grantCode signs the browser in and sends it back to the app with a code.
func (s *Server) grantCode(w http.ResponseWriter, r *http.Request, req *authRequest, a *Account) {
	s.withAuthorizeFaults(w, r, req, a, func(w http.ResponseWriter) { s.sendCode(w, r, req, a) })
}

func (s *Server) sendCode(w http.ResponseWriter, r *http.Request, req *authRequest, a *Account) {
	state := s.signIn(w, r, a)
	g := &grant{account: a, client: req.client, scopes: a.gives(req.scopes), tenant: req.tenant, nonce: req.nonce, started: s.now()}
	value := newSecret(codePrefix, 300)
	s.login.mu.Lock()
	s.login.codes.put(digest(value), &code{grant: g, literal: req.literal, proof: req.proof}, s.now().Add(codeLife))
	s.login.mu.Unlock()
	params := url.Values{"code": {value}}
	if !a.Personal() {
		params.Set("session_state", state)
	}
	if req.info {
		params.Set("client_info", a.clientInfo())
	}
	req.answer(s, w, r, params)
}

// logout serves /{tenant}/oauth2/v2.0/logout.
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#send-a-sign-out-request
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if _, e := s.tenantOf(r.PathValue("tenant")); e != nil {
		s.errorPage(w, r, e)
		return
	}
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 4*maxAuthRequest)
		if err := r.ParseForm(); err == nil {
			q = r.Form
		}
	}
	s.signOut(w, r, q.Get("logout_hint"))
	if to := s.afterLogout(q.Get("post_logout_redirect_uri"), q.Get("state")); to != "" {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
		return
	}
	s.messagePage(w, r, http.StatusOK, "You signed out of your account", "It's a good idea to close all browser windows.")
}

// afterLogout is where to go after signing out; empty when the address isn't registered.
func (s *Server) afterLogout(raw, state string) string {
	to, e := (*App)(nil).checkRedirect(raw, "")
	if e != nil {
		return ""
	}
	registered := len(s.opts.Apps) == 0 || slices.ContainsFunc(s.opts.Apps, func(a App) bool {
		return slices.ContainsFunc(a.RedirectURIs, func(known string) bool { return sameRedirect(known, raw) })
	})
	if !registered {
		return ""
	}
	if state != "" {
		q := to.Query()
		q.Set("state", state)
		to.RawQuery = q.Encode()
	}
	return to.String()
}
