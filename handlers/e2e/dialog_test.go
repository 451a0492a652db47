package e2e

import (
	"strconv"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// WaitOnTop waits until an element of a CSS selector shows the text and nothing lies over it. What
// a dialog keeps from screen readers is not hit either: it is inert.
func (p *Page) WaitOnTop(selector, text string) {
	p.t.Helper()
	p.WaitTextCSS(selector, text)
	eventually(p.t, selector+" to lie on top", func() bool {
		return eval[bool](p, `(() => {
			const e = document.querySelector(`+strconv.Quote(selector)+`), { x, y, width, height } = e.getBoundingClientRect();
			return e.contains(document.elementFromPoint(x + width / 2, y + height / 2));
		})()`)
	})
}

// A dialog lies over the page, and the page's words must not lie under it.
func TestWordsShowOverTheFolderDialog(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, robin)
	p.Allow("net::ERR_|htmx:")
	p.Click("browse")
	p.WaitVisible("picker")
	a.Kill()
	p.Click("folder-link")
	p.WaitOnTop("#toast", "The server cannot be reached.")
	p.Shot("over")
	p.ClickCSS(".picker-head button")
	p.WaitOnTop("#toast", "The server cannot be reached.")

	a.Restart() // it has forgotten who was signed in
	p.SignIn(a, robin)
	p.Click("browse")
	p.WaitVisible("picker")
	eval[bool](p, `document.dispatchEvent(new CustomEvent('skylift:say', { detail: 'It goes on.' }))`)
	p.Click("folder-link")
	p.WaitTextCSS(`.crumbs a`, "OneDrive")
	p.WaitOnTop("#toast", "It goes on.")
}

func TestTheTopIsOfferedOnce(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, robin)
	p.Click("browse")
	p.Click("use")
	eventually(t, "the dialog to close", func() bool { return !eval[bool](p, `document.getElementById('picker').open`) })
	if got := p.textNow("#folder option"); got != "OneDrive" {
		t.Errorf("the form offers\n%s\nwant OneDrive once", got)
	}
	p.Save(a.sample("meadow.jpg"))
	p.WaitFinal("meadow.jpg", "completed")
	p.WaitTextCSS(in("meadow.jpg", "folder"), "OneDrive")
	p.WaitTextCSS("#announce", "meadow.jpg: Saved")
	p.Allow("status of 422")
	p.Save("javascript:alert(1)")
	p.WaitTextCSS("#announce", "No link is on the way, 1 needs mending.")
}

// Who walks through the folders by keyboard is told each, and goes on from there.
func TestTheFolderDialogKeepsTheFocus(t *testing.T) {
	t.Parallel()
	_, p := signedIn(t, robin)
	p.TabTo(string(testID("browse")))
	p.Press(kb.Enter)
	p.WaitVisible("picker")
	p.TabTo(string(testID("folder-link")))
	name := eval[string](p, `document.activeElement.querySelector('.name').textContent`)
	p.Press(kb.Enter)
	p.WaitTextCSS(`.picker [aria-current="location"]`, name)
	eventually(t, "the focus to be on the folder's name", func() bool { return eval[string](p, `document.activeElement.textContent`) == name })
	p.TabTo("#new-folder")
	p.TabTo("#folder-q")
	p.Press("album" + kb.Enter)
	p.WaitTextCSS(`dialog[open] #announce`, "1 folder matches.")
}

// On a low screen, as with a page that is shown twice as large, nobody has to look for the buttons.
func TestTheFolderDialogShowsItsButtonsOnALowScreen(t *testing.T) {
	t.Parallel()
	_, p := signedIn(t, robin)
	size(640, 400)(p)
	p.Click("browse")
	p.WaitVisible("picker")
	p.WaitOnTop(string(testID("use")), "Save here")
	p.Click("folder-link")
	p.WaitTextCSS(".picker .crumbs a", "OneDrive")
	p.WaitOnTop(string(testID("use")), "Save here")
	p.Narrow()
}
