package auth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// Host is what a login host tells to a program that knows nobody there.
type Host struct {
	Clock time.Time // its time when it answered; zero when it told none
	Seen  time.Time // ours at that moment
	Graph string    // the host of the Graph that goes with it, "" when it told none
}

// LookAtHost asks the login host for the tenant's metadata and keys, as a sign-in does, and whether they are
// those of the tenant and lead nowhere else. The clock comes with an error, too, if the host has answered.
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc
func (p *Provider) LookAtHost(ctx context.Context) (Host, error) {
	var metadata struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		Graph         string `json:"msgraph_host"`
	}
	header, err := p.keys.get(ctx, p.keys.metadataURL, &metadata)
	host := Host{Seen: p.config.Now(), Graph: metadata.Graph}
	host.Clock, _ = http.ParseTime(header.Get("Date"))
	if err != nil {
		return host, err
	}
	if !p.speaksFor(metadata.Issuer) {
		return host, &SignInError{Kind: Misconfigured, Detail: "the login host's metadata speaks for another tenant or host"}
	}
	for _, endpoint := range []string{metadata.Authorization, metadata.Token} {
		if !sameOrigin(endpoint, p.config.LoginURL) {
			return host, &SignInError{Kind: Misconfigured, Detail: "the login host's metadata leads to another host"}
		}
	}
	return host, p.keys.fetch(ctx)
}

// speaksFor reports whether an issuer is the one that metadata of the tenant setting names: the template where
// several tenants may sign in.
func (p *Provider) speaksFor(issuer string) bool {
	tenant := p.config.Tenant
	switch tenant {
	case "common", "organizations":
		tenant = "{tenantid}"
	case "consumers":
		tenant = ConsumersTenant
	}
	return issuer == issuerOf(p.config.LoginURL, tenant)
}

// ErrUnproven is TryClient's answer when Microsoft minds the made-up code without a look at the secret.
var ErrUnproven = errors.New("auth: the login host refuses a made-up code whatever the secret")

// TryClient tries the client id and the secret on a code that nobody gave. It is nil when Microsoft minds the code
// alone. Which it looks at first is documented nowhere, so a complaint about the code counts only if the same
// request with a secret that is wrong on purpose brings a complaint about that; else it is ErrUnproven.
func (p *Provider) TryClient(ctx context.Context) error {
	err := p.redeemNothing(ctx)
	if !refusesCode(err) {
		return err
	}
	config := p.config
	config.ClientSecret = randomToken("")
	err = NewProvider(config).redeemNothing(ctx)
	var e *SignInError
	switch {
	case errors.As(err, &e) && e.Kind == SecretWrong:
		return nil
	case refusesCode(err):
		return ErrUnproven
	}
	return err
}

// redeemNothing redeems a made-up code.
func (p *Provider) redeemNothing(ctx context.Context) error {
	ctx, cancel, err := p.callContext(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = p.oauth.Exchange(ctx, randomToken(""), oauth2.VerifierOption(oauth2.GenerateVerifier()))
	if err == nil {
		return untrusted("one came for a made-up code")
	}
	return codeError(err)
}

// refusesCode reports a refusal that minds the code and nothing else. Microsoft's numbers for it are many;
// OAuth's word is one, but for AADSTS9002313, a bad request, which was seen with another.
func refusesCode(err error) bool {
	var e *SignInError
	return errors.As(err, &e) && !e.troubled && (e.Code == "invalid_grant" || e.AADSTS == "9002313")
}
