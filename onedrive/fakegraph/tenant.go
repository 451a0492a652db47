package fakegraph

import "strings"

// tenant is the {tenant} of an address: who may sign in there.
// https://learn.microsoft.com/entra/identity-platform/v2-protocols#endpoints
type tenant struct {
	name string // as in the address, lower case
	id   string // a GUID; empty for common and organizations
}

// tenantOf reads a {tenant}: common, consumers, organizations, or a GUID or domain that one of
// the accounts belongs to.
func (s *Server) tenantOf(name string) (tenant, *stsError) {
	lower := strings.ToLower(name)
	switch lower {
	case "common", "organizations":
		return tenant{name: lower}, nil
	case "consumers", ConsumersTenant:
		return tenant{name: lower, id: ConsumersTenant}, nil
	}
	for _, a := range s.Accounts() {
		if !a.Personal() && (strings.EqualFold(a.TenantID, lower) || a.domain() == lower) {
			return tenant{name: lower, id: strings.ToLower(a.TenantID)}, nil
		}
	}
	return tenant{}, sts(90002, clip(name, 80))
}

// issuer is the iss of the metadata: a template where the tenant isn't known yet.
// https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-issuer
func (t tenant) issuer(base string) string {
	if t.id == "" {
		return base + "/{tenantid}/v2.0"
	}
	return base + "/" + t.id + "/v2.0"
}

// admits says why an account can't sign in here; nil when it can.
func (t tenant) admits(a *Account, client string) *stsError {
	switch {
	case t.name == "common", t.name == "organizations" && !a.Personal(), t.id == strings.ToLower(a.TenantID):
		return nil
	case t.name == "organizations", t.id == ConsumersTenant:
		return sts(500208, a.Login)
	}
	return sts(50020, a.Login, t.name, client)
}

// clip shortens a text that is shown or sent back.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
