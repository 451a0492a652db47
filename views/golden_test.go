package views_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"skylift/views"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGallery compares each component in each state with its golden file. After a wanted change:
// go test ./views -update, and look at the difference as at a page.
func TestGallery(t *testing.T) {
	samples := views.Gallery()
	for _, s := range samples {
		t.Run(s.Name, func(t *testing.T) {
			var b bytes.Buffer
			if err := s.View.Render(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			got := pretty(t, b.String())
			file := filepath.Join("testdata", s.Name+".html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s:\n%s", file, firstDifference(string(want), got))
			}
		})
	}
	files, _ := filepath.Glob("testdata/*.html")
	if len(files) != len(samples) {
		t.Errorf("%d golden files for %d samples", len(files), len(samples))
	}
}

// hashes in addresses of files change with every change of a style: they are no part of a component.
var hashes = regexp.MustCompile(`-[0-9a-f]{12}(\.\w+)`)

// pretty puts each tag on a line of its own, so that a difference is a line.
func pretty(t *testing.T, s string) string {
	t.Helper()
	s = hashes.ReplaceAllString(s, "$1")
	var b strings.Builder
	depth := 0
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return b.String()
		}
		raw := strings.TrimSpace(string(z.Raw()))
		name, _ := z.TagName()
		if raw == "" {
			continue
		}
		if kind == html.EndTagToken {
			depth--
		}
		b.WriteString(strings.Repeat("  ", max(depth, 0)) + raw + "\n")
		if kind == html.StartTagToken && !strings.Contains(" input img meta link br use ", " "+string(name)+" ") {
			depth++
		}
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "want " + w[i] + "\ngot  " + g[i]
		}
	}
	return "one is longer"
}

func TestNothingHostileComesThrough(t *testing.T) {
	for _, payload := range []string{
		`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `</textarea><script>alert(1)</script>`,
		`</title><svg onload=alert(1)>`, "\u202Egpj.exe", `{{constructor.constructor('alert(1)')()}}`, "a\u2028b\x00c", `<!--`, `]]>`,
	} {
		row := views.Row{ID: "x", Name: payload, State: "failed", Words: payload, Source: payload, Link: payload, Page: payload, Alt: payload,
			PageLink: "javascript:alert(1)//" + payload, Folder: payload, Open: "data:text/html," + payload, Problem: &views.Notice{What: payload, Do: payload}}
		form := views.SaveForm{Text: payload, Name: payload, Folders: []views.Folder{{Value: payload, Path: payload}},
			Lines: []views.Line{{Text: payload, Said: payload, URL: payload, Again: true, Open: "javascript:alert(1)"}}}
		picker := views.Picker{Query: payload, Found: true, NewName: payload, Folders: []views.Folder{{Name: payload, URL: "/folders"}}}
		var b bytes.Buffer
		page := views.Page{Title: payload, User: &views.User{Name: payload, Username: payload}}
		if err := views.Home(page, form, views.List{Rows: []views.Row{row}}).Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if err := views.PickerBody(picker).Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		root, err := html.Parse(&b)
		if err != nil {
			t.Fatal(err)
		}
		checkHarmless(t, payload, root)
	}
}

// checkHarmless looks at the parsed page as a browser would: no script but our files, no handler,
// no address that runs.
func checkHarmless(t *testing.T, payload string, root *html.Node) {
	t.Helper()
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "script" && n.FirstChild != nil || n.Data == "svg" && len(n.Attr) != 3 {
			t.Errorf("%q made an element <%s>", payload, n.Data)
		}
		for _, a := range n.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%q made an attribute %s=%q", payload, a.Key, a.Val)
			}
			if (a.Key == "href" || a.Key == "src" || a.Key == "action") && (strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:")) {
				t.Errorf("%q made an address %q", payload, a.Val)
			}
		}
	}
}
