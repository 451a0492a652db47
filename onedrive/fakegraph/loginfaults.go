package fakegraph

import (
	"net/http"
	"strconv"
	"strings"
)

// withLoginFaults serves a program's call to the identity platform, unless a fault spoils it.
func (s *Server) withLoginFaults(w http.ResponseWriter, r *http.Request, login string, phases []Phase, handle func(http.ResponseWriter)) {
	s.withRefusal(w, r, login, phases, func(f *Fault) {
		f.headers(s, w)
		if f.Body != "" {
			w.WriteHeader(f.Status)
			_, _ = w.Write([]byte(f.Body))
			return
		}
		s.refuse(w, r, f.sts())
	}, handle)
}

// sts is the refusal that a fault orders: by its Code, else by what its Status usually means.
func (f *Fault) sts() *stsError {
	number, ok := f.aadsts()
	if !ok {
		number = map[bool]int{true: 90033, false: 9002313}[f.Status >= 500 || f.Status == http.StatusTooManyRequests]
	}
	e := sts(number)
	e.text = strings.ReplaceAll(e.text, "%s", "…")
	if f.Status != 0 {
		e.status = f.Status
	}
	return e
}

// aadsts is the number of a Code like AADSTS50173.
func (f *Fault) aadsts() (int, bool) {
	digits, ok := strings.CutPrefix(f.Code, "AADSTS")
	number, err := strconv.Atoi(digits)
	return number, ok && err == nil
}

// withAuthorizeFaults sends the browser back to the app by handle, unless a fault spoils that. A
// fault with an AADSTS code goes back as an error, or is shown where Microsoft shows it; another
// one is a page with its status.
func (s *Server) withAuthorizeFaults(w http.ResponseWriter, r *http.Request, req *authRequest, a *Account, handle func(http.ResponseWriter)) {
	s.withRefusal(w, r, a.Login, []Phase{PhaseAuthorize}, func(f *Fault) {
		f.headers(s, w)
		e := f.sts()
		number, ok := f.aadsts()
		switch {
		case !ok || shownOnly[number]:
			s.errorPage(w, r, e)
			return
		case e.oauth == "invalid_grant" || e.oauth == "invalid_client":
			e.oauth = "access_denied" // those two belong to the token endpoint
		}
		req.deny(s, w, r, e)
	}, handle)
}

// shownOnly are the refusals that say that the app's address can't be trusted.
var shownOnly = map[int]bool{50011: true, 50194: true, 90002: true, 700016: true, 900971: true, 9002331: true, 9002332: true}

// tokenOwner is the login name that a token request is about; empty when nobody knows.
func (s *Server) tokenOwner(r *http.Request) string {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	if c, _, ok := s.login.codes.get(digest(r.PostForm.Get("code")), s.now()); ok {
		return c.grant.account.Login
	}
	if t, _, ok := s.login.refresh.get(digest(r.PostForm.Get("refresh_token")), s.now()); ok {
		return t.grant.account.Login
	}
	return ""
}
