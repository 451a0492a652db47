package main

import (
	"cmp"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// arrows are the imports that each package may have among ours; README draws them. A package
// that is not listed may import nothing of ours.
var arrows = map[string][]string{
	"skylift":                       {"auth", "handlers", "onedrive", "onedrive/fakegraph", "onedrive/transfer", "onedrive/transfer/natsd"},
	"skylift/handlers":              {"auth", "handlers/sse", "onedrive", "onedrive/transfer", "static", "views"},
	"skylift/views":                 {"static"},
	"skylift/onedrive/transfer":     {"onedrive"},
	"skylift/onedrive/onedrivetest": {"onedrive", "onedrive/fakegraph"},
}

func TestImportsFollowTheArrows(t *testing.T) {
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
			return fs.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			return nil // no Go files for this system
		}
		path := strings.TrimSuffix("skylift/"+filepath.ToSlash(dir), "/.")
		for _, imp := range p.Imports {
			if to, ours := strings.CutPrefix(imp, "skylift/"); ours && !slices.Contains(arrows[path], to) {
				t.Errorf("%s imports %s: no such arrow in the design", path, imp)
			}
			if imp == "testing" && !strings.HasSuffix(path, "test") && path != "skylift/handlers/e2e" {
				t.Errorf("%s imports testing outside of tests", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mayDial are the only files that may make a way out: each has the guard that its addresses need.
// The stand-in has one for tests; in the demo it is given the guarded one.
var mayDial = []string{"onedrive/fakegraph/fetch.go", "onedrive/client.go", "onedrive/hosts.go", "onedrive/transfer/guard.go", "onedrive/transfer/source.go"}

var dials = regexp.MustCompile(`http\.(Client\{|Transport\{|DefaultClient|DefaultTransport|Get\(|Head\(|Post\(|PostForm\()|net\.(Dial|Dialer\b)`)

// TestOnlyGuardedFilesDial finds a second way out, which would have no guard against addresses
// that lead inside.
func TestOnlyGuardedFilesDial(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (file != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "onedrivetest") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if m := dials.Find(text); m != nil {
			found[filepath.ToSlash(file)] = true
			if !slices.Contains(mayDial, filepath.ToSlash(file)) {
				t.Errorf("%s uses %s: only %v may", file, m, mayDial)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range mayDial {
		if !found[file] {
			t.Errorf("%s makes no way out any more: take it off the list", file)
		}
	}
}

// TestSecurityNamesTestsThatExist keeps the table of threats true.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	table, err := os.ReadFile("handlers/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	err = filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			return cmp.Or(err, fs.SkipDir)
		}
		if strings.HasSuffix(file, "_test.go") {
			text, err := os.ReadFile(file)
			all.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(table), -1)
	for _, name := range names {
		if !strings.Contains(all.String(), "func "+name[1]+"(") {
			t.Errorf("%s is in the table, but there is no such test", name[1])
		}
	}
	if len(names) < 40 {
		t.Errorf("only %d tests are named", len(names))
	}
}
