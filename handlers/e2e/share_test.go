package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

func TestSkyliftCanBeInstalled(t *testing.T) {
	a, p := signedIn(t, robin)
	p.Open(a.URL + "/")
	p.call("installability", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		m, err := cdp.Call(ctx, tab, page.GetAppManifest, page.GetAppManifestParams{})
		if err != nil {
			return err
		}
		for _, e := range m.Errors {
			t.Errorf("manifest: %s (line %d)", e.Message, e.Line)
		}
		var manifest struct {
			Share struct{ Action, Method string } `json:"share_target"`
			Icons []struct{ Src, Sizes, Purpose string }
		}
		if err := json.Unmarshal([]byte(m.Data), &manifest); err != nil {
			return err
		}
		if manifest.Share.Action != "/save" || manifest.Share.Method != "POST" || len(manifest.Icons) != 3 {
			t.Errorf("manifest = %+v", manifest)
		}
		r, err := cdp.Call(ctx, tab, page.GetInstallabilityErrors, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, e := range r.InstallabilityErrors {
			if e.ErrorID != "in-incognito" { // the test's profile is one
				t.Errorf("not installable: %s %v", e.ErrorID, e.ErrorArguments)
			}
		}
		return nil
	}))
	for _, icon := range []string{"app-192.png", "app-512.png"} {
		if n := eval[int](p, `fetch('/static/icons/`+icon+`').then(r => r.blob()).then(b => createImageBitmap(b)).then(i => i.width)`); n != 192 && n != 512 {
			t.Errorf("%s is %d wide", icon, n)
		}
	}
}

// No share sheet can be pressed here. The form that the system would send is made from what the
// web manifest says, so a field of another name in one of them shows.
func TestWhatAShareSheetSendsArrives(t *testing.T) {
	a, p := signedIn(t, robin)
	share := func(values string) {
		t.Helper()
		p.Open(a.URL + "/settings")
		eval[bool](p, `(async () => {
			const { share_target: target } = await (await fetch('/manifest.webmanifest')).json();
			const form = Object.assign(document.createElement('form'), { action: target.action, method: target.method, enctype: target.enctype });
			const shared = `+values+`;
			for (const [what, name] of Object.entries(target.params)) {
				if (!shared[what]) continue;
				const field = Object.assign(document.createElement('input'), { name: what === 'files' ? name[0].name : name });
				if (what === 'files') {
					const data = new DataTransfer();
					shared.files.forEach((f) => data.items.add(f));
					field.type = 'file';
					field.multiple = true;
					field.files = data.files;
				} else field.value = shared[what];
				form.append(field);
			}
			document.body.append(form);
			setTimeout(() => form.submit());
			return true;
		})()`)
	}
	share(`{ title: 'Two', files: [new File(['the first'], 'one.txt', { type: 'text/plain' }), new File([new Uint8Array(300000)], 'two.jpg', { type: 'image/jpeg' })] }`)
	p.WaitFinal("one.txt", "completed")
	p.WaitFinal("two.jpg", "completed")
	if one, two := a.Drive(robin).WaitFile("/one.txt"), a.Drive(robin).WaitFile("/two.jpg"); string(one) != "the first" || len(two) != 300000 {
		t.Errorf("arrived: %q and %d bytes", one, len(two))
	}
	share(`{ title: 'Meadow', text: 'look ` + a.sample("meadow.jpg") + `' }`)
	p.WaitURL("/save?")
	p.WaitCSS("#urls")
	if got := eval[string](p, `document.getElementById('urls').value`); got != a.sample("meadow.jpg") {
		t.Errorf("the form holds %q", got)
	}
	p.Axe()
	p.Shot("shared-link")
	p.Open(a.URL + "/")
	if n := p.Count("transfer"); n != 2 {
		t.Errorf("%d transfers, want the 2 files: a shared link is saved when the person says so", n)
	}
}

func TestSaveButtonOnAForeignPage(t *testing.T) {
	s := newFramedSite(t, "", nil)
	browser := s.ca.ownBrowser(cookiesBlocked)
	picture := s.microsoft.sample("meadow.jpg")
	shop := s.ca.Serve("shop.test", htmlPage(`<!doctype html><html lang="en"><title>A shop</title><main><h1>Pictures</h1>
		<a data-testid="save" data-skylift-url="`+picture+`" data-skylift-filename="Alps.jpg">Save to OneDrive</a></main>
		<script src="`+s.origin+`/embed.js"></script>
		<script>window.got = []; for (const n of ['progress', 'success', 'cancel', 'error']) document.addEventListener('skylift:' + n, (e) => got.push([n, e.detail]));</script>`))
	outer := openIn(t, browser, shop+"/", nil)
	outer.Axe()
	told := func(event string) {
		t.Helper()
		eventually(t, event, func() bool { return eval[bool](outer, `got.some(([n]) => n === '`+event+`')`) })
	}
	outer.Click("save")
	closed := waitTarget(t, browser, "page", s.origin+"/save/button")
	closed.Axe()
	closed.Shot("signed-out")
	closed.Allow(".")
	closed.Click("button-cancel")
	told("cancel")

	outer.Click("save")
	window := waitTarget(t, browser, "page", s.origin+"/save/button")
	window.WaitText("button-host", "shop.test")
	window.Click("button-sign-in")
	microsoft := waitTarget(t, browser, "page", s.microsoft.URL+"/demo/")
	microsoft.Allow(".")
	microsoft.Click("account-" + robin)
	window.WaitVisible("button-save")
	window.WaitText("button-host", "shop.test")
	window.Axe()
	window.Shot("confirm")
	if names := s.microsoft.Drive(robin).Names(""); strings.Contains(strings.Join(names, " "), "Alps") {
		t.Error("it was saved before the person said so")
	}
	eventually(t, "the button to take a click", func() bool { return eval[bool](window, `!document.querySelector('[data-form] button').disabled`) })
	window.Click("button-save")
	window.WaitText("button-say", "Saved: Alps.jpg")
	window.Shot("saved")
	told("success")
	s.microsoft.Drive(robin).WaitFile("/Alps.jpg")
	if got := eval[string](outer, `JSON.stringify(got.filter(([n]) => n === 'success').map(([, d]) => d))`); got != `[{"url":"`+picture+`","name":"Alps.jpg"}]` {
		t.Errorf("the page was told %s", got)
	}
}

// A bookmarklet is not the page's own script, so only a click in a real bookmarks bar shows
// whether a page with a strict policy stops it.
func TestBookmarkletOnAPageWithAStrictPolicy(t *testing.T) {
	a, p := signedIn(t, robin)
	p.Open(a.URL + "/settings")
	code := eval[string](p, `document.querySelector('[data-bookmarklet]').getAttribute('href')`)
	strict := site(t, map[string]string{"/a.html": `<!doctype html><html lang="en"><title>Strict</title><h1>Strict</h1>`}, "Content-Security-Policy", "default-src 'none'; script-src 'self'")
	profile := newProfile(t)
	if err := os.MkdirAll(profile+"/Default", 0o700); err != nil {
		t.Fatal(err)
	}
	mark, _ := json.Marshal(map[string]any{"version": 1, "roots": map[string]any{
		"bookmark_bar": map[string]any{"type": "folder", "id": "1", "name": "bar", "children": []any{map[string]any{"type": "url", "id": "4", "name": "SaveItToOneDrive", "url": code}}},
		"other":        map[string]any{"type": "folder", "id": "2", "name": "other", "children": []any{}},
		"synced":       map[string]any{"type": "folder", "id": "3", "name": "synced", "children": []any{}}}})
	for name, content := range map[string]string{"Bookmarks": string(mark), "Preferences": `{"bookmark_bar":{"show_on_all_tabs":true,"show_apps_shortcut":false,"show_tab_groups":false}}`} {
		if err := os.WriteFile(profile+"/Default/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := newDisplay(t)
	allocator, stopAllocator := chromedp.NewExecAllocator(suite, chromiumOptions(profile, chromedp.Flag("headless", false), chromedp.Flag("enable-automation", false),
		chromedp.Flag("window-position", "0,0"), chromedp.Env("DISPLAY="+d.Name))...)
	t.Cleanup(stopAllocator)
	browser, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	if err := chromedp.Do(browser); err != nil {
		t.Fatal(err)
	}
	page := openIn(t, browser, strict.URL+"/a.html", nil)
	page.Shot("strict")
	// Of the window's frame only its height is known: the bar is the strip right above the page.
	top := eval[int](page, `outerHeight - innerHeight`)
	up := 8
	eventually(t, "the bookmarklet to open Skylift", func() bool {
		click := exec.Command("xdotool", "mousemove", "60", strconv.Itoa(top-up), "click", "1")
		click.Env = append(os.Environ(), "DISPLAY="+d.Name)
		_ = click.Run()
		up = up%40 + 4
		for _, info := range targets(t, browser) {
			if info.Type == "page" && strings.HasPrefix(info.URL, a.URL+"/save?url=") {
				return true
			}
		}
		return false
	})
	saved := waitTarget(t, browser, "page", a.URL+"/save?url=")
	saved.Allow("401")
	if got := saved.URL(); !strings.Contains(got, "%2Fa.html") || !strings.Contains(got, "title=Strict") {
		t.Errorf("it opened %s", got)
	}
}
