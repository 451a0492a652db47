package static_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"skylift/static"
)

func get(address string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r, _ := http.NewRequest("GET", address, nil)
	static.Handler().ServeHTTP(w, r)
	return w
}

func TestEveryFileIsServedByItsHashedAddress(t *testing.T) {
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	seen := 0
	err := fs.WalkDir(static.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		seen++
		w := get(static.URL(name))
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d, %q", static.URL(name), w.Code, w.Header().Get("Cache-Control"))
		}
		if want := types[path.Ext(name)]; want != "" && w.Header().Get("Content-Type") != want {
			t.Errorf("%s is %q", name, w.Header().Get("Content-Type"))
		}
		content, _ := fs.ReadFile(static.FS(), name)
		if w.Body.String() != string(content) {
			t.Errorf("%s is served with other bytes", name)
		}
		return nil
	})
	if err != nil || seen < 8 {
		t.Errorf("%d files, %v", seen, err)
	}
}

func TestOldAndWrongAddressesFindNothing(t *testing.T) {
	for _, address := range []string{"/static/js/live-000000000000.js", "/static/", "/static/js", "/static/js/", "/static/../static.go", "/static/static.go", "/static/js/nope.js"} {
		if w := get(address); w.Code != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", address, w.Code)
		}
	}
	if w := get("/static/js/live.js"); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("a plain name: %d %q, want to be asked for again", w.Code, w.Header().Get("Cache-Control"))
	}
}

func TestVendoredFilesAreThoseOfTheNotice(t *testing.T) {
	notice, _ := fs.ReadFile(static.FS(), "vendor/NOTICE")
	sums := regexp.MustCompile(`(?m)^(\S+\.(?:js|css))\n(?:  .*\n)*?  sha256 ([0-9a-f]{64})$`).FindAllSubmatch(notice, -1)
	named := map[string]string{}
	for _, m := range sums {
		named[string(m[1])] = string(m[2])
	}
	files, _ := fs.ReadDir(static.FS(), "vendor")
	for _, f := range files {
		if f.Name() == "NOTICE" {
			continue
		}
		content, _ := fs.ReadFile(static.FS(), "vendor/"+f.Name())
		sum := sha256.Sum256(content)
		if got := hex.EncodeToString(sum[:]); named[f.Name()] != got {
			t.Errorf("%s has the sum %s, the notice says %q", f.Name(), got, named[f.Name()])
		}
	}
	if len(named) != len(files)-1 {
		t.Errorf("the notice names %d files of %d", len(named), len(files)-1)
	}
}

// TestScriptsKeepToThePolicy looks for what the Content-Security-Policy would stop at run time.
func TestScriptsKeepToThePolicy(t *testing.T) {
	forbidden := []string{"eval(", "new Function", "innerHTML =", "document.write", ".style.", "setAttribute('style'", "setAttribute('on"}
	scripts, _ := fs.Glob(static.FS(), "js/*.js")
	for _, name := range scripts {
		content, _ := fs.ReadFile(static.FS(), name)
		for _, word := range forbidden {
			if strings.Contains(string(content), word) {
				t.Errorf("%s has %q", name, word)
			}
		}
	}
}

func TestEveryIconThatPagesNameIsInTheSprite(t *testing.T) {
	sprite, _ := fs.ReadFile(static.FS(), "icons.svg")
	for _, name := range []string{"mark", "microsoft", "arrow-up", "check", "alert", "clock", "stop", "info", "folder", "folder-shared", "folder-plus",
		"image", "film", "music", "doc", "archive", "file", "home", "open", "copy", "retry", "undo", "cross", "trash", "search", "gear", "user", "device", "key"} {
		if !strings.Contains(string(sprite), `<symbol id="`+name+`"`) {
			t.Errorf("no icon %q", name)
		}
	}
}
