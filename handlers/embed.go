package handlers

import (
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// noAncestors is the frame-ancestors of every page that nobody may frame.
const noAncestors = "'none'"

// officeHosts are the pages that Office on the web shows add-in panels in. Microsoft publishes no
// list; this one is put together from its documentation of Teams and from what add-ins met.
var officeHosts = []string{
	"https://*.officeapps.live.com", "https://*.office.com", "https://*.office365.com",
	"https://*.microsoft365.com", "https://*.cloud.microsoft", "https://*.sharepoint.com",
	"https://outlook.live.com", "https://outlook.office.com", "https://outlook.office365.com", "https://onedrive.live.com",
}

// extensionPages are our own extension's pages: its side panel frames /panel. Firefox gives an
// extension another origin in each profile, so there the scheme has to do.
var extensionPages = []string{extensionOrigin, "moz-extension:"}

// embedRules say who may frame the panel and who may talk with it.
type embedRules struct {
	ancestors string   // the frame-ancestors of framed routes
	origins   []string // named one by one: these may use the panel's postMessage API
	office    bool     // Office's hosts are among the ancestors
}

// newEmbedRules reads SKYLIFT_EMBED_ORIGINS: origins, and the word office.
func newEmbedRules(list []string) embedRules {
	var rules embedRules
	for _, o := range list {
		if o == "office" {
			rules.office = true
			continue
		}
		rules.origins = append(rules.origins, strings.ToLower(strings.TrimSuffix(o, "/")))
	}
	ancestors := slices.Concat(extensionPages, rules.origins)
	if rules.office {
		ancestors = append(ancestors, officeHosts...)
	}
	rules.ancestors = strings.Join(ancestors, " ")
	return rules
}

// windowRules sets on a route's answers whether they may stand in a frame and whether they keep
// the window that opened them. It comes before anything that can fail, so that errors show there too.
func (h *Handler) windowRules(r route, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Response().Header()
		if r.framed {
			h.setHeaders(header, h.embed.ancestors)
		}
		if r.office {
			allowOffice(header)
		}
		if r.opener {
			header.Del("Cross-Origin-Opener-Policy")
		}
		return next(c)
	}
}
