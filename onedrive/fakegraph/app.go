package fakegraph

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// App is a registered application. https://learn.microsoft.com/graph/api/resources/application
type App struct {
	ID             string
	Name           string   // shown to people; empty: the host of the redirect URI
	Secrets        []string // none: a public client
	ExpiredSecrets []string // answered by AADSTS7000222
	RedirectURIs   []string // compared letter by letter, but for the port of http://localhost
	// SignInAudience is AzureADandPersonalMicrosoftAccount (also when empty),
	// PersonalMicrosoftAccount, AzureADMultipleOrgs or AzureADMyOrg.
	SignInAudience string
}

// app finds the registration of a client id. Without any registrations each id is an app that
// takes every secret and redirect URI: then app is nil and there is no error.
func (s *Server) app(client string) (*App, *stsError) {
	if len(s.opts.Apps) == 0 {
		return nil, nil
	}
	for i, a := range s.opts.Apps {
		if strings.EqualFold(a.ID, client) {
			return &s.opts.Apps[i], nil
		}
	}
	return nil, sts(700016, clip(client, 80))
}

// checkAudience says whether the registration fits the {tenant} of the address.
func (a *App) checkAudience(t tenant) *stsError {
	if a == nil {
		return nil
	}
	switch {
	case a.SignInAudience == "PersonalMicrosoftAccount" && t.id != ConsumersTenant:
		return sts(9002331, a.ID)
	case a.worksOnly() && t.id == ConsumersTenant:
		return sts(9002332, a.ID)
	case a.SignInAudience == "AzureADMyOrg" && t.id == "":
		return sts(50194, a.ID)
	}
	return nil
}

// worksOnly says whether the registration is for work and school accounts only.
func (a *App) worksOnly() bool {
	return a.SignInAudience == "AzureADMultipleOrgs" || a.SignInAudience == "AzureADMyOrg"
}

// admitsAccount says whether the registration is for this kind of account.
func (a *App) admitsAccount(account *Account) *stsError {
	if a != nil && a.worksOnly() && account.Personal() {
		return sts(500208, account.Login)
	}
	return nil
}

// checkRedirect finds out where an authorize answer goes. Without registration every http(s)
// address will do.
// https://learn.microsoft.com/entra/identity-platform/reply-url
func (a *App) checkRedirect(raw, client string) (*url.URL, *stsError) {
	if raw == "" {
		return nil, sts(900971)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(raw, "#") || len(raw) > 2048 || u.Scheme != "http" && u.Scheme != "https" {
		return nil, sts(50011, clip(raw, 200), clip(client, 80))
	}
	if a != nil && !slices.ContainsFunc(a.RedirectURIs, func(known string) bool { return sameRedirect(known, raw) }) {
		return nil, sts(50011, clip(raw, 200), clip(client, 80))
	}
	return u, nil
}

// sameRedirect compares letter by letter; for http://localhost the port doesn't count.
func sameRedirect(known, raw string) bool {
	return known == raw || withoutPort(known) == withoutPort(raw) && strings.HasPrefix(withoutPort(raw), "http://localhost")
}

func withoutPort(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.Hostname() != "localhost" {
		return raw
	}
	u.Host = u.Hostname()
	return u.String()
}

// credentials are what a program sent to say who it is.
type credentials struct {
	client       string
	confidential bool // a secret or an assertion came along
}

// authenticate checks the client of a token request, by form or by Basic.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#request-an-access-token-with-a-client_secret
func (s *Server) authenticate(r *http.Request) (credentials, *stsError) {
	client, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, err1 := url.QueryUnescape(user)
		pw, err2 := url.QueryUnescape(password)
		if err1 != nil || err2 != nil || client != "" && client != id {
			return credentials{}, sts(9002313)
		}
		client, secret = id, pw
	}
	if client == "" {
		return credentials{}, sts(900144, "client_id")
	}
	app, e := s.app(client)
	if e != nil {
		return credentials{}, e
	}
	if e := app.checkSecret(secret); e != nil {
		return credentials{}, e
	}
	return credentials{client, secret != "" || r.PostForm.Get("client_assertion") != ""}, nil
}

// checkSecret compares a secret with those registered.
func (a *App) checkSecret(secret string) *stsError {
	if a == nil {
		return nil
	}
	among := func(list []string) bool {
		found := 0
		for _, known := range list {
			found |= subtle.ConstantTimeCompare([]byte(known), []byte(secret))
		}
		return found == 1
	}
	public := len(a.Secrets)+len(a.ExpiredSecrets) == 0
	switch {
	case public && secret != "":
		return sts(700025)
	case public, secret != "" && among(a.Secrets):
		return nil
	case secret == "":
		return sts(7000218)
	case among(a.ExpiredSecrets):
		return sts(7000222, a.ID)
	}
	return sts(7000215, a.ID)
}
