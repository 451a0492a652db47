package handlers

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/idna"

	"skylift/onedrive/transfer"
	"skylift/views"
)

// rule is the folder of what comes from a site, or is of a kind, when nobody names a folder.
type rule struct {
	Site   string          `json:"site,omitempty"` // a host in ASCII, with its subdomains; "": any
	Kind   fileKind        `json:"kind,omitempty"` // "": any
	Folder transfer.Folder `json:"folder"`
}

// fileKind is what a file is, as far as its ending tells. "" is not known.
type fileKind string

// maxRules is how many rules a person can have.
const maxRules = 50

// ruleFor is the first rule that fits a valid request, by the page that it was found on or the address itself;
// nil when none does.
func ruleFor(rules []rule, r transfer.Request) *rule {
	k, page, source := kindOf(r), siteOf(r.PageURL), siteOf(r.SourceURL)
	for i, rule := range rules {
		if rule.fits(k, page) || rule.fits(k, source) {
			return &rules[i]
		}
	}
	return nil
}

func (r rule) fits(k fileKind, host string) bool {
	return (r.Kind == "" || r.Kind == k) && (r.Site == "" || host == r.Site || strings.HasSuffix(host, "."+r.Site))
}

// same reports whether two rules are for the same things: the later one would never count.
func (r rule) same(o rule) bool { return r.Site == o.Site && r.Kind == o.Kind }

// siteOf is the host of a valid address, or "".
func siteOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Hostname(), ".")
}

// kindOf is the kind of a request's file by the ending of its address, or of its name: files that people
// hand over have no address.
func kindOf(r transfer.Request) fileKind {
	if u, err := url.Parse(r.SourceURL); err == nil {
		if k := kindOfName(u.Path); k != "" {
			return k
		}
	}
	return kindOfName(r.Name)
}

func kindOfName(name string) fileKind {
	ending := strings.ToLower(path.Ext(name))
	if k, ok := kindsByIcon[iconsByExtension[ending]]; ok {
		return k
	}
	if slices.Contains(otherEndings, ending) {
		return "other"
	}
	return ""
}

var kindsByIcon = map[string]fileKind{"image": "picture", "film": "video", "music": "audio", "doc": "document"}

// otherEndings are those of files that are surely none of the above. Most other endings in addresses, such
// as .php, tell nothing of what comes.
var otherEndings = []string{".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".iso", ".dmg", ".pkg", ".exe", ".msi", ".deb", ".rpm", ".apk",
	".json", ".xml", ".psd", ".ai", ".fig", ".sketch", ".blend", ".stl", ".ttf", ".otf", ".woff", ".woff2"}

// readRule reads what a rule is for. problem says what is wrong with it, or "".
func readRule(site, kind string) (r rule, problem string) {
	r.Kind = fileKind(kind)
	if site = strings.TrimSpace(site); site != "" {
		if r.Site = readSite(site); r.Site == "" {
			return r, ruleProblems["site"]
		}
	}
	switch {
	case kindWords(r.Kind) == "":
		return r, ruleProblems["kind"]
	case r.Site == "" && r.Kind == "":
		return r, ruleProblems["empty"]
	}
	return r, ""
}

// readSite is the host that somebody names a site by, perhaps by the address of a page of it; "" for none.
func readSite(s string) string {
	s = strings.TrimPrefix(s, "*.")
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := transfer.ParseSourceURL(s)
	if err != nil {
		return ""
	}
	host := siteOf(u.String())
	if short, ok := strings.CutPrefix(host, "www."); ok && strings.Contains(short, ".") {
		return short
	}
	return host
}

// words are what the rule is for, as people read it.
func (r rule) words() string {
	site, err := idna.Display.ToUnicode(r.Site)
	switch {
	case err != nil:
		site = r.Site
	case r.Site == "":
		return kindWords(r.Kind)
	}
	return kindWords(r.Kind) + " from " + site
}

// kindWords are the words for a kind; "" for one that is none.
func kindWords(k fileKind) string {
	for _, l := range views.Kinds() {
		if l.URL == string(k) {
			return l.Text
		}
	}
	return ""
}

func (r rule) view() views.Rule {
	return views.Rule{Site: r.Site, Kind: string(r.Kind), Words: r.words(), Folder: folderName(r.Folder)}
}

// setRule adds a rule as the last one, or gives the one for the same things its folder.
func (p *prefs) setRule(r rule) {
	if i := slices.IndexFunc(p.Rules, r.same); i >= 0 {
		p.Rules[i] = r
		return
	}
	p.Rules = append(p.Rules, r)
}

// full reports whether there is no room for a rule.
func (p *prefs) full(r rule) bool {
	return len(p.Rules) >= maxRules && !slices.ContainsFunc(p.Rules, r.same)
}

// addRule serves POST /settings/rules: a rule, once its folder is chosen; before that, on to choosing it.
func (h *Handler) addRule(c echo.Context) error {
	ctx := c.Request().Context()
	site, kind := c.FormValue("site"), c.FormValue("kind")
	p, err := h.prefs(ctx, owner(c))
	if err != nil {
		return err
	}
	r, problem := readRule(site, kind)
	if problem == "" && p.full(r) {
		problem = ruleProblems["full"]
	}
	switch {
	case problem != "":
		return h.showSettings(c, http.StatusUnprocessableEntity, views.Settings{RuleBad: problem, Rule: views.Rule{Site: cut(site, transfer.MaxURL), Kind: kind}})
	case c.FormValue("folder") == "":
		return seeOther(c, views.FoldersURL("", "", "", "", views.RuleURL(r.Site, string(r.Kind))))
	}
	if r.Folder, err = h.folderOfForm(c); err != nil {
		return err
	}
	return h.changePrefs(c, rulesPath, func(p *prefs) { p.setRule(r) })
}

// rulesPath is where the rules stand on the settings page.
const rulesPath = "/settings#rules"

// raiseRule serves POST /settings/rules/up: the rule changes places with the one before it.
func (h *Handler) raiseRule(c echo.Context) error {
	return h.changeRule(c, func(p *prefs, i int) {
		if i > 0 {
			p.Rules[i-1], p.Rules[i] = p.Rules[i], p.Rules[i-1]
		}
	})
}

// deleteRule serves POST /settings/rules/delete.
func (h *Handler) deleteRule(c echo.Context) error {
	return h.changeRule(c, func(p *prefs, i int) { p.Rules = slices.Delete(p.Rules, i, i+1) })
}

// changeRule changes the rule that a form names by what it is for: a page that is old by now may count
// the rules otherwise. One that is gone already needs no change.
func (h *Handler) changeRule(c echo.Context, change func(p *prefs, i int)) error {
	named := rule{Site: c.FormValue("site"), Kind: fileKind(c.FormValue("kind"))}
	return h.changePrefs(c, rulesPath, func(p *prefs) {
		if i := slices.IndexFunc(p.Rules, named.same); i >= 0 {
			change(p, i)
		}
	})
}
