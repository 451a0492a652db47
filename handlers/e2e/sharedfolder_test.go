package e2e

import (
	"slices"
	"testing"
)

// Kim finds Robin's album in the folder list. Skylift has not asked for folders of others yet, so it
// does now, forgets nothing meanwhile, and the picture lies in Robin's drive.
func TestAFolderOfSomebodyElse(t *testing.T) {
	a, p := signedIn(t, kim)
	p.Paste(a.sample("meadow.jpg"))
	p.Click("browse")
	p.WaitVisible("picker")
	eval[bool](p, `[...document.querySelectorAll('.picker li a')].find(a => a.textContent.includes("Robin's")).click(), true`)
	p.WaitText("notice", "somebody else's OneDrive")
	p.Shot("shared-folder")
	p.ClickCSS(`.picker [data-testid=notice] a`)
	p.WaitVisible("consent-page")
	p.Shot("shared-consent")
	p.Click("accept")
	p.WaitTextCSS(".picker .crumbs", "Family album")
	p.FullShot("shared-open")
	p.Click("use")
	eventually(t, "the address in the field, where it was", func() bool { return eval[string](p, `document.getElementById('urls')?.value ?? ''`) != "" })
	p.Click("submit")
	p.WaitFinal("meadow.jpg", "completed")
	p.WaitTextCSS(in("meadow.jpg", "folder"), "Family album")
	if got := a.Drive(robin).Names("/Family album"); !slices.Contains(got, "meadow.jpg") {
		t.Errorf("Robin's album holds %q", got)
	}
}
