package e2e

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"skylift/onedrive/fakegraph"
)

// everyState fills robin's list with what comes by itself; the gallery has the other states.
func everyState(t *testing.T, m *microsoft, p *Page) {
	t.Helper()
	p.Save(m.sample("meadow.jpg"), m.sample("missing.jpg"))
	p.WaitFinal("meadow.jpg", "completed")
	p.WaitFinal("missing.jpg", "failed")
	m.SetConduct(robin, stuck)
	p.Save(m.sample("garden.jpg"), m.sample("harbour.png"))
	p.WaitState("garden.jpg", "inProgress")
	p.WaitState("harbour.png", "inProgress")
	p.ClickCSS(in("garden.jpg", "cancel"))
	p.WaitState("garden.jpg", "cancelled")
}

// Every page, in light and dark, on a desktop and on phones: accessible, without a word on the
// console, and never wider than the screen.
func TestEveryPageInEveryLook(t *testing.T) {
	t.Parallel()
	m := newMicrosoft(t)
	a := m.live(t)
	p := m.open(t, "")
	p.Allow("status of 404")
	outside := m.open(t, "")
	outside.Allow("status of 404")
	p.SignIn(a, robin)
	everyState(t, m, p)
	folder := p.attrNow("#folder option", "value")
	drive, id, _ := strings.Cut(folder, "|")
	const button = "/save/button?url=https%3A%2F%2Fimages.example%2Ftabby.jpg&name=Tabby.jpg&origin=https%3A%2F%2Fshop.example"
	pages := []struct {
		name, path string
		page       *Page
	}{
		{"landing", "/", outside}, {"signed-out", "/auth/signed-out", outside},
		{"main", "/", p}, {"history", "/transfers", p}, {"failed", "/transfers?state=failed", p}, {"nothing-found", "/transfers?q=no+such+thing", p},
		{"folders", "/folders?drive=" + drive + "&id=" + id, p}, {"folder-search", "/folders?q=pic", p},
		{"save", "/save?url=https%3A%2F%2Fimages.example%2Ftabby.jpg&title=A+tabby", p}, {"again", p.attrNow(in("missing.jpg", "change"), "href"), p},
		{"panel-signed-out", "/panel", outside}, {"panel", "/panel", p}, {"panel-done", "/panel/done", outside},
		{"relay", "/auth/panel?c=" + challenge, outside}, {"relay-again", "/auth/panel?c=" + challenge, p},
		{"button-signed-out", button, outside}, {"button", button, p},
		{"settings", "/settings", p}, {"extension", "/extension", p}, {"no-such-page", "/nowhere", p},
		{"no-such-transfer", "/transfers/01JD0000000000000000000000/source", p},
	}
	for _, look := range []struct {
		name string
		look []look
		axe  bool
	}{
		{"desktop", []look{size(1200, 800)}, true}, {"dark", []look{size(1200, 800), dark()}, true},
		{"phone", []look{size(390, 844), dark()}, false}, {"small", []look{size(320, 568), media("prefers-color-scheme", "light")}, false},
	} {
		t.Run(look.name, func(t *testing.T) {
			for _, v := range pages {
				p := v.page.with(t)
				for _, l := range look.look {
					l(p)
				}
				p.Open(a.URL + v.path)
				p.WaitCSS("main")
				p.Narrow()
				if look.axe {
					p.Axe()
				}
				p.FullShot(v.name)
			}
		})
	}
}

// The demo's own pages are seen by every newcomer.
func TestTheDemosPagesInEveryLook(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, robin)
	p.Allow("status of 404")
	p.Save(a.sample("meadow.jpg"))
	p.WaitFinal("meadow.jpg", "completed")
	file := p.attrNow(in("meadow.jpg", "open"), "href")
	for _, look := range []struct {
		name string
		look []look
		axe  bool
	}{
		{"desktop", []look{size(1200, 800)}, true}, {"dark", []look{size(1200, 800), dark()}, true}, {"small", []look{size(320, 568)}, false},
	} {
		t.Run(look.name, func(t *testing.T) {
			p := p.with(t)
			for _, l := range look.look {
				l(p)
			}
			for name, address := range map[string]string{
				"accounts": a.URL + "/auth/login", "drive": a.URL + "/demo/drive", "file": file, "control": a.URL + "/demo/control",
				"nothing": a.URL + "/demo/drive?id=nothing", "gallery": a.URL + "/gallery", "main": a.URL,
			} {
				p.Open(address)
				p.WaitCSS("main")
				p.Narrow()
				if look.axe {
					p.Axe()
				}
				p.FullShot(name)
			}
		})
	}
}

// Where people choose all colours themselves, a background shows nothing: what is ticked and how far a
// transfer is must show all the same.
func TestForcedColoursHideNothing(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, robin)
	media("forced-colors", "active")(p)
	for _, c := range []struct{ at, selector, change string }{
		{"/settings", "input[name=confirm]", "checked = true"},
		{"/gallery", "progress[value]", "value = 90"},
	} {
		p.Open(a.URL + c.at)
		p.WaitCSS(c.selector)
		eval[bool](p, `(document.querySelector(`+strconv.Quote(c.selector)+`).scrollIntoView({ block: 'center' }), true)`)
		before := value(p, "screenshot", chromedp.CaptureScreenshot())
		eval[bool](p, `(document.querySelector(`+strconv.Quote(c.selector)+`).`+c.change+`, true)`)
		eventually(t, c.selector+" to show that "+c.change, func() bool {
			return !bytes.Equal(before, value(p, "screenshot", chromedp.CaptureScreenshot()))
		})
	}
}

func stuck(c *fakegraph.Conduct) { c.Stuck = true }
