package e2e

import (
	"net/url"
	"slices"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// A rule is made, used, moved and deleted: on a phone in the dark by keyboard, and without JavaScript.
func TestARuleFromTheSettingsToTheFile(t *testing.T) {
	t.Parallel()
	a := start(t)
	at, _ := url.Parse(a.URL)
	for name, v := range map[string]struct {
		looks   []look
		who     string
		scripts bool
	}{"phone": {[]look{phone(), dark()}, robin, true}, "plain": {[]look{noScript()}, kim, false}} {
		t.Run(name, func(t *testing.T) {
			p := open(t, "", v.looks...)
			axe := func() {
				if v.scripts { // it is one
					p.Axe()
				}
			}
			p.Allow("status of 422")
			p.SignIn(a, v.who)
			p.Open(a.URL + "/settings")
			p.TabTo("#rule-site")
			p.Press("not a site" + kb.Enter)
			p.WaitTextCSS("#rule-bad", "This is not a site.")
			axe()
			p.FullShot("bad-site")
			p.FillCSS("#rule-site", at.Hostname())
			p.makeRule("Inspiration")
			p.WaitTextCSS("#rules", "Everything from "+at.Hostname())
			p.TabTo("#rule-kind")
			p.Press("d")
			p.makeRule("Papers")
			p.WaitTextCSS("#rules", "Documents")
			axe()
			p.Narrow()
			p.FullShot("rules")
			p.Open(a.URL)
			if got := p.textNow("#folder option:first-child"); got != "By your rules, else OneDrive" {
				t.Errorf("the form offers %q first", got)
			}
			axe()
			p.FullShot("form")
			p.Save(a.sample("tiles.png"))
			p.WaitFinal("tiles.png", "completed")
			if got := a.Drive(v.who).Names("/Inspiration"); !slices.Equal(got, []string{"tiles.png"}) {
				t.Errorf("the rule's folder holds %q", got)
			}
			p.Open(a.URL + "/settings")
			p.TabTo(string(testID("rule-up")))
			p.Press(kb.Enter)
			eventually(t, "the rule to go up", func() bool { return p.textNow("#rules li:first-child .name") == "Documents" })
			for left := 1; left >= 0; left-- {
				p.Click("rule-delete")
				eventually(t, "a rule to go", func() bool { return p.Count("rule") == left })
			}
		})
	}
}

// makeRule goes from the rule's fields to the picker, makes a folder there and takes it.
func (p *Page) makeRule(folder string) {
	p.t.Helper()
	p.Click("rule-add")
	p.WaitVisible("picker-rule")
	p.TabTo("#new-folder")
	p.Press(folder + kb.Enter)
	p.WaitTextCSS(`.crumbs [aria-current="location"]`, folder)
	p.FullShot("picker " + folder)
	p.Click("use")
	p.WaitTextCSS("#rules", "into "+folder)
}
