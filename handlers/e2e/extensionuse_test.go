package e2e

import (
	"bytes"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// notifications are the ids of those shown that begin with prefix, joined by commas.
func notifications(worker *Page, prefix string) string {
	return eval[string](worker, `chrome.notifications.getAll().then(n => Object.keys(n).filter(k => k.startsWith(`+strconv.Quote(prefix)+`)).sort().join())`)
}

// press presses a button of a notification, by the browser's event.
func press(worker *Page, id string, button int) {
	worker.run(`chrome.notifications.onButtonClicked.dispatch(` + strconv.Quote(id) + `, ` + strconv.Itoa(button) + `)`)
}

// testChoose saves by "Save to…" into a new folder under a name, then makes that folder the one
// for silent saves, and takes that back.
func testChoose(t *testing.T, e *extension, a *app, g *gallerySite, page, worker *Page, key string) {
	drive := a.Drive(robin)
	e.menu(worker, "choose", map[string]any{"srcUrl": g.URL + "/red.png", "mediaType": "image"}, page)
	window := e.Wait("page", extensionBase+"choose.html")
	window.WaitText("folders", "Pictures")
	window.Axe()
	window.Shot("choose")
	if got := eval[string](window, `document.querySelector("[data-testid=name]").value`); got != "red.png" {
		t.Errorf("the name offered is %q", got)
	}
	window.Fill("name", "My square")
	window.Fill("new-folder", "Trip")
	window.Click("make-folder")
	window.WaitText("crumbs", "Trip")
	window.Click("save")
	e.WaitClosed("choose.html")
	if content := drive.WaitFile("/Trip/My square.png"); !bytes.Equal(content, red) {
		t.Errorf("%d bytes arrived, want %d", len(content), len(red))
	}
	waitIdle(t, worker)

	popup := e.Tab("popup.html")
	popup.WaitText("folder", "OneDrive")
	popup.Click("change-folder")
	window = e.Wait("page", extensionBase+"choose.html?default")
	window.WaitText("folders", "Trip")
	eval[bool](window, `[...document.querySelectorAll('[data-testid=folder]')].find(f => f.textContent === 'Trip').click() ?? true`)
	window.WaitText("crumbs", "Trip")
	window.Click("save")
	e.WaitClosed("choose.html")
	popup.Reload()
	popup.WaitText("folder", "/Trip")
	e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/blue.png", "mediaType": "image"}, page)
	drive.WaitFile("/Trip/blue.png")
	popup.Front()
	popup.Click("change-folder")
	e.Wait("page", extensionBase+"choose.html?default").Click("usual")
	e.WaitClosed("choose.html")
	waitIdle(t, worker)
}

// testButtons presses what notifications offer: Open, Undo, Retry, Remove.
func testButtons(t *testing.T, e *extension, a *app, g *gallerySite, page, worker *Page, key string) {
	worker.Allow("status of 404")
	drive := a.Drive(robin)
	twin := func(conflict string) {
		e.Tab("grant.html").run(`chrome.runtime.sendMessage({do: 'save', kind: 'link', requests: [{sourceUrl: '` + g.URL + `/orange.png', name: 'twin.png', conflictBehavior: '` + conflict + `'}]})`)
	}
	shown := func(prefix string) (id string) {
		eventually(t, "a notification "+prefix, func() bool { id = notifications(worker, prefix); return id != "" })
		return id
	}
	worker.run(`chrome.notifications.getAll().then(n => Object.keys(n).forEach(k => chrome.notifications.clear(k)))`)
	twin("fail")
	drive.WaitFile("/twin.png")
	first := shown("saved:")
	press(worker, first, 0)
	e.Wait("page", a.URL+"/demo/drive").Close() // where the stand-in shows the file
	twin("fail")
	failed := shown("failed:")
	press(worker, first, 1)
	eventually(t, "the first to be in the recycle bin", func() bool { _, there := drive.Content("/twin.png"); return !there })
	shown("undone")
	press(worker, failed, 0)
	drive.WaitFile("/twin.png")
	waitIdle(t, worker)

	g.Flaky.Store(true)
	for range 2 {
		e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/flaky.png", "mediaType": "image"}, page)
	}
	eventually(t, "both to be given up", func() bool { return strings.Count(notifications(worker, "stuck:"), "stuck:") == 2 })
	g.Flaky.Store(false)
	ids := strings.Split(notifications(worker, "stuck:"), ",")
	press(worker, ids[0], 0)
	press(worker, ids[1], 1)
	a.waitSaved(key, "/flaky.png")
	waitIdle(t, worker)
	if n := len(drive.WaitFile("/flaky.png")); n != len(blue) {
		t.Errorf("%d bytes arrived, want %d", n, len(blue))
	}
	if _, twice := drive.Content("/flaky 1.png"); twice {
		t.Error("what was removed arrived, too")
	}
}

// testCurl runs the command of the install page as it stands there, but for the address to save.
func testCurl(t *testing.T, e *extension, a *app) {
	p := e.Tab("")
	key := p.makeKey(a, "script")
	p.Open(a.URL + "/extension")
	command := strings.Replace(p.textNow("pre.example"), "https://images.example/cats/tabby.jpg", a.sample("tiles.png"), 1)
	sh := exec.Command("sh", "-c", command)
	sh.Env = append(plainEnvironment(), "SKYLIFT_KEY="+key)
	out, err := sh.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"sourceUrl":"`+a.sample("tiles.png")) {
		t.Fatalf("%v\n%s", err, out)
	}
	a.Drive(robin).WaitFile("/tiles.png")
}
