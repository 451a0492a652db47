package e2e

import (
	"slices"
	"testing"
)

// watchProgress keeps every progress text that the list shows, to be read by progressSeen.
const watchProgress = `window.progressSeen = [];
new MutationObserver(() => document.querySelectorAll('[data-testid=transfer] progress').forEach(p => {
	if (p.hasAttribute('value') && progressSeen.at(-1) !== p.value) progressSeen.push(p.value);
})).observe(document.getElementById('rows'), {subtree: true, childList: true, attributes: true, characterData: true})`

// Somebody who has never seen Skylift comes with two links: a picture, and one that leads nowhere.
func TestANewcomerSavesTwoLinks(t *testing.T) {
	a := start(t, "SKYLIFT_DATA=data")
	p := open(t, a.URL)
	p.WaitTextCSS("h1", "OneDrive")
	p.Shot("landing")
	p.Click("sign-in")
	p.WaitTextCSS("h1", "Pick an account")
	p.Shot("accounts")
	p.Click("account-" + robin)
	p.WaitVisible("save")
	p.WaitLoaded()
	p.Shot("first")

	p.Click("browse")
	p.WaitVisible("picker")
	p.Shot("picker")
	p.ClickCSS(`.picker button[aria-label="Close"]`)
	p.NewFolder("From the web")
	p.Paste(a.sample("slow.jpg"), a.sample("missing.jpg"))
	p.Shot("filled")
	stayed := p.stay()
	eval[bool](p, watchProgress+", true")
	p.Click("submit")
	p.WaitState("slow.jpg", "inProgress")
	p.WaitFinal("missing.jpg", "failed")
	p.FullShot("running")
	p.WaitTextCSS(in("missing.jpg", "problem"), "There is nothing at this address.")
	p.WaitFinal("slow.jpg", "completed")
	p.FullShot("done")
	stayed()
	if seen := eval[[]float64](p, `window.progressSeen`); len(seen) < 3 || !slices.IsSorted(seen) {
		t.Errorf("the progress went %v, want several steps upward", seen)
	}
	p.WaitTextCSS(in("slow.jpg", "folder"), "From the web")

	there := p.Tab(p.attrNow(in("slow.jpg", "open"), "href"))
	there.WaitText("folder-name", "slow.jpg")
	there.WaitText("owner", "Robin")
	there.Shot("drive")
	d := a.Drive(robin)
	if got := d.Names("/From the web"); !slices.Equal(got, []string{"slow.jpg"}) {
		t.Errorf("the folder holds %q, want slow.jpg alone", got)
	}
	if content, _ := d.Content("/From the web/slow.jpg"); len(content) == 0 || there.Text("size") == "" {
		t.Errorf("the drive shows the size %q and holds %d bytes", there.Text("size"), len(content))
	}
}
