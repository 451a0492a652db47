package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// transferJSON is what the tests look at of a Transfer.
type transferJSON struct {
	ID, State, Route, Name        string
	SourceURL, PageURL, PageTitle string
	AltText                       string
	Error                         *struct{ Code string }
	Item                          *struct{ Name string }
}

// key is the device key that the extension holds.
func (e *extension) key(on *Page) string {
	e.t.Helper()
	return eval[string](on, `chrome.storage.local.get('server').then(s => s.server.key)`)
}

// items is how many saves the extension has not finished.
func items(on *Page) int {
	return eval[int](on, `chrome.storage.local.get(null).then(all => Object.keys(all).filter(k => k.startsWith('item:')).length)`)
}

func (a *app) transfers(key string) []transferJSON {
	a.t.Helper()
	var list struct{ Value []transferJSON }
	a.API("GET", "/transfers?top=200", key, nil, &list)
	return list.Value
}

// waitSaved waits until a transfer of that source is completed.
func (a *app) waitSaved(key, source string) transferJSON {
	a.t.Helper()
	var found transferJSON
	a.t.Cleanup(func() {
		if found.ID == "" {
			a.t.Logf("%s was not saved; the list is %+v", source, a.transfers(key))
		}
	})
	eventually(a.t, source+" to be saved", func() bool {
		for _, t := range a.transfers(key) {
			if strings.HasSuffix(t.SourceURL, source) && t.State == "completed" {
				found = t
				return true
			}
		}
		return false
	})
	return found
}

// waitIdle waits until the extension has finished all saves.
func waitIdle(t *testing.T, on *Page) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the extension's storage: %s", eval[string](on, `chrome.storage.local.get(null).then(a => JSON.stringify(a, (k, v) => k === 'key' ? 'hidden' : v))`))
		}
	})
	eventually(t, "the extension to finish all saves", func() bool { return items(on) == 0 })
}

func badge(on *Page) string { return eval[string](on, `chrome.action.getBadgeText({})`) }

// TestExtension is one day with the extension in a headless Chromium: connected once, then used
// in every way that needs no real window.
func TestExtension(t *testing.T) {
	g := newGallerySite(t)
	a := start(t, "SKYLIFT_ALLOW_SOURCES="+g.Host)
	e := withExtension(t, nil, "http://localhost/*", "http://127.0.0.1/*")
	drive := a.Drive(robin)

	t.Run("the options page leads to the consent page and back", func(t *testing.T) {
		e := e.in(t)
		options := e.Wait("page", extensionBase+"options.html")
		options.Fill("address", "http://skylift.example.org")
		options.Click("connect")
		options.WaitText("notices", "must be reached by https")
		options.Fill("address", strings.Replace(a.URL, "http://", "", 1)+"/settings")
		options.Axe()
		options.Shot("options")
		e.Tab("").SignIn(a, robin)
		e.ConnectOn(options, a)
		options.WaitText("account", "Robin")
		options.FullShot("connected")
		options.Axe()
		dark := e.Tab("options.html", dark())
		dark.WaitText("account", "Robin")
		dark.FullShot("dark")
		dark.Axe()
	})
	worker := e.Worker()
	key := e.key(worker)
	page := e.Tab(g.URL)
	page.Allow("secret.png|401")

	t.Run("the browser finds no fault with it", func(t *testing.T) {
		e := e.in(t)
		list := e.Tab("chrome://extensions")
		faults := eval[string](list, `chrome.developerPrivate.getExtensionInfo('`+extensionID+`').then(i => JSON.stringify([...i.manifestErrors, ...i.runtimeErrors]))`)
		if faults != "[]" {
			t.Errorf("errors and warnings: %s", faults)
		}
	})
	t.Run("a picture", func(t *testing.T) {
		a, e, page, worker := a.in(t), e.in(t), page.In(t), worker.In(t)
		e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/red.png", "mediaType": "image"}, page)
		got := a.waitSaved(key, "/red.png")
		if got.PageURL != g.URL+"/" || got.PageTitle != "Colours of the valley" || got.AltText != "A red square" {
			t.Errorf("where it was found was lost on the way: %+v", got)
		}
		if content := drive.WaitFile("/red.png"); !bytes.Equal(content, red) {
			t.Errorf("%d bytes arrived, want %d", len(content), len(red))
		}
		eventually(t, "the tick", func() bool { return badge(worker) == "✓" })
		if notes := eval[string](worker, `chrome.notifications.getAll().then(n => Object.keys(n).join())`); !strings.HasPrefix(notes, "saved:") {
			t.Errorf("notifications: %q", notes)
		}
	})
	t.Run("a link, the addresses in a selection, the page", func(t *testing.T) {
		a, e, page, worker := a.in(t), e.in(t), page.In(t), worker.In(t)
		e.menu(worker, "save-link", map[string]any{"linkUrl": g.URL + "/violet.png"}, page)
		a.waitSaved(key, "/violet.png")
		e.menu(worker, "save-selection", map[string]any{"selectionText": "Look at " + g.URL + "/green.png, and (" + g.URL + "/orange.png)."}, page)
		a.waitSaved(key, "/green.png")
		a.waitSaved(key, "/orange.png")
	})
	t.Run("video, sound and the page itself", func(t *testing.T) {
		a, e, page, worker := a.in(t), e.in(t), page.In(t), worker.In(t)
		e.menu(worker, "save-media", map[string]any{"srcUrl": g.URL + "/clip.mp4", "mediaType": "video"}, page)
		e.menu(worker, "save-media", map[string]any{"srcUrl": g.URL + "/tone.mp3", "mediaType": "audio"}, page)
		e.menu(worker, "save-page", map[string]any{}, page)
		a.waitSaved(key, "/clip.mp4")
		a.waitSaved(key, "/tone.mp3")
		got := a.waitSaved(key, g.URL+"/") // the server saves no web pages: the browser does
		if content := drive.WaitFile("/" + got.Item.Name); got.Route != "upload" || !strings.HasSuffix(got.Name, ".html") || !bytes.Contains(content, []byte("Look at "+g.URL)) {
			t.Errorf("the page came by %s as %q with %d bytes", got.Route, got.Name, len(content))
		}
	})
	t.Run("to a folder, under a name", func(t *testing.T) { testChoose(t, e.in(t), a.in(t), g, page.In(t), worker.In(t), key) })
	t.Run("the buttons of notifications", func(t *testing.T) { testButtons(t, e.in(t), a.in(t), g, page.In(t), worker.In(t), key) })
	t.Run("a site that is asked for", func(t *testing.T) {
		e, page, worker := e.in(t), page.In(t), worker.In(t)
		for range 2 { // one question for both
			e.menu(worker, "save-link", map[string]any{"linkUrl": g.Members + "/secret.png"}, page)
		}
		eventually(t, "both to wait", func() bool { return items(worker) == 2 && badge(worker) == "!" })
		if got := notifications(worker, "site:"); got != "site:members.localhost" {
			t.Errorf("the questions are %q", got)
		}
		press(worker, "site:members.localhost", 0)
		grant := e.Wait("page", extensionBase+"grant.html")
		grant.WaitText("site", "members.localhost")
		grant.Axe()
		grant.Shot("grant")
		grant.Click("later")
		e.WaitClosed("grant.html")
		popup := e.Tab("popup.html")
		popup.WaitText("rows", "Needs your permission")
		popup.Shot("popup")
		popup.Click("discard")
		eventually(t, "one to be left", func() bool { return items(worker) == 1 })
		popup.Click("discard")
		waitIdle(t, worker)
	})
	t.Run("behind a login and inside the page only", func(t *testing.T) {
		a, e, page, worker := a.in(t), e.in(t), page.In(t), worker.In(t)
		e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/secret.png", "mediaType": "image"}, page)
		e.menu(worker, "save-image", map[string]any{"srcUrl": eval[string](page, `document.getElementById('blob').src`), "mediaType": "image"}, page)
		var blob transferJSON
		eventually(t, "the blob: picture to be saved", func() bool {
			for _, blob = range a.transfers(key) {
				if blob.SourceURL == "" && blob.State == "completed" && blob.Route == "upload" {
					return true
				}
			}
			return false
		})
		if content := drive.WaitFile("/" + blob.Item.Name); !bytes.Equal(content, red) || blob.AltText != "Made by a script" {
			t.Errorf("%d bytes of the blob: picture arrived, want %d: %+v", len(content), len(red), blob)
		}
	})
	t.Run("all pictures of the page", func(t *testing.T) { testGrid(t, e.in(t), a.in(t), g, page.In(t), worker.In(t), key) })
	t.Run("the popup", func(t *testing.T) { testPopup(t, e.in(t), worker.In(t)) })
	t.Run("the main picture by a shortcut, also by another one", func(t *testing.T) {
		a, e, page := a.in(t), e.in(t), page.In(t)
		mainByKey(t, a, page, key, "S", 83)
		options := e.Tab("options.html")
		options.WaitText("shortcuts", "Alt+Shift+S")
		options.Front()
		options.Click("change-shortcuts")
		list := e.Wait("page", "chrome://extensions/shortcuts")
		list.run(`chrome.developerPrivate.updateExtensionCommand({extensionId: '` + extensionID + `', commandName: 'save-main', keybinding: 'Alt+Shift+Y'})`)
		eventually(t, "the change", func() bool {
			options.Reload()
			return strings.Contains(options.Text("shortcuts"), "Alt+Shift+Y")
		})
		mainByKey(t, a, page, key, "Y", 89)
	})
	t.Run("the history says where it was found", func(t *testing.T) {
		history := e.in(t).Tab(a.URL + "/transfers?q=red")
		history.WaitTextCSS(`[data-testid="transfer"]`, "A red square")
		history.WaitTextCSS(`[data-testid="transfer"]`, "Colours of the valley")
	})
	t.Run("the panel in the narrowest sidebar", func(t *testing.T) {
		panel := e.in(t).Tab(a.URL+"/panel", size(240, 800))
		panel.WaitTextCSS("body", "Robin")
		panel.Narrow()
		panel.FullShot("panel")
	})
	t.Run("a script with a key made by hand", func(t *testing.T) { testCurl(t, e.in(t), a.in(t)) })
}

// mainByKey presses a shortcut on the page and waits until its main picture is saved.
func mainByKey(t *testing.T, a *app, page *Page, key, letter string, code int64) {
	t.Helper()
	page.Front()
	before := len(a.transfers(key))
	page.call("to front", chromedp.Func(func(ctx context.Context, c *chromedp.Target) error {
		for _, typ := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
			if _, err := cdp.Call(ctx, c, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: typ, Key: letter, Code: "Key" + letter, WindowsVirtualKeyCode: code, NativeVirtualKeyCode: code, Modifiers: 1 | 8}); err != nil {
				return err
			}
		}
		return nil
	}))
	eventually(t, "the picture to be saved", func() bool {
		list := a.transfers(key)
		return len(list) == before+1 && list[0].State == "completed"
	})
}

func testGrid(t *testing.T, e *extension, a *app, g *gallerySite, page, worker *Page, key string) {
	eval[bool](worker, `chrome.tabs.query({}).then(tabs => { chrome.contextMenus.onClicked.dispatch({menuItemId: 'pictures', pageUrl: 'x', editable: false}, tabs.find(t => t.url === '`+g.URL+`/')); return true })`)
	grid := e.Wait("page", extensionBase+"pictures.html")
	grid.Allow("401")
	grid.WaitText("page", "Colours of the valley")
	eventually(t, "the pictures to be measured", func() bool {
		return eval[int](grid, `[...document.querySelectorAll('.tile:not([hidden]) .what')].filter(w => w.textContent.includes('×')).length`) >= 4
	})
	titles := eval[string](grid, `[...document.querySelectorAll('.tile')].map(t => t.title).join()`)
	for _, want := range []string{"A red square", "Orange in a link", "Made by a script", "Two sizes", "/violet.png"} {
		if !strings.Contains(titles, want) {
			t.Errorf("%q is not among the pictures: %s", want, titles)
		}
	}
	eventually(t, "what the tests above saved to be dimmed", func() bool { return eval[int](grid, `document.querySelectorAll('.tile.saved').length`) >= 4 })
	grid.Axe()
	grid.Shot("grid")
	eval[bool](grid, `(() => { const min = document.querySelector('[data-testid=min]'); min.value = '600'; min.dispatchEvent(new Event('change')); return true })()`)
	grid.WaitText("count", "0 of 3 chosen")
	before, batches := len(a.transfers(key)), strings.Count(a.Log(), `"path":"/api/v1/transfers/batch"`)
	grid.Click("all")
	grid.WaitText("count", "3 of 3 chosen")
	grid.Click("save")
	grid.WaitText("count", "Saving 3")
	eventually(t, "the batch to be saved", func() bool {
		list := a.transfers(key)
		done := 0
		for _, got := range list[:max(0, len(list)-before)] {
			if got.State == "completed" {
				done++
			}
		}
		return done == 3
	})
	if n := strings.Count(a.Log(), `"path":"/api/v1/transfers/batch"`) - batches; n != 1 {
		t.Errorf("they came by %d batches, want one", n)
	}
	eventually(t, "one notification for all", func() bool {
		return strings.Contains(eval[string](worker, `chrome.notifications.getAll().then(n => Object.keys(n).join())`), "batch:")
	})
}

func testPopup(t *testing.T, e *extension, worker *Page) {
	waitIdle(t, worker)
	eval[bool](worker, `chrome.action.openPopup().then(() => true)`)
	popup := e.Wait("page", extensionBase+"popup.html")
	popup.WaitText("account", "Robin")
	popup.WaitText("rows", "red.png")
	popup.WaitText("rows", "Saved")
	popup.Axe()
	popup.Shot("light")
	if open := eval[int](popup, `document.querySelectorAll('[data-testid=open]').length`); open < 3 {
		t.Errorf("%d rows can be opened in OneDrive", open)
	}
	eventually(t, "the tick to go once it was seen", func() bool { return badge(worker) == "" })
	rows := popup.Count("row")
	popup.Click("undo")
	eventually(t, "the undone row to go", func() bool { return popup.Count("row") == rows-1 })
	for i, looks := range [][]look{{dark()}, {dark(), size(390, 600)}} {
		other := e.Tab("popup.html", looks...)
		other.WaitText("rows", "red.png")
		other.Axe()
		other.Shot(fmt.Sprint("dark", i))
	}
}
