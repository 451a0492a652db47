package e2e

import (
	"strings"
	"testing"
)

// TestPanelInFirefox signs a framed panel in through both windows, in Firefox with its own
// keeping apart of cookies, saves, and finds itself signed in after a reload.
func TestPanelInFirefox(t *testing.T) {
	s := newFramedSite(t, plainFrame, nil)
	f := newFirefox(t, s.ca.trustedByFirefox, findsTestHosts)
	f.Do("WebDriver:Navigate", map[string]any{"url": s.host + "/"})
	host := f.Window()
	f.Frame()
	f.WaitScript("the panel's script", false, `return !!document.querySelector('[data-panel][data-ready]')`)
	f.Shot("signed-out")
	f.Click("panel-sign-in")
	f.SwitchTo(s.origin + "/auth/panel?")
	relay := f.Window()
	f.WaitScript("the name of the page that asks", false, `return document.querySelector('[data-testid=relay-host]')?.textContent === args[0]`, strings.TrimPrefix(s.host, "https://"))
	f.Shot("relay")
	f.Click("relay-start")
	f.SwitchTo(s.microsoft.URL + "/demo/")
	f.WaitScript("the account page", false, `return !!document.querySelector('[data-testid^=account-]')`)
	if cut, err := script[bool](f, false, `return (window.wrappedJSObject ?? window).opener === null`); err != nil || !cut {
		t.Errorf("the stand-in's page kept its opener (%v): Microsoft's would not, and the test proves nothing", err)
	}
	f.Click("account-" + robin)
	f.WaitClosed(relay)
	f.SwitchToWindow(host)
	f.Frame()
	f.WaitScript("robin in the panel", false, `return document.querySelector('[data-testid=panel-who]')?.textContent.includes(args[0]) ?? false`, robin)
	if bearer, err := script[bool](f, false, `return (window.wrappedJSObject ?? window).fetch.name === 'withBearer'`); err != nil || bearer {
		t.Errorf("Firefox keeps the panel's cookie, yet it uses a bearer: %v %v", bearer, err)
	}
	f.WaitScript("the form", false, `const u = document.getElementById('urls'); if (!u) return false; u.value = args[0]; return true`, s.microsoft.sample("meadow.jpg"))
	f.Click("submit")
	f.WaitScript("the row to be done", false, `return document.querySelector('[data-testid=transfer][data-say^="meadow.jpg:"]')?.dataset.state === 'completed'`)
	s.microsoft.Drive(robin).WaitFile("/meadow.jpg")
	f.Shot("saved")

	f.SwitchToWindow(host)
	f.Do("WebDriver:Refresh", map[string]any{})
	f.Frame()
	f.WaitScript("robin after a reload", false, `return document.querySelector('[data-testid=panel-who]')?.textContent.includes(args[0]) ?? false`, robin)

	// The panel undoes in a window of its own.
	f.Click("undo")
	f.SwitchTo("/confirm?do=undo")
	f.Click("confirm")
	f.SwitchToWindow(host)
	f.Frame()
	f.WaitScript("the row to be undone", false, `return document.querySelector('[data-testid=transfer][data-say^="meadow.jpg:"]')?.dataset.state === 'cancelled'`)
}
