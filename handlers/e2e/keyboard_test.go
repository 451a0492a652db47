package e2e

import (
	"slices"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TabTo presses the tabulator until an element of a CSS selector has the focus, and wants to see on
// the way where the focus is.
func (p *Page) TabTo(selector string) {
	p.t.Helper()
	for range 80 {
		p.Press(kb.Tab)
		at := eval[[]string](p, `(() => {
			const e = document.activeElement, s = getComputedStyle(e), around = getComputedStyle(e.closest('label') ?? e);
			const seen = [s, around].some(s => s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== 'none');
			return [e.matches(`+strconv.Quote(selector)+`) ? 'here' : '', seen || e === document.body ? 'seen' : '', e.outerHTML.slice(0, 120)];
		})()`)
		if at[1] == "" {
			p.t.Errorf("nothing shows that the focus is on %s", at[2])
		}
		if at[0] != "" {
			return
		}
	}
	p.t.Fatalf("the tabulator never came to %s%s", selector, p.where())
}

// focused is the data-testid, the id or else the name of what has the focus.
func (p *Page) focused() string {
	p.t.Helper()
	return eval[string](p, `document.activeElement.dataset?.testid ?? (document.activeElement.id || document.activeElement.tagName)`)
}

func TestTheWholeRoundByKeyboard(t *testing.T) {
	t.Parallel()
	a := start(t)
	p := open(t, a.URL)
	press := func(testid string) {
		t.Helper()
		p.TabTo(string(testID(testid)))
		p.Press(kb.Enter)
	}
	press("sign-in")
	p.WaitVisible("accounts-page")
	press("account-" + robin)
	p.WaitVisible("save")
	p.TabTo("#urls")
	p.Press(a.sample("meadow.jpg"))
	p.Press(kb.Enter)
	p.Press(a.sample("missing.jpg"))
	press("browse")
	p.WaitVisible("picker")
	p.Shot("picker")
	p.TabTo("#new-folder")
	p.Press("By keyboard" + kb.Enter)
	p.WaitTextCSS(`.crumbs [aria-current="location"]`, "By keyboard")
	press("use")
	p.WaitFolder("By keyboard")
	if got := p.focused(); got != "folder" && got != "browse" && got != "folder-choice" {
		t.Errorf("after the dialog the focus is on %s, want the folder's field or the button that opened it", got)
	}
	press("submit")
	p.WaitFinal("meadow.jpg", "completed")
	p.WaitFinal("missing.jpg", "failed")
	if got := p.focused(); got != "submit" {
		t.Errorf("after saving the focus is on %s, want it kept on the button", got)
	}
	p.TabTo(in("missing.jpg", "remove"))
	p.Press(kb.Enter)
	eventually(t, "the removed row to go", func() bool { return p.attrNow(row("missing.jpg"), "data-id") == "" })
	if got := p.focused(); got == "BODY" {
		t.Error("after removing a row the focus is nowhere")
	}
	p.TabTo("summary")
	p.Press(kb.Enter)
	p.WaitVisible("sign-out")
	p.Press(kb.Escape)
	eventually(t, "the menu to close", func() bool { return !eval[bool](p, `document.querySelector('details.who').open`) })
	if got := a.Drive(robin).Names("/By keyboard"); !slices.Equal(got, []string{"meadow.jpg"}) {
		t.Errorf("the folder holds %q", got)
	}
}
