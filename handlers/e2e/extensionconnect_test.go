package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Each way in which a server cannot be connected to has a reason that says what to do, and a
// server behind somebody else's sign-in can be reached with a header of one's own.
func TestExtensionConnects(t *testing.T) {
	g := newGallerySite(t)
	a, door := behindDoor(t, g)
	e := withExtension(t, nil, "http://localhost/*", "http://127.0.0.1/*", "https://127.0.0.1/*")
	options := e.Wait("page", extensionBase+"options.html")
	options.Allow("ERR_|status of (4|5)")
	say := func(answer string) string { // a server that gives this answer to everything
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if answer == "" {
				w.WriteHeader(http.StatusBadGateway)
			}
			_, _ = io.WriteString(w, answer)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	selfSigned := httptest.NewUnstartedServer(http.NotFoundHandler())
	selfSigned.Config.ErrorLog = quietLog
	selfSigned.TLS = &tls.Config{}
	selfSigned.StartTLS()
	t.Cleanup(selfSigned.Close)
	for _, c := range []struct{ name, address, reason, offers string }{
		{"nothing", " ", "Type the address", ""},
		{"no address", "my server", "not an address of a server", ""},
		{"a password in it", "https://me:secret@skylift.example.org", "Leave the user name and password out", ""},
		{"http", "http://skylift.example.org:8443/x", "must be reached by https://", "https://skylift.example.org:8443"},
		{"nobody there", freeAddress(t), "Nothing answered at this address", ""},
		{"a certificate that nobody vouches for", selfSigned.URL, "does the browser trust its certificate", ""},
		{"https where http is spoken", strings.Replace(say("x"), "http:", "https:", 1), "Nothing answered at this address", ""},
		{"another web site", g.URL, "it is not Skylift", ""},
		{"another program's JSON", say(`{"product":"else"}`), "it is not Skylift", ""},
		{"a broken server", say(""), "Skylift answered with an error of its own", ""},
		{"another name of the server", say(`{"product":"skylift","url":"` + door.URL + `"}`), "calls itself by another address", door.URL},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := options.In(t)
			options.Fill("address", c.address)
			options.Click("connect")
			options.WaitText("notices", c.reason)
			if got := options.textNow(`[data-testid="use-address"]`); got != "" && c.offers == "" || !strings.HasSuffix(got, c.offers) {
				t.Errorf("it offers %q, want %q", got, c.offers)
			}
			options.Shot("reason")
		})
	}
	t.Run("a proxy that asks who one is", func(t *testing.T) { testProxyDoor(t, e.in(t), a.in(t), door, g, options.In(t)) })
}

// testProxyDoor connects through a proxy that lets pages in by a sign-in of its own and all else
// by a header only.
func testProxyDoor(t *testing.T, e *extension, a *app, door *door, g *gallerySite, options *Page) {
	options.Click("use-address") // of the case before: where the server really is
	options.WaitText("notices", "Something in front of the server asks who you are")
	if !eval[bool](options, `document.querySelector('[data-testid=more]').open`) {
		t.Error("the field for headers stays hidden")
	}
	options.Axe()
	options.FullShot("proxy")
	options.Fill("headers", "Authorization: mine")
	options.Click("connect")
	options.WaitText("notices", "This header cannot be sent: Authorization")
	options.Fill("headers", "X-Access-Token: open sesame")

	site := e.Tab("")
	site.Allow("webmanifest") // browsers fetch it without cookies
	site.SignIn(a, robin)
	options.Front()
	eval[any](options, `void ((i, f) => { i.launchWebAuthFlow = () => { i.launchWebAuthFlow = f; return new Promise(() => {}) } })(chrome.identity, chrome.identity.launchWebAuthFlow)`)
	options.Click("connect") // the window is lost
	options.Click("in-tab")
	consent := e.Wait("page", "/ext/connect?")
	consent.Allow("webmanifest")
	consent.Click("refuse")
	options.WaitText("notices", "You chose “No”")
	e.WaitClosed("/ext/connect")
	options.Front()
	options.Click("connect")
	consent = e.Consent(options)
	consent.Allow("webmanifest") // of a tab
	consent.Click("refuse")
	options.WaitText("notices", "You chose “No”")
	e.WaitClosed("/ext/connect")
	options.Front()
	options.Click("connect")
	consent = e.Consent(options)
	consent.Allow("webmanifest")
	consent.Click("connect")
	options.WaitText("notices", "Connected to "+a.URL)
	options.WaitText("account", "Robin")

	worker := e.Worker()
	key := e.key(worker)
	page := e.Tab(g.URL)
	page.Allow("401")
	e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/red.png", "mediaType": "image"}, page)
	direct := *a
	direct.URL = door.behind
	direct.waitSaved(key, "/red.png")
	door.shut.Store(true)
	worker.Allow("status of 403")
	e.menu(worker, "save-image", map[string]any{"srcUrl": g.URL + "/green.png", "mediaType": "image"}, page)
	popup := e.Tab("popup.html")
	popup.Allow("status of 403")
	popup.WaitText("rows", "Something in front of the server refused the request. It is sent later.")
	popup.WaitText("notices", "Something in front of the server refused the request")
	popup.Shot("proxy")
	door.shut.Store(false)
	popup.Click("try")
	direct.waitSaved(key, "/green.png")
}
