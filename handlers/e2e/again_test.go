package e2e

import (
	"slices"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// Whoever reads that a name is taken, or that nothing is at an address, mends it and tries again: by keyboard,
// and without JavaScript.
func TestAFailedTransferIsChangedAndTriedAgain(t *testing.T) {
	t.Parallel()
	a := start(t)
	for _, tt := range []struct {
		what  string
		login string
		open  func(t testing.TB) *Page
		do    func(p *Page, selector string)
	}{
		{"by keyboard", robin, func(t testing.TB) *Page { return open(t, a.URL) }, func(p *Page, selector string) {
			p.TabTo(selector)
			p.Press(kb.Enter)
		}},
		{"without JavaScript", kim, func(t testing.TB) *Page { return open(t, a.URL, noScript()) }, (*Page).ClickCSS},
	} {
		t.Run(tt.what, func(t *testing.T) {
			p := tt.open(t)
			p.SignIn(a, tt.login)
			p.Save(a.sample("meadow.jpg"))
			p.WaitFinal("meadow.jpg", "completed")
			p.ClickCSS(in("meadow.jpg", "remove"))
			eventually(t, "the removed row to go", func() bool { return p.attrNow(row("meadow.jpg"), "data-id") == "" })
			p.Open(a.URL + "/")
			eval[bool](p, `(() => { document.getElementById('conflict').value = 'fail'; document.getElementById('name').value = 'meadow.jpg'; return true; })()`)
			p.Save(a.sample("garden.jpg"))
			p.WaitFinal("meadow.jpg", "failed")

			tt.do(p, in("meadow.jpg", "change"))
			p.WaitText("again", "A file of this name is there already.")
			if tt.login == robin { // axe is a script
				p.Axe()
			}
			p.FullShot("name taken")
			p.FillCSS("#name", "garden.jpg")
			tt.do(p, string(testID("submit")))
			p.WaitURL("watch=1")
			p.WaitFinal("garden.jpg", "completed")

			p.Save(a.sample("missing.jpg"))
			p.WaitFinal("missing.jpg", "failed")
			tt.do(p, in("missing.jpg", "change"))
			p.WaitText("again-name", "missing.jpg")
			p.FillCSS("#address", a.sample("tiles.png"))
			tt.do(p, string(testID("submit")))
			p.WaitURL("watch=1")
			p.WaitFinal("tiles.png", "completed")
			if names := a.Drive(tt.login).Names(""); !slices.Contains(names, "garden.jpg") || !slices.Contains(names, "tiles.png") {
				t.Errorf("the drive holds %q", names)
			}
		})
	}
}
