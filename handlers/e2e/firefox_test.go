package e2e

import (
	"bytes"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
)

// TestExtensionInFirefox installs the extension, answers Firefox's own question for the
// permission, connects, saves by the real context menu and shows the sidebar.
func TestExtensionInFirefox(t *testing.T) {
	g := newGallerySite(t)
	a := start(t, "SKYLIFT_ALLOW_SOURCES="+g.Host)
	f := newFirefox(t, policy(t, map[string]any{"server": a.URL, "notify": "all"}))
	source, err := filepath.Abs(extensionSource)
	if err != nil {
		t.Fatal(err)
	}
	f.Do("WebDriver:Navigate", map[string]any{"url": a.URL + "/auth/login"})
	f.Click("account-" + robin)
	f.WaitScript("the start page", false, `return !!document.querySelector('[data-testid=who]')`)

	f.Do("Addon:Install", map[string]any{"path": source, "temporary": true})
	f.SwitchTo(geckoOrigin + "options.html")                                                                                                                                                            // opened by itself after the installation
	f.WaitScript("the options page", false, `const a = document.querySelector('[data-testid=address]'); return a?.value === args[0] && a.readOnly && !!document.querySelector('form').onsubmit`, a.URL) // as the policy says
	f.Shot("options")
	f.Click("connect")
	f.allow()
	f.SwitchTo("/ext/connect")
	f.Click("connect")
	f.SwitchTo(geckoOrigin + "options.html")
	f.WaitScript("the connection", false, `return document.body.innerText.includes('Connected to')`)
	f.Shot("connected")
	key, err := script[string](f, false, `return (await (window.wrappedJSObject ?? window).browser.storage.local.get('server')).server.key`)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the list: %+v; asked for the secret without cookie %d, with %d", a.transfers(key), g.NoCookie.Load(), g.Secrets.Load())
			f.Do("WebDriver:Navigate", map[string]any{"url": geckoOrigin + "options.html"})
			kept, err := script[string](f, false, `return JSON.stringify(await (window.wrappedJSObject ?? window).browser.storage.local.get(null), (k, v) => k === 'key' ? 'hidden' : v)`)
			t.Logf("the extension's storage: %s %v", kept, err)
		}
	})
	f.Do("WebDriver:Navigate", map[string]any{"url": g.URL})
	f.realMenu("#red", "Save picture to OneDrive")
	if got := a.waitSaved(key, "/red.png"); got.AltText != "A red square" || got.PageTitle != "Colours of the valley" {
		t.Errorf("where it was found was lost on the way: %+v", got)
	}
	if content := a.Drive(robin).WaitFile("/red.png"); !bytes.Equal(content, red) {
		t.Errorf("%d bytes arrived, want %d", len(content), len(red))
	}
	f.realMenu("#secret", "Save picture to OneDrive")
	if got := a.waitSaved(key, "/secret.png"); got.Route != "upload" {
		t.Errorf("the picture behind a login came by %s", got.Route)
	}
	f.realMenu("#blob", "Save picture to OneDrive")
	eventually(t, "the blob: picture to be saved", func() bool {
		return slices.ContainsFunc(a.transfers(key), func(t transferJSON) bool {
			return t.SourceURL == "" && t.State == "completed" && t.AltText == "Made by a script"
		})
	})
	testFirefoxSidebar(f)
	testFirefoxGrant(f, a, g, key)
	testFirefoxRevoked(f, a, g, key)
}

// allow answers Firefox's own question for a permission with yes.
func (f *firefox) allow() {
	f.t.Helper()
	f.WaitScript("Firefox's question", true, `
		const p = [...window.document.querySelectorAll('#notification-popup popupnotification')].find(n => n.button);
		if (!p || window.PopupNotifications.panel.state !== 'open') return false; p.button.click(); return true`)
}

// testFirefoxGrant answers the one question for a site whose picture only this browser can see.
func testFirefoxGrant(f *firefox, a *app, g *gallerySite, key string) {
	f.Do("WebDriver:Navigate", map[string]any{"url": g.Members}) // signs in there
	f.Do("WebDriver:Navigate", map[string]any{"url": g.URL})
	f.realMenu("#elsewhere", "Save linked file to OneDrive")
	f.Do("WebDriver:Navigate", map[string]any{"url": geckoOrigin + "grant.html?site=members.localhost"})
	f.WaitScript("the question", false, `return document.querySelector('[data-testid=allow]')?.disabled === false`)
	f.Shot("grant")
	f.Click("allow")
	f.allow()
	if got := a.waitSaved(key, g.Members+"/secret.png"); got.Route != "upload" {
		f.t.Errorf("the other site's picture came by %s", got.Route)
	}
}

// testFirefoxRevoked takes the key away: one notice, what is clicked waits.
func testFirefoxRevoked(f *firefox, a *app, g *gallerySite, key string) {
	f.Do("WebDriver:Navigate", map[string]any{"url": a.URL + "/settings"})
	f.WaitScript("the device", false, `const b = document.querySelector('[data-testid="device"] button'); b?.click(); return !!b`)
	eventually(f.t, "the key to be revoked", func() bool { return a.API("GET", "/me", key, nil, nil) == http.StatusUnauthorized })
	f.watchAlerts()
	f.Do("WebDriver:Navigate", map[string]any{"url": g.URL})
	f.realMenu("#red", "Save picture to OneDrive")
	f.realMenu("#orange", "Save picture to OneDrive")
	f.Do("WebDriver:Navigate", map[string]any{"url": geckoOrigin + "popup.html"})
	var state string
	eventually(f.t, "both to wait, with one notice", func() bool {
		got, err := script[string](f, false, `
			const { browser } = window.wrappedJSObject ?? window;
			const kept = await browser.storage.local.get(null);
			return JSON.stringify([Object.keys(kept).filter(k => k.startsWith('item:')).length, kept.server.revoked,
				await browser.action.getBadgeText({}), document.body.innerText.includes('does not know this browser any more')])`)
		if err == nil && got != state {
			state = got
			f.t.Logf("items, revoked, badge, said in the popup: %s", state)
		}
		return state == `[2,true,"!",true]`
	})
	if told, err := script[[]string](f, true, `return window.shownAlerts`); err != nil || !slices.Equal(told, []string{"Skylift: connect again"}) {
		f.t.Errorf("notifications: %q, %v", told, err)
	}
	f.Shot("revoked")
}

// watchAlerts puts a list in the place of the desktop, which a headless Firefox cannot show
// notifications on.
func (f *firefox) watchAlerts() {
	f.t.Helper()
	_, err := script[bool](f, true, `
		window.shownAlerts = [];
		const show = (title, listener) => { window.shownAlerts.push(title); listener?.observe(null, 'alertshow', '') };
		const desktop = {
			QueryInterface: ChromeUtils.generateQI(['nsIAlertsService']),
			showAlert: (alert, listener) => show(alert.title, listener),
			showAlertNotification: (image, title, text, clickable, cookie, listener) => show(title, listener),
			closeAlert() {}, teardown() {}, pbmTeardown() {},
		};
		window.desktopFactory = { createInstance: iid => desktop.QueryInterface(iid), QueryInterface: ChromeUtils.generateQI(['nsIFactory']) };
		Components.manager.QueryInterface(Ci.nsIComponentRegistrar).registerFactory(Services.uuid.generateUUID(), 'desktop', '@mozilla.org/alerts-service;1', window.desktopFactory);
		return true`)
	if err != nil {
		f.t.Fatal(err)
	}
}

// testFirefoxSidebar shows the sidebar with the server's panel in it.
func testFirefoxSidebar(f *firefox) {
	f.WaitScript("the sidebar", true, `
		const id = [...window.SidebarController.sidebars.keys()].find(k => k.includes('skylift'));
		if (!id) return false; await window.SidebarController.show(id); return true`)
	f.WaitScript("the server's panel in the sidebar", true, `
		const inner = window.SidebarController.browser.contentDocument.getElementById('webext-panels-browser');
		const frames = inner?.browsingContext?.children ?? [];
		return frames.some(c => c.currentWindowGlobal?.documentURI?.spec.endsWith('/panel'))`)
	f.Shot("sidebar")
}

// realMenu opens the real context menu on an element of the page and picks an entry of ours.
func (f *firefox) realMenu(selector, entry string) {
	f.t.Helper()
	at, err := script[[]float64](f, false, `const r = document.querySelector(args[0]).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]`, selector)
	if err != nil {
		f.t.Fatal(err)
	}
	f.WaitScript("the context menu", true, `
		const menu = window.document.getElementById('contentAreaContextMenu');
		if (menu.state === 'open') return true;
		const browser = window.gBrowser.selectedBrowser;
		const box = browser.getBoundingClientRect();
		const utils = window.windowUtils;
		const fire = type => window.synthesizeMouseEvent
			? window.synthesizeMouseEvent(type, box.x + args[0], box.y + args[1], { button: 2, clickCount: 1, buttons: 2 }, {})
			: utils.sendMouseEvent(type, box.x + args[0], box.y + args[1], 2, 1, 0);
		fire('mousedown'); fire('contextmenu'); fire('mouseup');
		for (let i = 0; i < 40 && menu.state !== 'open'; i++) await new Promise(r => window.setTimeout(r, 50));
		return menu.state === 'open'`, at[0], at[1])
	f.Shot("menu-" + selector[1:])
	f.WaitScript(entry, true, `
		const menu = window.document.getElementById('contentAreaContextMenu');
		const item = [...menu.querySelectorAll('menuitem')].find(i => i.label === args[0]);
		if (!item) return false;
		const popup = item.parentNode;
		if (popup !== menu) { popup.parentNode.openMenu(true); for (let i = 0; i < 40 && popup.state !== 'open'; i++) await new Promise(r => window.setTimeout(r, 50)); }
		popup.activateItem(item);
		for (let i = 0; i < 100 && menu.state !== 'closed'; i++) await new Promise(r => window.setTimeout(r, 50));
		return true`, entry)
}
