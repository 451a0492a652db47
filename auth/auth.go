// Package auth knows who the user is: sign-in with Microsoft, sessions, each account's tokens,
// and the devices that act for a user. It knows nothing of web frameworks or of OneDrive; what
// it keeps rests in JetStream, secrets sealed by a Keyring or stored as hashes.
package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// DefaultScopes are the least that saving into a person's own drive needs, for personal and work
// accounts alike. The name comes with the ID token, so User.Read is not asked for.
var DefaultScopes = []string{"openid", "profile", "offline_access", "Files.ReadWrite"}

// SharedFiles is what files of others and those of SharePoint libraries need besides. It is asked
// for when somebody wants to use such a folder, and from then on at each of their sign-ins.
// https://learn.microsoft.com/graph/permissions-reference#filesreadwriteall
const SharedFiles = "Files.ReadWrite.All"

const (
	// PendingLife is how long a person may take on Microsoft's pages.
	PendingLife = 10 * time.Minute
	// callLimit bounds each call to the login host, body included.
	callLimit = 20 * time.Second
	userAgent = "Skylift"
)

// Config is the app registration and where its login host is.
type Config struct {
	ClientID     string
	ClientSecret string
	Tenant       string           // common, consumers, organizations or a tenant id; "" is common
	LoginURL     string           // "" is https://login.microsoftonline.com
	RedirectURL  string           // exactly as registered
	Scopes       []string         // nil is DefaultScopes
	HTTP         *http.Client     // the only client used; it must follow no redirects
	Now          func() time.Time // nil is time.Now
}

// Provider signs people in with the Microsoft identity platform. It is safe for concurrent use.
type Provider struct {
	config Config
	oauth  oauth2.Config
	keys   *keySet
}

// NewProvider makes a Provider. Nothing is fetched before the first sign-in is finished.
func NewProvider(c Config) *Provider {
	if c.Tenant == "" {
		c.Tenant = "common"
	}
	if c.LoginURL == "" {
		c.LoginURL = "https://login.microsoftonline.com"
	}
	if c.Scopes == nil {
		c.Scopes = DefaultScopes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.LoginURL = strings.TrimRight(c.LoginURL, "/")
	c.Tenant = strings.ToLower(c.Tenant)
	if c.Tenant == ConsumersTenant {
		c.Tenant = "consumers"
	}
	base := c.LoginURL + "/" + url.PathEscape(c.Tenant)
	p := &Provider{config: c, oauth: oauth2.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, RedirectURL: c.RedirectURL, Scopes: c.Scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/oauth2/v2.0/authorize",
			TokenURL:  base + "/oauth2/v2.0/token",
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}}
	p.keys = &keySet{
		client: c.HTTP, base: c.LoginURL, now: c.Now,
		metadataURL: base + "/v2.0/.well-known/openid-configuration",
	}
	return p
}

// Pending is a sign-in that has begun: what must come back, and what to do then. It travels in
// an encrypted cookie of the browser that began it, see Pendings.
type Pending struct {
	State     string    `json:"state"`
	Nonce     string    `json:"nonce"`
	Verifier  string    `json:"verifier"`            // of PKCE towards Microsoft
	Return    string    `json:"return"`              // a local path
	Purpose   string    `json:"purpose,omitempty"`   // "" for the pages; else what the app calls it, such as "panel"
	Challenge string    `json:"challenge,omitempty"` // of whoever asked (panel, extension), for its one-time code
	Shared    bool      `json:"shared,omitempty"`    // SharedFiles was asked for
	Expires   time.Time `json:"expires"`
}

// BeginOptions say what a sign-in is for.
type BeginOptions struct {
	Return    string // where to go afterwards; anything but a local path becomes "/"
	Purpose   string
	Challenge string
	LoginHint string // the account to offer
	Prompt    string // "", "login", "none", "consent" or "select_account"
	Shared    bool   // ask for SharedFiles, too
}

// Begin starts a sign-in: the address to send the browser to, and what to keep for Finish.
func (p *Provider) Begin(o BeginOptions) (string, Pending) {
	pending := Pending{
		State: randomToken(""), Nonce: randomToken(""), Verifier: oauth2.GenerateVerifier(),
		Return: LocalPath(o.Return), Purpose: o.Purpose, Challenge: o.Challenge, Shared: o.Shared,
		Expires: p.config.Now().Add(PendingLife).UTC(),
	}
	params := []oauth2.AuthCodeOption{
		oidc.Nonce(pending.Nonce),
		oauth2.S256ChallengeOption(pending.Verifier),
		// form_post would come cross-site, without our SameSite=Lax cookie.
		oauth2.SetAuthURLParam("response_mode", "query"),
	}
	optional := map[string]string{"prompt": o.Prompt, "login_hint": o.LoginHint}
	if o.Prompt == "select_account" {
		delete(optional, "login_hint") // Microsoft advises against the pair
	}
	if o.Shared {
		optional["scope"] = strings.Join(append(slices.Clone(p.config.Scopes), SharedFiles), " ")
	}
	for name, value := range optional {
		if value != "" {
			params = append(params, oauth2.SetAuthURLParam(name, value))
		}
	}
	return p.oauth.AuthCodeURL(pending.State, params...), pending
}

// Finish ends a sign-in with the query that Microsoft's redirect brought. The error is a
// *SignInError for everything that a person should be told in words of its own.
func (p *Provider) Finish(ctx context.Context, pending Pending, query url.Values) (User, *oauth2.Token, error) {
	if !sameState(pending.State, query) {
		return User{}, nil, &SignInError{Kind: WrongState}
	}
	if !pending.Expires.After(p.config.Now()) {
		return User{}, nil, &SignInError{Kind: Expired}
	}
	if code := query.Get("error"); code != "" {
		return User{}, nil, signInError(code, query.Get("error_description"))
	}
	code := query.Get("code")
	if code == "" {
		return User{}, nil, &SignInError{Kind: TryAgain, Detail: "the answer holds no code"}
	}
	ctx, cancel, err := p.callContext(ctx)
	if err != nil {
		return User{}, nil, err
	}
	defer cancel()
	token, err := p.oauth.Exchange(ctx, code, oauth2.VerifierOption(pending.Verifier))
	if err != nil {
		return User{}, nil, codeError(err)
	}
	p.setExpiry(token)
	raw, _ := token.Extra("id_token").(string)
	user, err := p.verify(ctx, raw, pending.Nonce)
	if err != nil {
		return User{}, nil, err
	}
	if scope := p.missing(token); scope != "" {
		return User{}, nil, &SignInError{Kind: ConsentNeeded, Detail: "not granted: " + scope}
	}
	return user, token, nil
}

// missing is a scope that nothing works without and that the person did not give; "" when there is none.
// Microsoft lets people give less than was asked. SharedFiles is not among these: see Grants.
func (p *Provider) missing(token *oauth2.Token) string {
	for _, scope := range p.config.Scopes {
		switch scope {
		case "openid", "profile", "email": // the ID token shows
		case "offline_access":
			if token.RefreshToken == "" {
				return scope
			}
		default:
			if token.Extra("scope") != nil && !Grants(token, scope) && !Grants(token, scope+".All") {
				return scope
			}
		}
	}
	return ""
}

// Grants reports whether Microsoft gave the permission with the token, as it tells beside it: by its
// name, or by its name behind Graph's address.
func Grants(token *oauth2.Token, permission string) bool {
	given, _ := token.Extra("scope").(string)
	return slices.ContainsFunc(strings.Fields(given), func(s string) bool {
		return strings.EqualFold(s[strings.LastIndexByte(s, '/')+1:], permission)
	})
}

// Refresh changes a refresh token for a fresh access token and, mostly, a new refresh token.
// Errors are ErrSignInRequired, ErrMisconfigured or ErrTemporary by errors.Is.
func (p *Provider) Refresh(ctx context.Context, refreshToken string) (*oauth2.Token, error) {
	if refreshToken == "" {
		return nil, ErrSignInRequired
	}
	ctx, cancel, err := p.callContext(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	// One shot: this source is never kept, so a rotated token is never lost in it.
	token, err := p.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	if err != nil {
		return nil, refreshError(err)
	}
	p.setExpiry(token)
	return token, nil
}

// LogoutURL is where a browser signs out of Microsoft too. It comes back to the redirect URI, without a query:
// Microsoft sends nobody to an address that is not registered, and that one is.
func (p *Provider) LogoutURL() string {
	logout := strings.TrimSuffix(p.oauth.Endpoint.AuthURL, "authorize") + "logout"
	return logout + "?" + url.Values{"post_logout_redirect_uri": {p.oauth.RedirectURL}}.Encode()
}

var errNoClient = errors.New("auth: Config.HTTP is nil")

// callContext makes the one client the one that x/oauth2 uses, with a deadline.
func (p *Provider) callContext(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if p.config.HTTP == nil {
		return nil, nil, errNoClient
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	return context.WithValue(ctx, oauth2.HTTPClient, p.config.HTTP), cancel, nil
}

// setExpiry counts expires_in from the Provider's clock instead of the machine's.
func (p *Provider) setExpiry(t *oauth2.Token) {
	life := time.Duration(t.ExpiresIn) * time.Second
	if life <= 0 || life > 48*time.Hour {
		life = time.Hour
	}
	t.Expiry = p.config.Now().Add(life).UTC()
}

// sameState compares in constant time, and refuses a query with no state or several.
func sameState(want string, query url.Values) bool {
	got := query["state"]
	return want != "" && len(got) == 1 && subtle.ConstantTimeCompare([]byte(want), []byte(got[0])) == 1
}
