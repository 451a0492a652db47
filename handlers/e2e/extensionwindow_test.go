package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// corner is where the page's top left pixel is on the screen.
func (p *Page) corner() (x, y int) {
	p.t.Helper()
	at := eval[[]int](p, `[window.screenX + (window.outerWidth - window.innerWidth), window.screenY + window.outerHeight - window.innerHeight].map(Math.round)`)
	return at[0], at[1]
}

// center is the middle of an element on the screen.
func (p *Page) center(selector string) string {
	p.t.Helper()
	x, y := p.corner()
	at := eval[[]int](p, fmt.Sprintf(`(r => [Math.round(r.x + r.width / 2), Math.round(r.y + r.height / 2)])(document.querySelector(%q).getBoundingClientRect())`, selector))
	return fmt.Sprint(x+at[0], " ", y+at[1])
}

// rightClickSave picks the first entry of our part of the real context menu: our submenu stands
// above "Inspect", and its first entry saves. The pauses stay: menus are windows that could be waited
// for, but so are the notifications that come at the same time.
func (e *extension) rightClickSave(on *Page, selector string) {
	e.t.Helper()
	on.Front()
	e.display.Do("mousemove " + on.center(selector) + " sleep 0.3 click 3 sleep 1 key Up sleep 0.2 key Up sleep 0.2 key Right sleep 0.6")
	e.display.Shot("menu-" + strings.TrimPrefix(selector, "#"))
	e.display.Do("key Return sleep 0.5")
}

// TestExtensionInARealWindow does by mouse and keyboard what needs a real window: the browser's
// question for a permission, the real context menu, a drag into the side panel.
func TestExtensionInARealWindow(t *testing.T) {
	d := newDisplay(t)
	g := newGallerySite(t)
	a := start(t, "SKYLIFT_ALLOW_SOURCES="+g.Host)
	e := withExtension(t, d)
	e.Connect(a, robin)
	worker := e.Worker()
	key := e.key(worker)
	page := e.Tab(g.URL)
	page.Allow("401")
	page.Front()
	drive := a.Drive(robin)
	t.Cleanup(func() {
		if t.Failed() {
			d.Shot("failed")
			t.Logf("the extension's storage: %s", eval[string](worker, `chrome.storage.local.get(null).then(a => JSON.stringify(a, (k, v) => k === 'key' ? 'hidden' : v))`))
		}
	})

	e.rightClickSave(page, "#red")
	if got := a.waitSaved(key, "/red.png"); got.AltText != "A red square" {
		t.Errorf("the description is %q", got.AltText)
	}
	if content := drive.WaitFile("/red.png"); !bytes.Equal(content, red) {
		t.Errorf("%d bytes arrived, want %d", len(content), len(red))
	}
	// The click in the menu is leave enough to read the page's own pictures: nothing is asked.
	e.rightClickSave(page, "#secret")
	if got := a.waitSaved(key, "/secret.png"); got.Route != "upload" {
		t.Errorf("the picture behind a login came by %s", got.Route)
	}
	e.rightClickSave(page, "#blob")
	eventually(t, "the blob: picture to be saved", func() bool {
		for _, got := range a.transfers(key) {
			if got.SourceURL == "" && got.State == "completed" && got.AltText == "Made by a script" {
				return true
			}
		}
		return false
	})
	testGrant(t, e, a, g, page, worker, key)
	testSidePanel(t, e, a, page, worker, key)
}

// testGrant answers the one question for a site whose picture only this browser can see.
func testGrant(t *testing.T, e *extension, a *app, g *gallerySite, page, worker *Page, key string) {
	member := e.Tab(g.Members) // signs in there
	member.Allow("401")
	e.rightClickSave(page, "#elsewhere")
	eventually(t, "the question", func() bool { return notifications(worker, "site:") == "site:members.localhost" })
	grant := e.Tab("grant.html?site=members.localhost")
	grant.Front()
	grant.Click("allow")
	e.allowPrompt()
	if got := a.waitSaved(key, g.Members+"/secret.png"); got.Route != "upload" {
		t.Errorf("the other site's picture came by %s", got.Route)
	}
	member.Close()
	before := len(a.transfers(key))
	e.rightClickSave(page, "#elsewhere") // nothing is asked any more
	eventually(t, "a second one without a question", func() bool {
		list := a.transfers(key)
		return len(list) > before && list[0].State == "completed" && items(worker) == 0
	})
}

// testSidePanel opens the side panel from the popup and drags a picture out of a link into it.
func testSidePanel(t *testing.T, e *extension, a *app, page, worker *Page, key string) {
	page.Front()
	e.display.Do("key alt+shift+l")
	panel := e.Wait("page", extensionBase+"panel.html")
	panel.WaitVisible("drop")
	frame := e.Wait("iframe", "/panel")
	frame.WaitTextCSS("body", "Robin")
	still, last := 0, 0
	eventually(t, "the panel to be open all the way", func() bool {
		now := eval[int](panel, `innerWidth`)
		if still++; now != last {
			still, last = 0, now
		}
		return still == 5
	})
	e.display.Shot("panel")
	x, y := page.corner()
	// The panel stands at the right edge of the same window; its drop strip is at its top.
	to := eval[[]int](panel, `(r => [Math.round(screenX + r.x + r.width / 2), Math.round(screenY + r.y + r.height / 2)])(document.querySelector('[data-testid=drop]').getBoundingClientRect())`)
	width := eval[int](panel, `innerWidth`)
	window := eval[[]int](page, `[screenX + outerWidth, screenY]`)
	if to[0] < x+100 { // the panel does not know where on the screen it is
		to = []int{window[0] - width/2, y + 50 + to[1]%100}
	}
	from := page.center("#orange")
	// A drag has a rhythm of its own: the pauses are the hand's.
	e.display.Do("mousemove " + from + " sleep 0.2 mousedown 1 sleep 0.3 mousemove_relative 12 6 sleep 0.2 mousemove_relative 30 10 sleep 0.2")
	e.display.Do(fmt.Sprintf("mousemove %d %d sleep 0.3 mousemove_relative 3 2 sleep 0.5", to[0], to[1]))
	e.display.Shot("drag")
	e.display.Do("mouseup 1")
	got := a.waitSaved(key, "/orange.png") // and not /album.html, where the link leads
	if got.Name != "orange.png" {
		t.Errorf("the dragged picture is called %q", got.Name)
	}
	if n := items(worker); n > 1 {
		t.Errorf("%d saves are left over", n)
	}
}
