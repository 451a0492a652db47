package e2e

import (
	"strconv"
	"strings"

	"github.com/chromedp/chromedp"
)

// row is the CSS selector of the transfer with that name in the list.
func row(name string) string {
	return `[data-testid="transfer"][data-say^=` + strconv.Quote(name+":") + `]`
}

// in is the CSS selector of a part of a row, by the part's data-testid.
func in(name, part string) string { return row(name) + ` [data-testid="` + part + `"]` }

// Paste puts lines into the save form's field, as one paste does.
func (p *Page) Paste(lines ...string) {
	p.t.Helper()
	set := `(field => { field?.focus(); if (field) field.value = ` + strconv.Quote(strings.Join(lines, "\n")) + `; return !!field; })(document.getElementById('urls'))`
	eventually(p.t, "the field for addresses", func() bool { return eval[bool](p, set) })
}

// Save pastes lines and presses the button.
func (p *Page) Save(lines ...string) {
	p.t.Helper()
	p.Paste(lines...)
	p.Click("submit")
}

// WaitState waits until the row with that name is in a state of the API's.
func (p *Page) WaitState(name, state string) {
	p.t.Helper()
	eventually(p.t, name+" to be "+state+", with the list at\n"+p.listNow(), func() bool {
		return p.attrNow(row(name), "data-state") == state
	})
}

// WaitFinal waits until the row with that name is final, and wants it in that state.
func (p *Page) WaitFinal(name, want string) {
	p.t.Helper()
	got := ""
	eventually(p.t, name+" to be final", func() bool {
		got = p.attrNow(row(name), "data-state")
		return got == "completed" || got == "failed" || got == "cancelled"
	})
	if got != want {
		p.t.Errorf("%s is %s, want %s; the row says:\n%s", name, got, want, p.textNow(row(name)))
	}
}

// attrNow is an attribute of the first match now, "" without one.
func (p *Page) attrNow(selector, name string) string {
	p.t.Helper()
	return eval[string](p, `document.querySelector(`+strconv.Quote(selector)+`)?.getAttribute(`+strconv.Quote(name)+`) ?? ''`)
}

func (p *Page) listNow() string { return p.textNow(`[data-testid="transfers"]`) }

// WaitCSS waits until the first element of a CSS selector can be seen.
func (p *Page) WaitCSS(selector string) {
	p.t.Helper()
	p.call("wait for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// FillCSS replaces what the field of a CSS selector holds, by typing.
func (p *Page) FillCSS(selector, text string) {
	p.t.Helper()
	p.call("fill "+selector, chromedp.Clear(chromedp.CSS(selector), chromedp.NodeVisible), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// NewFolder makes a folder in the picker and chooses it for the form. The picker is a dialog, or
// without JavaScript a page of its own; the steps are the same.
func (p *Page) NewFolder(name string) {
	p.t.Helper()
	p.Click("browse")
	p.WaitVisible("picker")
	p.call("name the folder", chromedp.SendKeys(chromedp.CSS("#new-folder"), name+"\r", chromedp.NodeVisible))
	p.WaitTextCSS(`.crumbs [aria-current="location"]`, name)
	p.Click("use")
	p.WaitFolder(name)
}

// WaitFolder waits until the form saves into that folder.
func (p *Page) WaitFolder(path string) {
	p.t.Helper()
	eventually(p.t, "the form to save into "+path, func() bool {
		return eval[string](p, `document.querySelector('#folder')?.selectedOptions[0]?.textContent.trim() ?? ''`) == path
	})
}

// Narrow fails the test when the page must be scrolled sideways.
func (p *Page) Narrow() {
	p.t.Helper()
	wide := eval[[]string](p, `[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 &&
		!e.closest('.visually-hidden, .crumbs, .filters, pre, svg') && getComputedStyle(e).visibility === 'visible').map(e => e.outerHTML.slice(0, 120))`)
	if over := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		p.t.Errorf("%s is %d pixels wider than the screen; beyond its edge are\n  %s", p.URL(), over, strings.Join(wide, "\n  "))
	}
}

// stay marks the page; the returned function fails the test if the page was loaded anew since.
func (p *Page) stay() (stayed func()) {
	p.t.Helper()
	eval[bool](p, `window.stayed = true`)
	return func() {
		p.t.Helper()
		if !eval[bool](p, `window.stayed === true`) {
			p.t.Error("the page was loaded anew, want changes in place")
		}
	}
}
