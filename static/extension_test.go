package static

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The sign-in of the extension rests on its ids: the server hands keys to these and to nobody else.
func TestExtensionKeepsItsIdentity(t *testing.T) {
	m := manifest(t)
	der, err := base64.StdEncoding.DecodeString(m.Key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	id := strings.Map(func(r rune) rune { return 'a' + rune(strings.IndexRune("0123456789abcdef", r)) }, hex.EncodeToString(sum[:16]))
	if want := "bjgecgimfofkefcmdobdciomjkpnaeno"; id != want {
		t.Errorf("the key makes the Chromium id %s, want %s", id, want)
	}
	if got, want := m.BrowserSpecificSettings.Gecko.ID, "extension@skylift"; got != want {
		t.Errorf("the Firefox id is %s, want %s", got, want)
	}
}

// Each permission is one more thing to trust us with: a new one needs its line on the install page.
func TestExtensionAsksForNoMorePermissions(t *testing.T) {
	m := manifest(t)
	want := []string{"activeTab", "alarms", "contextMenus", "identity", "notifications", "scripting", "sidePanel", "storage"}
	got := slices.Sorted(slices.Values(m.Permissions))
	if !slices.Equal(got, want) {
		t.Errorf("permissions are %v, want %v", got, want)
	}
	for name, list := range map[string]int{"host_permissions": len(m.HostPermissions), "content_scripts": len(m.ContentScripts), "web_accessible_resources": len(m.WebAccessible)} {
		if list != 0 {
			t.Errorf("the manifest has %d %s, want none", list, name)
		}
	}
	if m.ExternallyConnectable != nil {
		t.Error("web pages must not be able to send messages to the extension")
	}
}

func TestExtensionIsPlain(t *testing.T) {
	files := Extension()
	inline := regexp.MustCompile(`(?i)<script>|<script [^>]*>[^<]|<style|\son[a-z]+\s*=|\sstyle\s*=|javascript:`)
	outside := regexp.MustCompile(`\b(chrome|browser)\.[a-z]+\.[a-z]+|globalThis\.(chrome|browser)`)
	risky := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|importScripts`)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, "test/") || strings.Contains(name, ".test.") {
			t.Errorf("%s: a test is shipped", name)
		}
		switch path.Ext(name) {
		case ".html":
			if found := inline.FindString(string(body)); found != "" {
				t.Errorf("%s: inline script or style %q", name, found)
			}
		case ".js":
			if found := outside.FindString(string(body)); found != "" && name != "browser.js" {
				t.Errorf("%s: uses the browser's API (%s); only browser.js may", name, found)
			}
			if found := risky.FindString(string(body)); found != "" {
				t.Errorf("%s: %s makes code or markup of text", name, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

type extensionManifest struct {
	Key                     string
	Permissions             []string
	HostPermissions         []string        `json:"host_permissions"`
	ContentScripts          []any           `json:"content_scripts"`
	WebAccessible           []any           `json:"web_accessible_resources"`
	ExternallyConnectable   json.RawMessage `json:"externally_connectable"`
	BrowserSpecificSettings struct {
		Gecko struct{ ID string }
	} `json:"browser_specific_settings"`
}

func manifest(t *testing.T) extensionManifest {
	t.Helper()
	body, err := fs.ReadFile(Extension(), "manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m extensionManifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}
