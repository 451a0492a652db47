package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// underPolicy starts Chromium with what an organisation sets for the extension. Chromium reads that
// below /etc only, so it gets an /etc/chromium of its own, which no other browser sees.
func underPolicy(t testing.TB, settings map[string]any) chromedp.ExecAllocatorOption {
	t.Helper()
	if out, err := exec.Command("unshare", "-rm", "true").CombinedOutput(); err != nil {
		t.Skipf("this machine gives no program a file system of its own: %v %s", err, out)
	}
	dir := t.TempDir()
	managed := filepath.Join(dir, "policies", "managed")
	policy := map[string]any{"3rdparty": map[string]any{"extensions": map[string]any{extensionID: settings}}}
	start := filepath.Join(dir, "chromium")
	script := "#!/bin/sh\nexec unshare -rm sh -c 'mount --bind \"$0\" /etc/chromium && exec " + chromiumPath + " \"$@\"' " + dir + " \"$@\"\n"
	for _, err := range []error{
		os.MkdirAll(managed, 0o755),
		os.WriteFile(filepath.Join(managed, "skylift.json"), need(json.Marshal(policy))(t), 0o644),
		os.WriteFile(start, []byte(script), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return chromedp.ExecPath(start)
}

// An organisation names the server and the notifications: people only press Connect.
func TestExtensionUnderAPolicy(t *testing.T) {
	a := start(t)
	e := extensionIn(t, nil, []chromedp.ExecAllocatorOption{underPolicy(t, map[string]any{"server": a.URL, "notify": "problems"})},
		[]string{"http://localhost/*"})
	e.Tab("").SignIn(a, robin)
	options := e.Tab("options.html")
	eventually(t, "the organisation's server", func() bool {
		return eval[bool](options, `(a => a?.value === '`+a.URL+`' && a.readOnly)(document.querySelector('[data-testid=address]'))`)
	})
	options.WaitVisible("server-fixed")
	if !eval[bool](options, `(n => n.checked && n.matches(':disabled'))(document.querySelector('[data-testid=notify-problems]'))`) {
		t.Error("the notifications are not as the organisation says")
	}
	options.Axe()
	options.FullShot("options")
	options.Front()
	options.Click("connect")
	e.Consent(options).Click("connect")
	options.WaitText("notices", "Connected to "+a.URL)
}
