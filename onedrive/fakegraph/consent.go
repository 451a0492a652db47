package fakegraph

import (
	"slices"
	"strings"
	"time"
)

// consentState says what stands between an account and an app.
type consentState int

const (
	consentGiven consentState = iota
	consentAsk                // the person must agree
	consentAdmin              // an administrator must agree
)

// consentKey is one person's relation to one app.
type consentKey struct{ account, client string }

// consentState looks up whether an account has agreed to all permissions.
func (s *Server) consentState(a *Account, client string, asked scopes) consentState {
	switch {
	case a.Consent == "all", a.Consent == "" && client != s.opts.Own:
		return consentGiven
	case a.Consent == "admin":
		return consentAdmin
	}
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	given, _, _ := s.login.consents.get(consentKey{a.ObjectID, client}, s.now())
	before := a.Consent == ""
	for _, name := range asked.permissions() {
		name = strings.ToLower(bareScope(name))
		if !slices.Contains(given, name) && !(before && !beyondOwnFiles(name)) {
			return consentAsk
		}
	}
	if given == nil && !before {
		return consentAsk // also for an app that asks for nothing but the name
	}
	return consentGiven
}

// beyondOwnFiles reports a permission that reaches other people's files: who agreed to our own app before
// agreed to less, and is asked once more.
func beyondOwnFiles(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".all") }

// remember keeps that an account agreed.
func (s *Server) remember(a *Account, client string, asked scopes) {
	key := consentKey{a.ObjectID, client}
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	given, _, _ := s.login.consents.get(key, s.now())
	merged := append([]string{}, given...)
	for _, name := range asked.permissions() {
		if name = strings.ToLower(bareScope(name)); !slices.Contains(merged, name) && len(merged) < 100 {
			merged = append(merged, name)
		}
	}
	s.login.consents.put(key, merged, s.now().Add(10*365*24*time.Hour))
}

// permissionTexts are the words of the consent page.
// https://learn.microsoft.com/graph/permissions-reference
var permissionTexts = map[string]string{
	"openid":                    "Sign you in",
	"profile":                   "View your basic profile",
	"email":                     "View your email address",
	"offline_access":            "Maintain access to data you have given it access to",
	"user.read":                 "Sign you in and read your profile",
	"files.read":                "Read your files",
	"files.readwrite":           "Have full access to your files",
	"files.read.all":            "Read all files that you have access to",
	"files.readwrite.all":       "Have full access to all files you have access to",
	"files.readwrite.appfolder": "Have full access to its own folder",
	"sites.read.all":            "Read items in all site collections",
}

// permissionText is what the consent page says about a scope.
func permissionText(scope string) string {
	if text, ok := permissionTexts[strings.ToLower(bareScope(scope))]; ok {
		return text
	}
	return bareScope(scope)
}
