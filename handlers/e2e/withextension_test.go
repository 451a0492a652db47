package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/extensions"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

const (
	extensionSource = "../../static/extension"
	extensionID     = "bjgecgimfofkefcmdobdciomjkpnaeno" // follows from the manifest's key
	extensionBase   = "chrome-extension://" + extensionID + "/"
)

// extension is a Chromium of its own with our extension in it.
type extension struct {
	t       testing.TB
	ctx     context.Context
	display *display // nil: headless
}

// withExtension starts a Chromium with the extension. Headless browsers cannot show the prompt
// for a permission, so the hosts (match patterns) are granted from the start there; on a display
// the extension is as it is shipped.
func withExtension(t testing.TB, d *display, hosts ...string) *extension {
	t.Helper()
	return extensionIn(t, d, nil, hosts)
}

// extensionIn is withExtension in a Chromium that is started in a special way.
func extensionIn(t testing.TB, d *display, special []chromedp.ExecAllocatorOption, hosts []string) *extension {
	t.Helper()
	options := append(special, chromedp.Flag("disable-extensions", false))
	if d != nil {
		options = append(options, chromedp.Flag("headless", false), chromedp.Flag("hide-scrollbars", false), chromedp.Flag("enable-automation", false),
			chromedp.Flag("window-position", "0,0"), chromedp.Env("DISPLAY="+d.Name))
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(suite, chromiumOptions(newProfile(t), options...)...)
	t.Cleanup(stopAllocator)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil { // starts it: no deadline
		t.Fatalf("start chromium: %v", err)
	}
	e := &extension{t: t, ctx: ctx, display: d}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	loaded, err := chromedp.CallBrowser(limited, extensions.LoadUnpacked, extensions.LoadUnpackedParams{Path: unpacked(t, hosts)})
	if err != nil || loaded.ID != extensionID {
		t.Fatalf("load the extension: %q, %v", loaded.ID, err)
	}
	return e
}

// unpacked is a copy of the extension that has the hosts as granted permissions.
func unpacked(t testing.TB, hosts []string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(extensionSource)); err != nil {
		t.Fatal(err)
	}
	if len(hosts) == 0 {
		return dir
	}
	file := filepath.Join(dir, "manifest.json")
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]any
	if err := json.Unmarshal(body, &manifest); err != nil {
		t.Fatal(err)
	}
	manifest["host_permissions"] = hosts
	if body, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// in is the same browser for a part of its test: pages that it opens close with that part.
func (e *extension) in(t testing.TB) *extension {
	part := *e
	part.t = t
	return &part
}

// Tab opens an address in a new tab; a path without a scheme is a page of the extension.
func (e *extension) Tab(url string, looks ...look) *Page {
	e.t.Helper()
	if url != "" && !strings.Contains(url, "://") {
		url = extensionBase + url
	}
	return openIn(e.t, e.ctx, url, looks, chromedp.WithNewWindow(false))
}

// targets are all targets of the browser, also those that chromedp does not count as pages.
func (e *extension) targets() []*target.Info {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	got, err := chromedp.CallBrowser(ctx, target.GetTargets, target.GetTargetsParams{Filter: target.Filter{{}}})
	if err != nil {
		e.t.Fatalf("list targets: %v", err)
	}
	return got.TargetInfos
}

// Wait attaches to the first target of a kind (page, iframe, service_worker) whose address
// contains part, once there is one.
func (e *extension) Wait(kind, part string) *Page {
	e.t.Helper()
	var id target.ID
	eventually(e.t, kind+" "+part, func() bool {
		for _, info := range e.targets() {
			if info.Type == kind && strings.Contains(info.URL, part) {
				id = info.TargetID
				return true
			}
		}
		return false
	})
	return attach(e.t, e.ctx, &Page{}, chromedp.WithTargetID(id))
}

// Consent is the page that asks whether the browser may connect. Chromium loses its window now and then,
// mostly on a busy machine: then options offers a tab.
func (e *extension) Consent(options *Page) *Page {
	e.t.Helper()
	eventually(e.t, "the page that asks for consent", func() bool {
		for _, info := range e.targets() {
			if info.Type == "page" && strings.Contains(info.URL, "/ext/connect?") {
				return true
			}
		}
		if eval[bool](options, `!!document.querySelector('[data-testid="in-tab"]')`) {
			e.t.Log("the browser lost a window")
			options.Click("in-tab")
		}
		return false
	})
	return e.Wait("page", "/ext/connect?")
}

// WaitClosed waits until no page's address contains part.
func (e *extension) WaitClosed(part string) {
	e.t.Helper()
	eventually(e.t, part+" to close", func() bool {
		for _, info := range e.targets() {
			if info.Type == "page" && strings.Contains(info.URL, part) {
				return false
			}
		}
		return true
	})
}

// Worker is the extension's background, once it runs.
func (e *extension) Worker() *Page {
	e.t.Helper()
	w := e.Wait("service_worker", extensionBase)
	eventually(e.t, "the background to be ready", func() bool {
		return eval[bool](w, `typeof chrome === 'object' && !!chrome.contextMenus?.onClicked.hasListeners()`)
	})
	return w
}

// Connect signs login in and connects the extension to the server as a person does: address,
// button, consent page.
func (e *extension) Connect(a *app, login string) {
	e.t.Helper()
	site := e.Tab("")
	site.Allow("ERR_INCOMPLETE_CHUNKED_ENCODING") // its event stream breaks with the server
	site.SignIn(a, login)
	options := e.Tab("options.html")
	e.ConnectOn(options, a)
	options.WaitText("account", "Demo")
	site.Close()
	options.Close()
}

// ConnectOn connects on an options page, with the person signed in.
func (e *extension) ConnectOn(options *Page, a *app) {
	e.t.Helper()
	options.Front()
	options.Fill("address", a.URL)
	options.Click("connect")
	if e.display != nil {
		e.allowPrompt()
	}
	consent := e.Consent(options)
	consent.WaitText("account", "Demo")
	consent.Shot("consent")
	consent.Click("connect")
	options.WaitText("notices", "Connected to "+a.URL)
}

// allowPrompt answers the browser's own question for a permission with yes. The question takes no
// key in its first half second, against clicks that were meant for something else.
func (e *extension) allowPrompt() {
	e.t.Helper()
	d := e.display
	eventually(e.t, "the browser's question", d.dimmed)
	d.Do("sleep 0.7")
	before := d.top()
	d.Until("key Tab", "the focus to be on Allow", func() bool { return d.top() != before })
	d.Until("key Return", "the question to be gone", func() bool { return !d.dimmed() })
}

// menu clicks an entry of our context menu by the browser's event: for headless browsers, which
// have no menu to click in. The test of the real menu is TestExtensionInTheRealMenu.
func (e *extension) menu(worker *Page, entry string, info map[string]any, on *Page) {
	e.t.Helper()
	info["menuItemId"], info["editable"] = entry, false
	info["pageUrl"] = on.URL()
	detail, err := json.Marshal(info)
	if err != nil {
		e.t.Fatal(err)
	}
	eval[bool](worker, `chrome.tabs.query({}).then(tabs => {
		const tab = tabs.find(t => t.url === `+strconv.Quote(on.URL())+`) ?? {id: -1, windowId: 1};
		chrome.contextMenus.onClicked.dispatch(`+string(detail)+`, {...tab, title: `+strconv.Quote(eval[string](on, `document.title`))+`});
		return true
	})`)
}
