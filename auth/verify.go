package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"regexp"

	"github.com/coreos/go-oidc/v3/oidc"
)

var (
	guid      = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	emptyGUID = "00000000-0000-0000-0000-000000000000"
)

// claims are what we read of an ID token.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
type claims struct {
	Issuer   string `json:"iss"`
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
	Name     string `json:"name"`
	Username string `json:"preferred_username"`
}

// verify checks an ID token and returns whom it names. The verifier checks signature, algorithm,
// audience and times; what is Microsoft's own stands here.
func (p *Provider) verify(ctx context.Context, raw, nonce string) (User, error) {
	keys := &callKeys{set: p.keys}
	// The issuer of "common" is a template, which go-oidc refuses by design; it is checked below.
	token, err := oidc.NewVerifier("", keys, &oidc.Config{
		ClientID: p.config.ClientID, SkipIssuerCheck: true, SupportedSigningAlgs: []string{oidc.RS256}, Now: p.config.Now,
	}).Verify(ctx, raw)
	if keys.err != nil {
		return User{}, keys.err
	}
	if err != nil {
		return User{}, verifyError(err)
	}
	if len(token.Audience) != 1 || token.Audience[0] != p.config.ClientID {
		return User{}, untrusted("audience")
	}
	if nonce == "" || subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return User{}, untrusted("nonce")
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return User{}, untrusted("claims")
	}
	if !guid.MatchString(c.TenantID) || !guid.MatchString(c.ObjectID) || c.ObjectID == emptyGUID {
		return User{}, untrusted("tenant or object id")
	}
	if c.Issuer != issuerOf(p.config.LoginURL, c.TenantID) {
		return User{}, untrusted("issuer")
	}
	if !tenantAllowed(p.config.Tenant, c.TenantID, p.keys.onlyTenant()) {
		return User{}, &SignInError{Kind: WrongAccountType, Detail: "tenant not allowed here"}
	}
	return User{
		ID: UserID(c.TenantID, c.ObjectID), TenantID: c.TenantID, ObjectID: c.ObjectID,
		Name: displayed(c.Name, c.Username), Username: displayed(c.Username),
	}, nil
}

// issuerOf is the issuer that Microsoft writes into tokens of a tenant.
func issuerOf(loginURL, tenantID string) string { return loginURL + "/" + tenantID + "/v2.0" }

// tenantAllowed applies the tenant setting to the tenant of a token. only is the tenant that the
// metadata speaks for, "" when for many: a domain such as work.example stands for that one.
func tenantAllowed(setting, tenantID, only string) bool {
	switch {
	case setting == "common":
		return true
	case setting == "consumers":
		return tenantID == ConsumersTenant
	case setting == "organizations":
		return tenantID != ConsumersTenant
	case guid.MatchString(setting):
		return tenantID == setting
	}
	return tenantID == only
}

// displayed is the first of names that is not empty, cut to what a page can show.
func displayed(names ...string) string {
	for _, name := range names {
		if runes := []rune(name); len(runes) > 0 {
			return string(runes[:min(len(runes), 200)])
		}
	}
	return ""
}

func untrusted(what string) error {
	return &SignInError{Kind: Untrusted, Detail: "ID token refused: " + what}
}

func verifyError(err error) error {
	var expired *oidc.TokenExpiredError
	if errors.As(err, &expired) {
		return untrusted("expired; is the clock of this machine right?")
	}
	return untrusted("form or audience")
}

// callKeys keeps the key set's error of one call, which go-oidc turns into text: "the keys could
// not be fetched" must not look like "the signature is wrong".
type callKeys struct {
	set *keySet
	err error
}

func (c *callKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := c.set.VerifySignature(ctx, jwt)
	c.err = err
	return payload, err
}
