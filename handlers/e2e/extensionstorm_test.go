package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What is clicked while the server is away, or while the key is revoked, is kept and sent later.
func TestExtensionLosesNothing(t *testing.T) {
	g := newGallerySite(t)
	a := start(t, "SKYLIFT_ALLOW_SOURCES="+g.Host, "SKYLIFT_DATA="+t.TempDir())
	e := withExtension(t, nil, "http://localhost/*", "http://127.0.0.1/*")
	e.Connect(a, robin)
	worker := e.Worker()
	page := e.Tab(g.URL)
	page.Allow("401")
	popup := e.Tab("popup.html")
	popup.Allow("ERR_|401") // the server is away, or refuses the key

	a.Kill()
	for _, name := range []string{"red", "green"} {
		e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/" + name + ".png", "mediaType": "image"}, page)
	}
	eventually(t, "the badge to count what waits", func() bool { return badge(worker) == "2" })
	popup.Front()
	popup.Reload()
	popup.WaitText("notices", "cannot be reached")
	popup.WaitText("rows", "It is sent later")
	popup.Axe()
	popup.Shot("offline")
	worker.Allow("ERR_")

	a.Restart()
	popup.Click("try")
	waitIdle(t, worker)
	key := e.key(worker)
	a.waitSaved(key, "/red.png")
	a.waitSaved(key, "/green.png")

	settings := e.Tab(a.URL + "/auth/login") // the stand-in forgot everybody with the restart
	settings.Click("account-" + robin)
	settings.WaitVisible("who")
	settings.Open(a.URL + "/settings")
	settings.WaitText("device", "Chromium on Linux")
	settings.FullShot("settings")
	settings.ClickCSS(`[data-testid="device"] button`)
	settings.WaitTextCSS("main", "No device holds a key")
	worker.Allow("401")
	for _, name := range []string{"blue", "orange"} {
		e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/" + name + ".png", "mediaType": "image"}, page)
	}
	eventually(t, "the badge to call", func() bool { return badge(worker) == "!" })
	notes := eval[string](worker, `chrome.notifications.getAll().then(n => Object.keys(n).filter(k => k === 'revoked').join())`)
	if notes != "revoked" || items(worker) != 2 {
		t.Errorf("after the key was revoked: notifications %q, %d saves kept, want 1 notice and 2", notes, items(worker))
	}
	options := e.Tab("options.html")
	options.Allow("401")
	options.WaitText("notices", "does not know this browser any more")
	options.Axe()
	options.Shot("revoked")
	options.Front()
	options.Click("reconnect")
	e.Consent(options).Click("connect")
	waitIdle(t, worker)
	key = e.key(worker)
	a.waitSaved(key, "/blue.png")
	a.waitSaved(key, "/orange.png")
}

// A page can say to the extension and to the server what it likes: nothing is saved by it.
func TestExtensionHearsNoPage(t *testing.T) {
	a := start(t)
	e := withExtension(t, nil, "http://localhost/*", "http://127.0.0.1/*")
	e.Connect(a, robin)
	worker := e.Worker()
	key := e.key(worker)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(strings.NewReplacer("SERVER", a.URL, "EXTENSION", extensionID, "SOURCE", a.sample("meadow.jpg")).Replace(hostilePage)))
	}))
	t.Cleanup(s.Close)
	hostile := e.Tab(s.URL)
	hostile.Allow(".")
	hostile.WaitTextCSS("#done", "done")
	// Nor can a script of ours that runs in the page: it is as near to the page as to us.
	worker.Allow(".")
	heard := eval[string](worker, `chrome.tabs.query({}).then(async tabs => {
		const [{ result }] = await chrome.scripting.executeScript({ target: { tabId: tabs.find(t => t.url?.startsWith('`+s.URL+`')).id }, args: ['`+a.sample("meadow.jpg")+`'], func: async sourceUrl => {
			const answers = []
			for (const message of [{ do: 'save', requests: [{ sourceUrl }], kind: 'image' }, { do: 'files', files: [{ id: 'x', name: 'x', size: 1, type: '' }] }, { do: 'retry', id: 'x' }, { do: 'pictures', tab: { id: 1 } }, { do: 'resume' }]) {
				answers.push(await chrome.runtime.sendMessage(message).catch(() => null))
			}
			return answers.filter(a => a != null)
		} })
		return JSON.stringify(result) })`)
	if heard != "[]" {
		t.Errorf("a script in the page was answered %s", heard)
	}
	if reached := hostile.textNow("#reached"); reached != "" {
		t.Errorf("the page reached %s", reached)
	}
	if n := items(worker); n != 0 {
		t.Errorf("the extension took %d orders from a page", n)
	}
	if list := a.transfers(key); len(list) != 0 {
		t.Errorf("the server took orders from a page: %+v", list)
	}
	var drives = a.Drive(robin).Names("")
	for _, name := range drives {
		if strings.HasPrefix(name, "meadow") {
			t.Errorf("a page saved %s", name)
		}
	}
}

const hostilePage = `<!doctype html><title>hostile</title><p id="reached"></p><p id="done"></p>
<iframe src="chrome-extension://EXTENSION/popup.html"></iframe><iframe src="SERVER/ext/connect?redirect_uri=https://EXTENSION.chromiumapp.org/connect"></iframe>
<script>
const request = { sourceUrl: 'SOURCE' }
const shapes = ['save', 'chosen', 'again', 'granted', 'discard', 'retry', 'pictures', 'connected', 'resume', 'seen'].flatMap(d => [
	{ do: d, requests: [request], kind: 'image', ids: ['x'], id: 'x', site: location.hostname, tab: {id: 1} },
	{ type: d, action: d, cmd: d, payload: request, url: 'SOURCE' }, JSON.stringify({ do: d, requests: [request] }) ])
const reached = what => { document.getElementById('reached').textContent += what + ' ' }
const quiet = f => { try { const p = f(); p?.then?.(v => v !== undefined && v?.type !== 'opaque' && reached(JSON.stringify(v)), () => {}) } catch {} }
async function attack() {
	for (const shape of shapes) {
		for (const target of [window, ...Array.from({ length: frames.length }, (_, i) => frames[i])]) quiet(() => target.postMessage(shape, '*'))
		quiet(() => chrome.runtime.sendMessage('EXTENSION', shape))
		quiet(() => chrome.runtime.connect('EXTENSION').postMessage(shape))
		quiet(() => new BroadcastChannel('skylift').postMessage(shape))
		quiet(() => document.dispatchEvent(new CustomEvent('skylift', { detail: shape })))
	}
	const form = new URLSearchParams({ urls: 'SOURCE', url: 'SOURCE', name: 'x' })
	const plain = { method: 'POST', mode: 'no-cors', credentials: 'include' }
	for (const path of ['/transfers', '/api/v1/transfers', '/api/v1/transfers/batch', '/settings/devices', '/ext/connect', '/save']) {
		await fetch('SERVER' + path, { ...plain, body: form }).catch(() => {})
		await fetch('SERVER' + path, { ...plain, headers: { 'Content-Type': 'text/plain' }, body: JSON.stringify(request) }).catch(() => {})
		await fetch('SERVER' + path, { method: 'POST', credentials: 'include', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(request) }).then(() => reached('fetch ' + path), () => {})
	}
	for (const path of ['popup.html', 'manifest.json', 'background.js', 'choose.html']) await fetch('chrome-extension://EXTENSION/' + path).then(() => reached(path), () => {})
	const w = open('SERVER/save?url=SOURCE'); setTimeout(() => { w?.postMessage(shapes[0], '*'); document.getElementById('done').textContent = 'done' }, 1500)
}
attack()
</script>`
