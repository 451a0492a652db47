package e2e

import (
	"slices"
	"testing"
)

// The whole round without JavaScript: sign in, make a folder, save, watch, try again, undo, remove,
// set a default, sign out.
func TestTheWholeRoundWithoutJavaScript(t *testing.T) {
	t.Parallel()
	a := start(t)
	p := open(t, a.URL, noScript())
	p.Allow("status of 422") // what a browser says of a form with a bad line
	p.Click("sign-in")
	p.Click("account-" + robin)
	p.WaitVisible("save")
	p.NewFolder("Plain")
	p.Shot("form")
	p.Save(a.sample("slow.jpg"), a.sample("missing.jpg"), "javascript:alert(1)")
	p.WaitTextCSS(`[data-testid="lines"]`, "Line 3")
	p.FullShot("lines")
	p.Open(a.URL + "/?watch=1")
	p.WaitFinal("missing.jpg", "failed")
	p.WaitFinal("slow.jpg", "completed") // the page loads itself again
	p.FullShot("done")
	p.ClickCSS(in("missing.jpg", "retry"))
	p.WaitURL("watch=1")
	p.WaitFinal("missing.jpg", "failed")
	p.ClickCSS(in("missing.jpg", "remove"))
	eventually(t, "the removed row to go", func() bool { return p.attrNow(row("missing.jpg"), "data-id") == "" })
	history := p.Tab(a.URL+"/transfers?state=completed", noScript(), phone(), dark())
	history.Narrow()
	history.Shot("history")
	if to := history.attrNow(`a[data-testid="csv"]`, "href"); to != "/transfers.csv?state=completed" {
		t.Errorf("the completed ones are downloaded from %q", to)
	}
	d := a.Drive(robin)
	if got := d.Names("/Plain"); !slices.Equal(got, []string{"slow.jpg"}) {
		t.Errorf("the folder holds %q, want slow.jpg", got)
	}
	p.ClickCSS(in("slow.jpg", "undo"))
	p.WaitState("slow.jpg", "cancelled")
	if got := d.Names("/Plain"); len(got) > 0 {
		t.Errorf("after undoing the folder still holds %q", got)
	}
	p.Open(a.URL + "/settings")
	p.ClickCSS(`.folder-now a`)
	p.ClickCSS(`[data-testid="folder-link"]`)
	p.Click("use")
	p.WaitTextCSS(`span[data-testid="default-folder"]`, "Ablage")
	p.FullShot("settings")
	p.ClickCSS("details.who summary")
	p.Click("sign-out")
	p.WaitVisible("sign-in")
}
