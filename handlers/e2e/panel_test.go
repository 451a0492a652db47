package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
)

// framedSite is a Skylift at https://app.test whose Microsoft is a stand-in on another origin, and
// a page at https://embed.test that frames its panel.
type framedSite struct {
	t         testing.TB
	ca        *authority
	app       *app
	microsoft *app
	origin    string // of Skylift
	host      string // of the page that may frame it
}

// newFramedSite starts both. frame is the tag that holds the panel, with $PANEL for its address;
// change may alter Skylift's answers on their way to the browser.
func newFramedSite(t testing.TB, frame string, change func(*http.Response)) *framedSite {
	t.Helper()
	s := &framedSite{t: t, ca: newAuthority(t), microsoft: start(t)}
	page := ""
	s.host = s.ca.Serve("embed.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { htmlPage(page).ServeHTTP(w, r) }))
	s.origin = s.ca.Serve("app.test", proxyTo(func() string { return s.app.URL }, change))
	page = `<!doctype html><html lang="en"><title>A page of somebody else</title><body style="margin:0">` + strings.ReplaceAll(frame, "$PANEL", s.origin+"/panel")
	free := need(net.Listen("tcp", "localhost:0"))(t)
	listen := "localhost:" + free.Addr().String()[strings.LastIndexByte(free.Addr().String(), ':')+1:]
	free.Close()
	standIn := strings.TrimPrefix(s.microsoft.URL, "http://")
	s.app = startAt(t, listen, "SKYLIFT_URL="+s.origin, "SKYLIFT_CLIENT_ID=panel-test", "SKYLIFT_CLIENT_SECRET=secret",
		"SKYLIFT_LOGIN_URL="+s.microsoft.URL+"/demo", "SKYLIFT_GRAPH_URL="+s.microsoft.URL+"/demo/v1.0",
		"SKYLIFT_MICROSOFT_HOSTS="+standIn, "SKYLIFT_ALLOW_SOURCES="+standIn, "SKYLIFT_EMBED_ORIGINS="+s.host+",office")
	return s
}

const plainFrame = `<iframe src="$PANEL" title="Skylift" width="360" height="760" style="border:0"></iframe>`

// open opens the page with the panel and returns the panel inside it.
func (s *framedSite) open(browser context.Context) (outer, panel *Page) {
	s.t.Helper()
	outer = openIn(s.t, browser, s.host+"/", nil)
	return outer, s.panel(browser)
}

// panel is the panel inside the page. Its thumbnails come from the stand-in by http, which no
// https page loads.
func (s *framedSite) panel(browser context.Context) *Page {
	s.t.Helper()
	p := waitTarget(s.t, browser, "iframe", s.origin+"/panel")
	p.Allow("thumbnail")
	return p
}

// ready waits until the panel's script can open a window right in the click.
func (p *Page) ready() {
	p.t.Helper()
	eventually(p.t, "the panel's script", func() bool { return eval[bool](p, `!!document.querySelector('[data-panel][data-ready]')`) })
}

// signIn goes through both windows as robin and waits for the panel to know him.
func (s *framedSite) signIn(browser context.Context, panel *Page) {
	s.t.Helper()
	s.throughMicrosoft(browser)
	waitNoTarget(s.t, browser, "/auth/panel")
	panel.WaitText("panel-who", robin)
}

func (s *framedSite) throughMicrosoft(browser context.Context) {
	s.t.Helper()
	relay := waitTarget(s.t, browser, "page", s.origin+"/auth/panel?")
	relay.WaitText("relay-host", strings.TrimPrefix(s.host, "https://"))
	relay.Shot("relay")
	relay.Click("relay-start")
	microsoft := waitTarget(s.t, browser, "page", s.microsoft.URL+"/demo/")
	microsoft.Allow(".") // it closes while it is looked at
	relay.Allow(".")
	if got := eval[bool](microsoft, `window.opener === null`); !got {
		s.t.Error("the stand-in's page kept its opener: Microsoft's would not, and the test proves nothing")
	}
	microsoft.Click("account-" + robin)
}

// saves puts a picture into the field, presses the button and looks for the file at Microsoft.
func (s *framedSite) saves(panel *Page) {
	s.t.Helper()
	panel.Save(s.microsoft.sample("meadow.jpg"))
	panel.WaitFinal("meadow.jpg", "completed")
	s.microsoft.Drive(robin).WaitFile("/meadow.jpg")
}

func TestPanelSignsInAndSavesInAFrame(t *testing.T) {
	// A browser that does not know partitioned cookies sees a plain one, which it then blocks.
	unpartitioned := func(r *http.Response) {
		for i, c := range r.Header["Set-Cookie"] {
			r.Header["Set-Cookie"][i] = strings.ReplaceAll(c, "; Partitioned", "")
		}
	}
	for name, c := range map[string]struct {
		frame   string
		cookies thirdParty
		change  func(*http.Response)
		bearer  bool
	}{
		"third-party cookies blocked":              {plainFrame, cookiesBlocked, nil, false},
		"third-party cookies allowed":              {plainFrame, cookiesAllowed, nil, false},
		"no cookie is kept in frames":              {plainFrame, cookiesBlocked, unpartitioned, true},
		"a sandbox that allows what a panel needs": {strings.Replace(plainFrame, "<iframe", `<iframe sandbox="allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox"`, 1), cookiesBlocked, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFramedSite(t, c.frame, c.change)
			browser := s.ca.ownBrowser(c.cookies)
			outer, panel := s.open(browser)
			panel.ready()
			panel.Axe()
			outer.Shot("signed-out")
			panel.Click("panel-sign-in")
			s.signIn(browser, panel)
			if got := eval[bool](panel, `window.fetch.name === 'withBearer'`); got != c.bearer {
				t.Errorf("the panel uses a bearer: %v, want %v", got, c.bearer)
			}
			s.saves(panel)
			panel.Axe()
			outer.Shot("saved")
			if c.bearer {
				return // the bearer is gone with the page
			}
			outer.Allow("thumbnail")
			outer.Reload()
			s.panel(browser).WaitText("panel-who", robin)
		})
	}
}

func TestPanelWhereTheBrowserOpensNoWindow(t *testing.T) {
	s := newFramedSite(t, plainFrame, nil)
	browser := s.ca.ownBrowser(cookiesBlocked)
	outer, panel := s.open(browser)
	panel.ready()
	eval[bool](panel, `(window.open = () => null, true)`) // what a popup blocker makes of it
	panel.Click("panel-sign-in")
	panel.WaitVisible("panel-blocked")
	outer.Shot("blocked")
	panel.Click("panel-relay")
	s.signIn(browser, panel)
	s.saves(panel)
}

func TestPanelInASandbox(t *testing.T) {
	t.Run("without an origin it says what to do", func(t *testing.T) {
		s := newFramedSite(t, strings.Replace(plainFrame, "<iframe", `<iframe sandbox="allow-scripts allow-popups"`, 1), nil)
		browser := s.ca.ownBrowser(cookiesBlocked)
		outer, panel := s.open(browser)
		panel.Allow("icons")
		panel.WaitVisible("panel-sealed")
		if n := eval[int](panel, `document.querySelectorAll('[data-sign-in]:not([hidden])').length`); n != 0 {
			t.Error("a button is offered that cannot work")
		}
		outer.Shot("sealed")
	})
	t.Run("whose windows are sandboxed too, who is signed in already needs no Microsoft", func(t *testing.T) {
		s := newFramedSite(t, strings.Replace(plainFrame, "<iframe", `<iframe sandbox="allow-scripts allow-same-origin allow-forms allow-popups"`, 1), nil)
		browser := s.ca.ownBrowser(cookiesBlocked)
		tab := openIn(t, browser, s.origin+"/auth/login", nil)
		tab.Allow("thumbnail")
		tab.Click("account-" + robin)
		tab.WaitVisible("who")
		_, panel := s.open(browser)
		panel.ready()
		panel.Click("panel-sign-in")
		relay := waitTarget(t, browser, "page", s.origin+"/auth/panel?")
		relay.Allow(".")
		relay.Shot("continue")
		relay.Axe()
		relay.Click("relay-continue")
		panel.WaitText("panel-who", robin)
		s.saves(panel)
	})
}

func TestPanelWhoseWindowIsClosedHalfWay(t *testing.T) {
	s := newFramedSite(t, plainFrame, nil)
	browser := s.ca.ownBrowser(cookiesBlocked)
	_, panel := s.open(browser)
	panel.ready()
	panel.Click("panel-sign-in")
	waitTarget(t, browser, "page", s.origin+"/auth/panel?").Close()
	panel.WaitText("panel-say", "closed before you were signed in")

	panel.Click("panel-sign-in")
	relay := waitTarget(t, browser, "page", s.origin+"/auth/panel?")
	relay.Click("relay-start")
	waitTarget(t, browser, "page", s.microsoft.URL+"/demo/").Close()
	waitNoTarget(t, browser, s.microsoft.URL)
	s.throughMicrosoft(browser) // the first window still waits: its button works again
	panel.WaitText("panel-who", robin)
}

// framedIn is what a frame shows: the address that it really is at.
func framedIn(p *Page) string { return eval[string](p, `location.href`) }

func TestNobodyElseFramesAnything(t *testing.T) {
	s := newFramedSite(t, plainFrame, nil)
	browser := s.ca.ownBrowser(cookiesAllowed)
	evil := func(path string) string {
		return s.ca.Serve("evil.test", htmlPage(`<!doctype html><html lang="en"><title>Evil</title><iframe title="x" src="`+s.origin+path+`"></iframe>`))
	}
	for _, path := range []string{"/panel", "/", "/save?url=https://x.example/y", "/settings", "/auth/panel?c=" + strings.Repeat("A", 43), "/panel/done", "/save/button?url=https://x.example/y"} {
		outer := openIn(t, browser, evil(path)+"/", nil)
		outer.Allow("frame-ancestors|ERR_BLOCKED|X-Frame-Options|status of 4")
		frame := waitTarget(t, browser, "iframe", s.origin+path)
		frame.Allow(".")
		eventually(t, path+" to be blocked", func() bool { return strings.HasPrefix(framedIn(frame), "chrome-error:") })
		outer.Open("about:blank")
	}
	listed := openIn(t, browser, s.ca.Serve("embed.test", htmlPage(strings.ReplaceAll(plainFrame, "$PANEL", s.origin+"/panel")))+"/", nil)
	listed.Allow("frame-ancestors|ERR_BLOCKED")
	other := waitTarget(t, browser, "iframe", s.origin+"/panel")
	other.Allow(".")
	eventually(t, "another port of the same host to be blocked", func() bool { return strings.HasPrefix(framedIn(other), "chrome-error:") })
}

func TestPanelUndoesInAWindowOfItsOwn(t *testing.T) {
	s := newFramedSite(t, plainFrame, nil)
	browser := s.ca.ownBrowser(cookiesBlocked)
	_, panel := s.open(browser)
	panel.ready()
	panel.Click("panel-sign-in")
	s.signIn(browser, panel)
	s.saves(panel)
	panel.Click("undo")
	ask := waitTarget(t, browser, "page", "/confirm?do=undo")
	ask.Allow(".")
	ask.WaitTextCSS("h1", "meadow.jpg")
	ask.Axe()
	ask.Shot("confirm")
	if _, there := s.microsoft.Drive(robin).Content("/meadow.jpg"); !there {
		t.Error("the file went before the person said yes")
	}
	ask.Click("confirm")
	panel.WaitState("meadow.jpg", "cancelled")
	if _, there := s.microsoft.Drive(robin).Content("/meadow.jpg"); there {
		t.Error("the file is still there")
	}
}

func TestPanelTalksWithItsHost(t *testing.T) {
	script := `<script>window.got = []; addEventListener('message', (e) => got.push({ ...e.data, from: e.origin }));
		const ask = (m) => document.querySelector('iframe').contentWindow.postMessage(m, '*');</script>`
	s := newFramedSite(t, plainFrame+script, nil)
	browser := s.ca.ownBrowser(cookiesBlocked)
	outer, panel := s.open(browser)
	panel.ready()
	panel.Click("panel-sign-in")
	s.signIn(browser, panel)
	told := func(what, condition string) {
		t.Helper()
		eventually(t, what, func() bool { return eval[bool](outer, `got.some((m) => m.from === '`+s.origin+`' && `+condition+`)`) })
	}
	told("that it is ready", `m.type === 'skylift:ready' && m.signedIn`)
	picture := s.microsoft.sample("meadow.jpg")
	eval[bool](outer, `(ask({ type: 'skylift:add', urls: ['`+picture+`', 'javascript:alert(1)', 5] }), true)`)
	told("that one address was added", `m.type === 'skylift:added' && m.count === 1`)
	if got := eval[string](panel, `document.getElementById('urls').value`); got != picture {
		t.Errorf("the field holds %q", got)
	}
	if n := panel.Count("transfer"); n != 0 {
		t.Error("a page saved without the person")
	}
	panel.Click("submit")
	told("that it is saved", `m.type === 'skylift:transfer' && m.transfer.state === 'completed' && m.transfer.sourceUrl === '`+picture+`'`)
}
