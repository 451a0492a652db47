package fakegraph

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// sessionCookie holds the random id of a browser's session with the server, under the
// server's own path so that no application sees it.
const sessionCookie = "demo-microsoft"

// sessionLife is how long a browser stays signed in.
const sessionLife = 24 * time.Hour

// session is who is signed in with one browser.
type session struct {
	id     string   // session_state of the answers
	logins []string // last one chosen first; lower case
}

// pageAccount is who is signed in on the server's own pages; nil when nobody is.
func (s *Server) pageAccount(r *http.Request) *Account {
	if signedIn := s.signedIn(r); len(signedIn) > 0 {
		return signedIn[0]
	}
	return nil
}

// signedIn are the accounts of the browser's session, the last chosen first.
func (s *Server) signedIn(r *http.Request) []*Account {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	s.login.mu.Lock()
	known, expired, ok := s.login.sessions.get(digest(cookie.Value), s.now())
	s.login.mu.Unlock()
	if !ok || expired {
		return nil
	}
	var out []*Account
	for _, name := range known.logins {
		if a := s.account(name); a != nil {
			out = append(out, a)
		}
	}
	return out
}

// signIn adds an account to the browser's session, under a new cookie, and gives the session's id.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, a *Account) string {
	fresh := session{id: newGUID(), logins: []string{strings.ToLower(a.Login)}}
	for _, other := range s.signedIn(r) {
		if other != a {
			fresh.logins = append(fresh.logins, strings.ToLower(other.Login))
		}
	}
	value := newSecret("demo-session-", 24)
	s.login.mu.Lock()
	if old, err := r.Cookie(sessionCookie); err == nil {
		s.login.sessions.drop(digest(old.Value))
	}
	s.login.sessions.put(digest(value), fresh, s.now().Add(sessionLife))
	s.login.mu.Unlock()
	s.setCookie(w, r, value, int(sessionLife/time.Second))
	return fresh.id
}

// signOut ends the browser's session for one account, or for all when login is empty.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request, login string) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return
	}
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	key := digest(cookie.Value)
	known, _, ok := s.login.sessions.get(key, s.now())
	left := slices.DeleteFunc(slices.Clone(known.logins), func(name string) bool { return login == "" || strings.EqualFold(name, login) })
	if !ok || len(left) == 0 {
		s.login.sessions.drop(key)
		s.setCookie(w, r, "", -1)
		return
	}
	known.logins = left
	s.login.sessions.put(key, known, s.now().Add(sessionLife))
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: s.opts.Prefix + "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(s.base(r), "https:"),
	})
}
