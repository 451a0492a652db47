package fakegraph

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// graphResource is the app id of Microsoft Graph.
const graphResource = "00000003-0000-0000-c000-000000000000"

// graphHosts are Graph's hosts in all clouds.
// https://learn.microsoft.com/graph/deployments
var graphHosts = []string{"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn", "graph.windows.net"}

// permissionShape is what a permission name looks like: Files.ReadWrite, wl.signin.
var permissionShape = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}(\.[A-Za-z0-9_-]{1,63}){1,5}$`)

// spellings are permissions as Microsoft writes them; names are matched without case.
var spellings = func() map[string]string {
	known := []string{"User.Read", "User.ReadWrite", "User.ReadBasic.All", "User.Read.All", "Files.Read", "Files.ReadWrite", "Files.Read.All", "Files.ReadWrite.All", "Files.ReadWrite.AppFolder", "Files.Read.Selected", "Sites.Read.All", "Sites.ReadWrite.All", "Mail.Read", "Calendars.Read", "Contacts.Read"}
	m := map[string]string{}
	for _, name := range known {
		m[strings.ToLower(name)] = name
	}
	return m
}()

// scopes are what an app asks for or got, each once, in the order asked.
type scopes struct {
	list  []string
	graph bool // the resource is Graph
}

// has says whether a scope is among them.
func (s scopes) has(name string) bool {
	return slices.ContainsFunc(s.list, func(have string) bool { return strings.EqualFold(have, name) })
}

// permissions are the scopes that belong to the resource, without the OpenID Connect ones.
func (s scopes) permissions() []string {
	return slices.DeleteFunc(slices.Clone(s.list), isOpenIDScope)
}

// answer is the scope field of a token answer: permissions first, offline_access never.
func (s scopes) answer() string {
	out := s.permissions()
	for _, name := range s.list {
		if isOpenIDScope(name) && name != "offline_access" {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

// gives is what of the scopes the person lets an app have.
func (a *Account) gives(asked scopes) scopes {
	if a.Grants == nil {
		return asked
	}
	asked.list = slices.DeleteFunc(slices.Clone(asked.list), func(scope string) bool {
		withheld := !isOpenIDScope(scope) || scope == "offline_access"
		return withheld && !slices.ContainsFunc(a.Grants, func(given string) bool { return strings.EqualFold(given, bareScope(scope)) })
	})
	return asked
}

func isOpenIDScope(name string) bool {
	switch name {
	case "openid", "profile", "email", "offline_access":
		return true
	}
	return false
}

// parseScopes reads a scope parameter.
// https://learn.microsoft.com/entra/identity-platform/scopes-oidc
func parseScopes(r *http.Request, raw, client string) (scopes, *stsError) {
	out := scopes{graph: true}
	resource, all := "", false
	for _, word := range strings.Fields(raw) {
		if lower := strings.ToLower(word); isOpenIDScope(lower) {
			word = lower
		} else {
			where, name, e := splitScope(r, word, client)
			switch {
			case e != nil:
				return scopes{}, e
			case resource != "" && resource != where:
				return scopes{}, sts(28000)
			}
			resource, all = where, all || name == ".default"
			out.graph = where == graphResource
			word = strings.TrimSuffix(word, bareScope(word)) + name
		}
		if !out.has(word) {
			out.list = append(out.list, word)
		}
	}
	if all && len(out.permissions()) > 1 {
		return scopes{}, sts(70011, clip(raw, 200)+" (.default can't be combined with resource-specific scopes)")
	}
	if len(out.list) == 0 {
		return scopes{}, sts(900144, "scope")
	}
	return out, nil
}

// splitScope finds the resource of a permission and its name in Microsoft's spelling.
func splitScope(r *http.Request, word, client string) (resource, name string, _ *stsError) {
	name = bareScope(word)
	prefix := strings.TrimRight(strings.TrimSuffix(word, name), "/")
	if known, ok := spellings[strings.ToLower(name)]; ok {
		name = known
	}
	if name != ".default" && !permissionShape.MatchString(name) && prefix == "" {
		return "", "", sts(70011, clip(word, 80))
	}
	if prefix == "" || prefix == graphResource {
		return graphResource, name, nil
	}
	u, err := url.Parse(prefix)
	switch {
	case err != nil || u.Host == "" || name == "":
		return "", "", sts(70011, clip(word, 80))
	case strings.EqualFold(u.Host, r.Host) || slices.Contains(graphHosts, strings.ToLower(u.Host)):
		return graphResource, name, nil
	case u.Scheme == "api" && u.Host == client:
		return prefix, name, nil
	}
	return "", "", sts(500011, clip(prefix, 80))
}

// bareScope is a scope without the address of its resource.
func bareScope(scope string) string {
	return scope[strings.LastIndexByte(scope, '/')+1:]
}
