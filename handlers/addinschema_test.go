package handlers_test

import (
	"encoding/xml"
	"flag"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"skylift/handlers"
)

// officeSchemas is a folder with Microsoft's schema files (OfficeAppManifestV1_1.xsd and those it
// names), which are not ours to keep here. They are published as appendix A of [MS-OWEMXML], and
// stood until 2020 in github.com/OfficeDev/office-js-docs-pr under docs/overview/schemas.
var officeSchemas = flag.String("office-schemas", "", "`folder` of Office's manifest schemas: hold the manifests against them with xmllint")

// manifestChildren is what the published schema allows inside each element that we use: the names
// of the children in order, each with a space behind it. V1_0 of both kinds of overrides.
var manifestChildren = map[string]map[string]string{
	"TaskPaneApp": {
		"DefaultSettings":  `SourceLocation (RequestedWidth )?(RequestedHeight )?`,
		"VersionOverrides": `(Description )?(Requirements )?(Hosts )?(Resources )?(WebApplicationInfo )?(EquivalentAddins )?`,
		"OfficeApp/Hosts":  `(Host )+`, "OfficeApp/Hosts/Host": ``,
		"Host":              `(AllFormFactors )?(DesktopFormFactor )?`,
		"DesktopFormFactor": `(GetStarted )?(FunctionFile )?(ExtensionPoint )+`,
		"GetStarted":        `Title Description LearnMoreUrl `,
		"Group":             `Label Icon (Control )+`,
		"Action":            `(TaskpaneId )?SourceLocation (Title )?`,
	},
	"MailApp": {
		"FormSettings":     `(Form ){1,2}`,
		"Form":             `DesktopSettings (TabletSettings )?(PhoneSettings )?`,
		"DesktopSettings":  `SourceLocation RequestedHeight `,
		"Rule":             `(Rule )*`,
		"VersionOverrides": `(Description )?(Requirements )?(Hosts )?(Resources )?(VersionOverrides )?`,
		"OfficeApp/Hosts":  `(Host )+`, "OfficeApp/Hosts/Host": ``,
		"Host":              `(DesktopFormFactor )?`,
		"DesktopFormFactor": `(FunctionFile )?(ExtensionPoint )+`,
		"Group":             `Label (Control )+`,
		"Action":            `SourceLocation `,
	},
	"": {
		"AppDomains": `(AppDomain )+`, "Hosts": `(Host )+`, "Requirements": `Sets `, "Sets": `(Set )+`,
		"ExtensionPoint": `(OfficeTab )*(CustomTab )*`, "OfficeTab": `(Group )+`,
		"Control": `Label Supertip Icon Action `, "Supertip": `Title Description `, "Icon": `(Image ){3,}`,
		"Resources": `(Images )?(Urls )?(ShortStrings )?(LongStrings )?`,
		"Images":    `(Image )+`, "Urls": `(Url )+`, "ShortStrings": `(String )+`, "LongStrings": `(String )+`,
	},
}

// checkOrder holds an element and all below it against manifestChildren. What is not in the table
// has no children.
func checkOrder(e element, kind, path string) (wrong []string) {
	name := e.XMLName.Local
	path = strings.TrimPrefix(path+"/"+name, "/")
	want, known := manifestChildren[kind][path]
	if !known {
		want, known = manifestChildren[kind][name]
	}
	if !known {
		want = manifestChildren[""][name]
	}
	if got := strings.Join(append(e.names(), ""), " "); path != "OfficeApp" && !regexp.MustCompile("^(?:"+want+")$").MatchString(got) {
		wrong = append(wrong, path+" holds "+got+"where the schema wants "+want)
	}
	for _, c := range e.Children {
		wrong = append(wrong, checkOrder(c, kind, path)...)
	}
	return wrong
}

// spoiled are faults that the schema refuses, as text to replace.
var spoiled = map[string][2]string{
	"no version":                   {"<Version>1.0.0.0</Version>", ""},
	"a group without a label":      {`<Label resid="Group.Label"/>`, ""},
	"a tooltip before the label":   {`<Title resid="Button.Label"/>`, ""},
	"resources before hosts":       {"<Resources>", "<Hosts/><Resources>"},
	"an action that leads nowhere": {`<SourceLocation resid="Pane.Url"/>`, ""},
	"a word of our own":            {"<OfficeTab ", "<Sky/><OfficeTab "},
}

func TestOfficeManifestsHaveTheSchemasOrder(t *testing.T) {
	for name, text := range officeManifests(t) {
		parse := func(text string) (element, string) {
			var app element
			if err := xml.Unmarshal([]byte(text), &app); err != nil {
				t.Fatal(err)
			}
			return app, app.attr("type")
		}
		app, kind := parse(text)
		for _, wrong := range checkOrder(app, kind, "") {
			t.Errorf("%s: %s", name, wrong)
		}
		for fault, change := range spoiled {
			bad, kind := parse(strings.Replace(text, change[0], change[1], 1))
			if fault != "no version" && len(checkOrder(bad, kind, "")) == 0 {
				t.Errorf("%s with %s passes", name, fault)
			}
		}
	}
}

func TestOfficeManifestsFitThePublishedSchema(t *testing.T) {
	if *officeSchemas == "" {
		t.Skip("needs -office-schemas")
	}
	dir := mendedSchemas(t, *officeSchemas)
	lint := func(text string) (string, error) {
		file := filepath.Join(t.TempDir(), "manifest.xml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("xmllint", "--nonet", "--noout", "--schema", filepath.Join(dir, "OfficeAppManifestV1_1.xsd"), file).CombinedOutput()
		return string(out), err
	}
	for name, text := range officeManifests(t) {
		if out, err := lint(text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for fault, change := range spoiled {
			if out, err := lint(strings.Replace(text, change[0], change[1], 1)); err == nil || !strings.Contains(out, "Schemas validity error") {
				t.Errorf("%s with %s: %v\n%s", name, fault, err, out)
			}
		}
	}
}

// mendedSchemas copies the schema files so that xmllint reads them: as they stand on GitHub they
// give XML Schema's own address with https, have a pattern that is no expression of XML Schema's,
// and lack the file for content add-ins.
func mendedSchemas(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	files, _ := filepath.Glob(filepath.Join(from, "*.xsd"))
	below, _ := filepath.Glob(filepath.Join(from, "*", "*.xsd"))
	files = append(files, below...)
	if len(files) == 0 {
		t.Fatalf("no schema in %s", from)
	}
	const content = "ContentAppVersionOverridesV1_0.xsd"
	texts := map[string]string{content: `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"
		targetNamespace="http://schemas.microsoft.com/office/contentappversionoverrides"><xs:element name="VersionOverrides"/></xs:schema>`}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = strings.NewReplacer("https://www.w3.org/2001/XMLSchema", "http://www.w3.org/2001/XMLSchema", `{0,3}?"`, `{0,3}"`).Replace(string(text))
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// officeManifests are the manifests of a server at an https address.
func officeManifests(t *testing.T) map[string]string {
	t.Helper()
	s := setup(t, func(o *handlers.Options) { o.URL = must(url.Parse("https://skylift.example"))(t) })
	all := map[string]string{}
	for _, name := range []string{"manifest.xml", "manifest-outlook.xml"} {
		all[name] = s.browser().get("/addin/" + name).want(200).body
	}
	return all
}
