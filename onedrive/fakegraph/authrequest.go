package fakegraph

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authRequest is a checked authorize request.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#request-an-authorization-code
type authRequest struct {
	raw      string // the query, which the pages carry along
	tenant   tenant
	app      *App
	client   string
	redirect *url.URL
	literal  string // redirect_uri letter by letter
	mode     string // query, fragment or form_post
	state    string
	nonce    string
	scopes   scopes
	proof    challenge
	prompt   string
	hint     string // login_hint
	domain   string // domain_hint
	info     bool   // client_info was asked for
}

// challenge is the PKCE half of an authorize request; zero when there was none.
type challenge struct{ value, method string }

// maxAuthRequest is the longest authorize query in bytes.
const maxAuthRequest = 16 << 10

// parseAuthRequest checks an authorize query. shown is an error that only the person may see,
// because the address to answer to isn't certain; sent goes back to the app.
func (s *Server) parseAuthRequest(r *http.Request, tenantName, raw string) (_ *authRequest, shown, sent *stsError) {
	if len(raw) > maxAuthRequest {
		return nil, sts(90015), nil
	}
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, sts(9002313), nil
	}
	for name, values := range q {
		if len(values) > 1 {
			return nil, sts(9000411, clip(name, 40)), nil
		}
	}
	a := &authRequest{
		raw: raw, client: q.Get("client_id"), literal: q.Get("redirect_uri"), state: q.Get("state"), nonce: q.Get("nonce"),
		mode: q.Get("response_mode"), prompt: q.Get("prompt"), hint: q.Get("login_hint"), domain: q.Get("domain_hint"), info: q.Get("client_info") == "1",
	}
	if shown := s.placeAuthRequest(a, tenantName); shown != nil {
		return nil, shown, nil
	}
	return a, nil, a.check(r, q)
}

// placeAuthRequest finds the tenant, the app and the address to answer to.
func (s *Server) placeAuthRequest(a *authRequest, tenantName string) *stsError {
	var e *stsError
	if a.tenant, e = s.tenantOf(tenantName); e != nil {
		return e
	}
	if a.client == "" {
		return sts(900144, "client_id")
	}
	if a.app, e = s.app(a.client); e != nil {
		return e
	}
	if e := a.app.checkAudience(a.tenant); e != nil {
		return e
	}
	a.redirect, e = a.app.checkRedirect(a.literal, a.client)
	return e
}

// check reads all that can be refused by a redirect.
func (a *authRequest) check(r *http.Request, q url.Values) *stsError {
	asked := a.mode
	if a.mode != "fragment" && a.mode != "form_post" {
		a.mode = "query"
	}
	if asked != "" && asked != a.mode {
		return sts(70007, clip(asked, 40))
	}
	switch kinds := strings.Fields(q.Get("response_type")); {
	case len(kinds) == 0:
		return sts(900144, "response_type")
	case slices.Contains(kinds, "id_token"):
		return sts(700054)
	case slices.Contains(kinds, "token"):
		return sts(700051)
	case len(kinds) > 1 || kinds[0] != "code":
		return sts(70005, clip(q.Get("response_type"), 40))
	}
	switch a.prompt {
	case "", "login", "none", "consent", "select_account":
	default:
		return sts(90023, "prompt")
	}
	var e *stsError
	if a.proof, e = parseChallenge(q.Get("code_challenge"), q.Get("code_challenge_method")); e != nil {
		return e
	}
	a.scopes, e = parseScopes(r, q.Get("scope"), a.client)
	return e
}

// parseChallenge reads the PKCE parameters; without a method the challenge is plain.
func parseChallenge(value, method string) (challenge, *stsError) {
	switch {
	case value == "" && method == "":
		return challenge{}, nil
	case method != "" && method != "plain" && method != "S256":
		return challenge{}, sts(50149)
	case !isVerifier(value):
		return challenge{}, sts(501491)
	case method == "":
		method = "plain"
	}
	return challenge{value, method}, nil
}

// isVerifier says whether a text may be a PKCE verifier or challenge (RFC 7636 §4.1).
func isVerifier(text string) bool {
	if len(text) < 43 || len(text) > 128 {
		return false
	}
	return strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
}

// appName is what the pages call the app.
func (a *authRequest) appName() string {
	if a.app != nil && a.app.Name != "" {
		return a.app.Name
	}
	return a.redirect.Host
}

// answer sends the browser back to the app with parameters.
func (a *authRequest) answer(s *Server, w http.ResponseWriter, r *http.Request, params url.Values) {
	if a.state != "" {
		params.Set("state", a.state)
	}
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Referrer-Policy", "strict-origin-when-cross-origin")
	if a.mode == "form_post" {
		s.formPost(w, r, a, params)
		return
	}
	to := *a.redirect
	if a.mode == "fragment" {
		to.Fragment, to.RawFragment = "", ""
		w.Header().Set("Location", to.String()+"#"+params.Encode())
	} else {
		if to.RawQuery != "" {
			to.RawQuery += "&"
		}
		to.RawQuery += params.Encode()
		w.Header().Set("Location", to.String())
	}
	w.WriteHeader(http.StatusFound)
}

// deny sends the browser back to the app with an error.
func (a *authRequest) deny(s *Server, w http.ResponseWriter, r *http.Request, e *stsError) {
	body := s.stsBody(w, r, e)
	params := url.Values{"error": {e.oauth}, "error_description": {body["error_description"].(string)}}
	if uri, ok := body["error_uri"].(string); ok {
		params.Set("error_uri", uri)
	}
	if e.subcode != "" {
		params.Set("error_subcode", e.subcode)
	}
	a.answer(s, w, r, params)
}
