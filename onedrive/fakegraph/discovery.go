package fakegraph

import (
	"net/http"
	"net/url"
	"strings"
)

// metadata serves /{tenant}/v2.0/.well-known/openid-configuration. Like Microsoft's it has the
// {tenantid} template as issuer on common and organizations, and names no
// code_challenge_methods_supported although PKCE works.
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	t, e := s.tenantOf(r.PathValue("tenant"))
	if e != nil {
		e.oauth = "invalid_tenant"
		s.refuse(w, r, e)
		return
	}
	s.count("metadata")
	base := s.base(r)
	name := t.name
	if t.id != "" && name != "consumers" {
		name = t.id
	}
	oauth := base + "/" + name + "/oauth2/v2.0"
	publicDocument(w, map[string]any{
		"issuer":                                t.issuer(base),
		"authorization_endpoint":                oauth + "/authorize",
		"token_endpoint":                        oauth + "/token",
		"device_authorization_endpoint":         oauth + "/devicecode",
		"end_session_endpoint":                  oauth + "/logout",
		"jwks_uri":                              base + "/" + name + "/discovery/v2.0/keys",
		"userinfo_endpoint":                     base + "/oidc/userinfo",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported": []string{"sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host",
			"aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email"},
		"request_uri_parameter_supported": false,
		"http_logout_supported":           true,
		"frontchannel_logout_supported":   true,
		"tenant_region_scope":             t.region(),
		"cloud_instance_name":             "microsoftonline.com",
		"cloud_graph_host_name":           "graph.windows.net",
		"msgraph_host":                    hostOf(base),
		"rbac_url":                        "https://pas.windows.net",
	})
}

// hostOf is the host of an address of ours.
func hostOf(base string) string {
	_, rest, _ := strings.Cut(base, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// region is the tenant_region_scope: none where the tenant isn't one.
func (t tenant) region() any {
	switch t.id {
	case "":
		return nil
	case ConsumersTenant:
		return "WW"
	}
	return "EU"
}

// instance serves /common/discovery/instance, by which Microsoft's libraries find out whether
// they may trust a login host.
func (s *Server) instance(w http.ResponseWriter, r *http.Request) {
	endpoint, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || endpoint.Host != r.Host {
		e := sts(50049)
		s.refuse(w, r, e)
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(endpoint.Path, s.opts.Prefix), "/"), "/")
	if _, e := s.tenantOf(name); e != nil {
		e.oauth = "invalid_tenant"
		s.refuse(w, r, e)
		return
	}
	publicDocument(w, map[string]any{
		"tenant_discovery_endpoint": s.base(r) + "/" + name + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []map[string]any{{
			"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host},
		}},
	})
}
