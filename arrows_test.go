package main

import (
	"go/build"
	"io/fs"
	"path/filepath"
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
