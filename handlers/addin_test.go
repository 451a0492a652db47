package handlers_test

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"skylift/handlers"
)

// element is any element of a manifest.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// walk calls f for e and everything below it.
func (e element) walk(f func(element)) {
	f(e)
	for _, c := range e.Children {
		c.walk(f)
	}
}

func (e element) names() (list []string) {
	for _, c := range e.Children {
		list = append(list, c.XMLName.Local)
	}
	return list
}

// The schema is a sequence: Office refuses elements in another order. These are the orders of
// https://learn.microsoft.com/office/dev/add-ins/develop/xml-manifest-overview.
var manifestOrders = map[string][]string{
	"TaskPaneApp": {"Id", "Version", "ProviderName", "DefaultLocale", "DisplayName", "Description", "IconUrl", "HighResolutionIconUrl", "SupportUrl", "AppDomains", "Hosts", "DefaultSettings", "Permissions", "VersionOverrides"},
	"MailApp":     {"Id", "Version", "ProviderName", "DefaultLocale", "DisplayName", "Description", "IconUrl", "HighResolutionIconUrl", "SupportUrl", "AppDomains", "Hosts", "Requirements", "FormSettings", "Permissions", "Rule", "DisableEntityHighlighting", "VersionOverrides"},
}

// What no schema says: limits, references and addresses, as Microsoft documents them.
func TestOfficeManifestsAreAsDocumented(t *testing.T) {
	at, _ := url.Parse("https://skylift.example:8443")
	s := setup(t, func(o *handlers.Options) { o.URL = at })
	guid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	ids := map[string]bool{}
	for name, kind := range map[string]string{"manifest.xml": "TaskPaneApp", "manifest-outlook.xml": "MailApp"} {
		t.Run(name, func(t *testing.T) {
			got := s.browser().get("/addin/" + name).want(200)
			var app element
			if err := xml.Unmarshal([]byte(got.body), &app); err != nil {
				t.Fatal(err)
			}
			if app.XMLName.Space != "http://schemas.microsoft.com/office/appforoffice/1.1" || app.attr("type") != kind {
				t.Errorf("it is a %s of %s", app.attr("type"), app.XMLName.Space)
			}
			if got, want := app.names(), manifestOrders[kind]; !slices.Equal(got, want) {
				t.Errorf("elements in the order\n%v, want\n%v", got, want)
			}
			if id := app.Children[0].Text; !guid.MatchString(id) || ids[id] {
				t.Errorf("Id = %q", id)
			}
			ids[app.Children[0].Text] = true
			if again := s.browser().get("/addin/" + name); again.body != got.body {
				t.Error("the same server gives another manifest: installed add-ins would break")
			}
			checkManifest(t, s, app)
		})
	}
}

func checkManifest(t *testing.T, s *site, app element) {
	t.Helper()
	limits := map[string]int{"ShortStrings": 125, "LongStrings": 250}
	defined, used := map[string]bool{}, map[string]bool{}
	app.walk(func(e element) {
		if id := e.attr("resid"); id != "" {
			used[id] = true
			if len(id) > 32 {
				t.Errorf("resid %q has more than 32 characters", id)
			}
		}
		if limit := limits[e.XMLName.Local]; limit > 0 {
			for _, c := range e.Children {
				if n := len([]rune(c.attr("DefaultValue"))); n == 0 || n > limit {
					t.Errorf("%s: %d characters, want 1 to %d", c.attr("id"), n, limit)
				}
			}
		}
		if e.XMLName.Space == "http://schemas.microsoft.com/office/officeappbasictypes/1.0" && e.attr("id") != "" {
			defined[e.attr("id")] = true
		}
		value := e.attr("DefaultValue")
		if strings.Contains(e.XMLName.Local, "Url") || e.XMLName.Local == "SourceLocation" && value != "" || e.XMLName.Local == "Image" && value != "" {
			if value == "" {
				return // by resid
			}
			if !strings.HasPrefix(value, "https://skylift.example:8443/") {
				t.Errorf("%s leads to %q", e.XMLName.Local, value)
			}
			answer := s.browser().get(strings.TrimPrefix(value, "https://skylift.example:8443")).want(http.StatusOK)
			if strings.HasSuffix(value, ".png") && (answer.header("Content-Type") != "image/png" || strings.Contains(answer.header("Cache-Control"), "no-")) {
				t.Errorf("icon %s: %s, %s; Office shows only pictures that may be kept", value, answer.header("Content-Type"), answer.header("Cache-Control"))
			}
		}
	})
	for id := range used {
		if !defined[id] {
			t.Errorf("resource %q is used and not there", id)
		}
	}
	for id := range defined {
		if !used[id] {
			t.Errorf("resource %q is there and not used", id)
		}
	}
	for _, size := range []string{"16", "32", "80"} {
		if !used["Icon."+size] {
			t.Errorf("no icon of %s pixels", size)
		}
	}
}

func TestOfficeScriptsRunOnOfficePagesOnly(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for _, r := range s.handler.Routes() {
		if r.Method != "GET" || strings.HasSuffix(r.Path, "/events") {
			continue
		}
		policy := b.get(fill(r.Path, "01K0000000000000000000000A")).header("Content-Security-Policy")
		want := r.Path == "/panel/office" || r.Path == "/auth/office/done"
		if got := strings.Contains(policy, "https://appsforoffice.microsoft.com"); got != want {
			t.Errorf("%s lets Office.js run: %v, want %v", r.Path, got, want)
		}
		if strings.Contains(policy, "unsafe") != want || strings.Contains(policy, "unsafe-eval") || strings.Contains(policy, "script-src 'self' 'unsafe") {
			t.Errorf("%s: %s", r.Path, policy)
		}
	}
	if at := s.browser().get("/auth/office?c=" + newPanel().challenge).want(303).header("Location"); !strings.HasPrefix(at, s.microsoft.LoginURL) {
		t.Errorf("Office's dialog goes to %q", at)
	}
}
