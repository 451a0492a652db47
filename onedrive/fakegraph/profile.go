package fakegraph

import (
	"net/http"
	"strings"
)

// profileRoutes are who-am-I calls of Graph.
func (s *Server) profileRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1.0/me", s.me)
	mux.HandleFunc("GET /v1.0/me/{$}", s.me)
	mux.HandleFunc("GET /oidc/userinfo", s.userinfo)
	mux.HandleFunc("POST /oidc/userinfo", s.userinfo)
}

// profile lets a call through that has a good token and meets no fault.
func (s *Server) profile(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request, *access)) {
	t, refused := s.accessToken(r)
	if refused != nil {
		refused.write(s, w, r)
		return
	}
	s.withFaults(w, r, t.grant.account.Login, []Phase{PhaseMe}, func(w http.ResponseWriter) { serve(w, r, t) })
}

// me serves the signed-in user. https://learn.microsoft.com/graph/api/user-get
func (s *Server) me(w http.ResponseWriter, r *http.Request) {
	s.profile(w, r, s.sendMe)
}

func (s *Server) sendMe(w http.ResponseWriter, r *http.Request, t *access) {
	if !t.allows("User.Read", "User.ReadWrite", "User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All") {
		errScope().write(s, w, r)
		return
	}
	a := t.grant.account
	s.stamp(w, r)
	given, family, _ := strings.Cut(a.Name, " ")
	body := map[string]any{
		"@odata.context": s.base(r) + "/v1.0/$metadata#users/$entity",
		"businessPhones": []string{}, "displayName": a.Name, "givenName": given, "surname": family,
		"jobTitle": nil, "mail": nil, "mobilePhone": nil, "officeLocation": nil, "preferredLanguage": nil,
		"userPrincipalName": a.Login, "id": a.graphID(),
	}
	if !a.Personal() {
		body["mail"] = a.Login
	}
	selectFields(body, r.URL.Query().Get("$select"))
	writeJSON(w, http.StatusOK, body)
}

// graphID is the id of Graph's user resource: the object id of work accounts, and the CID,
// the last 16 hex digits without zeros in front, of personal ones.
func (a *Account) graphID() string {
	if !a.Personal() {
		return a.ObjectID
	}
	hex := strings.ReplaceAll(a.ObjectID, "-", "")
	return strings.TrimLeft(hex[max(0, len(hex)-16):], "0")
}

// selectFields keeps the fields of an OData $select; empty keeps all.
func selectFields(body map[string]any, list string) {
	if list == "" || list == "*" {
		return
	}
	keep := map[string]bool{"@odata.context": true}
	for name := range strings.SplitSeq(list, ",") {
		keep[strings.TrimSpace(name)] = true
	}
	for name := range body {
		if !keep[name] {
			delete(body, name)
		}
	}
}

// userinfo serves OpenID Connect's user info.
// https://learn.microsoft.com/entra/identity-platform/userinfo
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	s.profile(w, r, s.sendUserinfo)
}

func (s *Server) sendUserinfo(w http.ResponseWriter, r *http.Request, t *access) {
	if !t.allows("openid") {
		errScope().write(s, w, r)
		return
	}
	a := t.grant.account
	given, family, _ := strings.Cut(a.Name, " ")
	body := map[string]any{"sub": a.subject(t.grant.client), "name": a.Name, "given_name": given, "family_name": family}
	if t.allows("email") {
		body["email"] = a.Login
	}
	s.stamp(w, r)
	writeJSON(w, http.StatusOK, body)
}

// errScope is Graph's answer to a token that lacks the permission.
func errScope() *wireError {
	return &wireError{
		status: http.StatusForbidden, code: "accessDenied",
		message: "Insufficient privileges to complete the operation.",
	}
}
