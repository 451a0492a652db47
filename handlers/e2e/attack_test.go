package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// challenge has the form of one. Nobody has its verifier.
var challenge = strings.Repeat("A", 43)

// A page that opens the panel's window hears its code only if it is ours. Our own page is the
// proof that there was a code to hear, on both ways that it takes.
func TestAnEvilOpenerGetsNoCode(t *testing.T) {
	s := newFramedSite(t, plainFrame, nil)
	browser := s.ca.ownBrowser(cookiesAllowed)
	own := openIn(t, browser, s.origin+"/auth/login", nil)
	own.Click("account-" + robin)
	own.WaitVisible("who")
	evil := openIn(t, browser, s.ca.Serve("evil.test", htmlPage(`<!doctype html><html lang="en"><title>Evil</title><h1>Evil</h1>`))+"/", nil)
	for name, c := range map[string]struct {
		opener *Page
		want   int
	}{"an evil page": {evil, 0}, "our own page": {own, 1}} {
		t.Run(name, func(t *testing.T) {
			opener := c.opener.In(t)
			open := func() *Page {
				opener.Front()
				eval[bool](opener, `(window.got = [], onmessage = (e) => { if (e.data?.code) got.push(e.data) }, document.getElementById('lure')?.remove(),
					document.body.prepend(Object.assign(document.createElement('button'), { id: 'lure', textContent: 'Click', onclick: () => open('`+s.origin+`/auth/panel?from=https://bank.test&c=`+challenge+`') })), true)`)
				opener.ClickCSS("#lure")
				relay := waitTarget(t, browser, "page", s.origin+"/auth/panel?")
				relay.Allow(".") // it closes while it is looked at
				if got := eval[string](relay, `document.querySelector('[data-testid="relay"] p:nth-of-type(2)').innerText`); got != "A Skylift panel asks to save into your OneDrive." {
					t.Errorf("the window says %q", got)
				}
				return relay
			}
			heard := func(way string) {
				t.Helper()
				if got := eval[int](opener, `got.length`); got != c.want {
					t.Errorf("%s: the page that opened the window got %d codes, want %d", way, got, c.want)
				}
			}
			relay := open()
			relay.Click("relay-continue")
			relay.WaitClosed(browser) // once its script is through with the code
			heard("who is signed in already")

			relay = open()
			relay.Click("relay-start")
			microsoft := waitTarget(t, browser, "page", s.microsoft.URL+"/demo/")
			microsoft.Allow(".")
			microsoft.Click("account-" + robin)
			relay.WaitClosed(browser)
			heard("by way of Microsoft")
		})
	}
}

// A code that somebody else pushes at the panel would sign it in as somebody else: its person's
// files would land in a stranger's drive.
func TestThePanelTakesACodeFromItsOwnWindowOnly(t *testing.T) {
	s := newFramedSite(t, plainFrame, nil)
	browser := s.ca.ownBrowser(cookiesBlocked)
	outer, panel := s.open(browser)
	panel.ready()
	asked := strings.TrimPrefix(eval[string](panel, `new URL(document.querySelector('[data-relay]').href).search.split('&')[0]`), "?c=")
	panel.Click("panel-sign-in")
	window := waitTarget(t, browser, "page", s.origin+"/auth/panel?")
	window.Allow(".")

	kims := openIn(t, browser, s.origin+"/auth/login", []look{noScript()}, chromedp.WithNewBrowserContext())
	kims.Allow(".")
	kims.Click("account-" + kim)
	kims.WaitVisible("who")
	kims.Open(s.origin + "/auth/panel?c=" + asked)
	kims.Click("relay-continue")
	kims.WaitVisible("handoff")
	code := kims.attrNow("[data-handoff]", "data-code")

	eval[bool](panel, `(window.seen = 0, addEventListener('message', () => seen++), window.asked = 0,
		window.fetch = ((plain) => (...all) => { asked++; return plain(...all) })(window.fetch), true)`)
	message := func(challenge string) string {
		return `{ type: 'skylift:handoff', challenge: '` + challenge + `', code: '` + code + `' }`
	}
	eval[bool](outer, `(frames[0].postMessage(`+message(asked)+`, '*'), true)`)
	eval[bool](panel, `(postMessage(`+message(asked)+`, location.origin), true)`)
	eval[bool](window, `new Promise((heard) => {
		const [from, to] = [new BroadcastChannel('skylift-handoff'), new BroadcastChannel('skylift-handoff')];
		to.onmessage = () => heard(true); // after the window's own channel, which is older
		from.postMessage(`+message(challenge)+`);
	})`)
	eval[bool](window, `(opener.postMessage(`+message(challenge)+`, location.origin), true)`)
	goes := func(to string) {
		t.Helper()
		eval[bool](window, `(setTimeout(() => { location.href = '`+to+`' }), true)`)
		window.WaitURL(to)
	}
	goes(s.ca.Serve("evil.test", htmlPage(`<!doctype html><html lang="en"><title>Evil</title>`)) + "/")
	eval[bool](window, `(opener.postMessage(`+message(asked)+`, '*'), true)`)
	eventually(t, "four messages to arrive", func() bool { return eval[int](panel, `seen`) >= 4 })
	if seen, n := eval[int](panel, `seen`), eval[int](panel, `asked`); seen != 4 || n != 0 {
		t.Errorf("the panel got %d messages, want 4, and sent %d requests for codes of the page around it, of itself, of another panel's sign-in and of a page that its window went to", seen, n)
	}
	goes(s.origin + "/auth/panel?c=" + asked)
	eval[bool](window, `(opener.postMessage(`+message(asked)+`, location.origin), true)`)
	panel.WaitText("panel-who", kim) // the code was good
}

// The panel's postMessage API is for the page right around it, and for those on the list one by one.
func TestThePanelListensToItsHostOnly(t *testing.T) {
	const script = `<script>window.got = []; addEventListener('message', (e) => got.push(e.data.type));
		window.ask = (to) => { for (const type of ['skylift:hello', 'skylift:add']) to.postMessage({ type, urls: ['https://images.example/cat.jpg'] }, '*') }</script>`
	around := plainFrame + `<iframe srcdoc="` + strings.ReplaceAll(script, `"`, "&quot;") + `" title="Neighbour"></iframe>` + script
	s := newFramedSite(t, around, nil)
	office := s.ca.Serve("word.officeapps.live.com", htmlPage(`<!doctype html><html lang="en"><title>Office</title>`+strings.ReplaceAll(around, "$PANEL", s.origin+"/panel")))
	port := office[strings.LastIndexByte(office, ':')+1:]
	browser := s.ca.ownBrowser(cookiesBlocked, chromedp.Flag("host-resolver-rules", "MAP word.officeapps.live.com 127.0.0.1:"+port+", MAP *.test 127.0.0.1"))
	for name, c := range map[string]struct {
		host, from string
		want       string // what the page around the panel is told beside that the panel is there
	}{
		"the page around it":                        {s.host, "window", "skylift:refused"},
		"a neighbour frame of the same site":        {s.host, "frames[1]", ""},
		"an Office page, which may frame it":        {"https://word.officeapps.live.com", "window", ""},
		"a neighbour frame inside that Office page": {"https://word.officeapps.live.com", "frames[1]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			outer := openIn(t, browser, c.host+"/", nil)
			panel := waitTarget(t, browser, "iframe", s.origin+"/panel")
			panel.ready()
			eval[bool](panel, `(window.seen = 0, addEventListener('message', () => seen++), true)`)
			eval[bool](outer, `(`+c.from+`.ask(frames[0]), true)`)
			eventually(t, "the messages to arrive", func() bool { return eval[int](panel, `seen`) == 2 })
			// The panel answers at once, so an answer is there before that of a later question.
			eval[bool](outer, `new Promise((done) => { addEventListener('message', (e) => e.data === 'end' && done(true)); frames[0].postMessage('x', '*'); setTimeout(() => postMessage('end', '*')) })`)
			got := eval[string](outer, `got.filter((t) => t && t !== 'skylift:ready').join()`)
			if got != c.want {
				t.Errorf("the page around the panel was told %q, want %q", got, c.want)
			}
			if told := eval[bool](outer, `got.includes('skylift:ready')`); told != (c.host == s.host) {
				t.Errorf("told that the panel is there: %v", told)
			}
		})
	}
}

// Whoever opened the save button's window could make a person click in it by surprise, or listen
// in; and what claims to be the window need not be it.
func TestSaveButtonAgainstEvilPages(t *testing.T) {
	s := newFramedSite(t, "", nil)
	browser := s.ca.ownBrowser(cookiesBlocked)
	tab := openIn(t, browser, s.origin+"/auth/login", nil)
	tab.Allow("thumbnail")
	tab.Click("account-" + robin)
	tab.WaitVisible("who")
	picture := s.microsoft.sample("meadow.jpg")
	address := s.origin + "/save/button?url=" + picture + "&origin=https://shop.test&name="

	t.Run("a click that was meant for another window", func(t *testing.T) {
		p := openIn(t, browser, "", nil)
		p.call("click early", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			_, err := cdp.Call(ctx, tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
				Source: `addEventListener('load', () => document.querySelector('[data-form] button').click())`})
			return err
		}))
		p.Open(address + "Early.jpg")
		if eval[bool](p, `document.querySelector('[data-form]').hidden`) {
			t.Error("the click of the first moment saved")
		}
		eventually(t, "the button to take a click", func() bool { return eval[bool](p, `!document.querySelector('[data-form] button').disabled`) })
		p.Click("button-save")
		p.WaitText("button-say", "Saved: Early.jpg")
	})
	t.Run("a page that says it is another", func(t *testing.T) {
		evil := openIn(t, browser, s.ca.Serve("evil.test", htmlPage(`<!doctype html><html lang="en"><title>Evil</title><h1>Evil</h1>`))+"/", nil)
		eval[bool](evil, `(window.got = [], onmessage = (e) => got.push(e.data), window.popups = [], document.querySelector('h1').onclick = () => popups.push(open('`+address+`Evil.jpg')), true)`)
		evil.ClickCSS("h1")
		window := waitTarget(t, browser, "page", s.origin+"/save/button")
		window.Allow("target origin provided") // the browser says that it delivered nothing
		eval[bool](evil, `(popups.forEach((p) => p.postMessage({ type: 'skylift:here' }, '*')), true)`)
		eventually(t, "the button to take a click", func() bool { return eval[bool](window, `!document.querySelector('[data-form] button').disabled`) })
		window.Click("button-save")
		window.WaitText("button-say", "Saved: Evil.jpg")
		if host := window.Text("button-host"); !strings.HasPrefix(host, "evil.test:") {
			t.Errorf("the person is told that %s asks", host)
		}
		if n := eval[int](evil, `got.length`); n != 0 {
			t.Errorf("it was told %d times", n)
		}
	})
	t.Run("a window that says it is ours", func(t *testing.T) {
		shop := openIn(t, browser, s.ca.Serve("shop.test", htmlPage(`<!doctype html><html lang="en"><title>A shop</title><h1>Shop</h1><script src="`+s.origin+`/embed.js"></script>`))+"/", nil)
		eval[bool](shop, `(window.got = [], window.open = ((plain) => (...all) => window.popup = plain(...all))(window.open),
			document.querySelector('h1').onclick = () => Skylift.save({ url: '`+picture+`', on: (event) => got.push(event) }), true)`)
		shop.ClickCSS("h1")
		window := waitTarget(t, browser, "page", s.origin+"/save/button")
		for source, origin := range map[string]string{"window": s.origin, "popup": "https://evil.test"} {
			eval[bool](shop, `dispatchEvent(new MessageEvent('message', { source: `+source+`, origin: '`+origin+`', data: { type: 'skylift:button', event: 'success', detail: {} } }))`)
		}
		if n := eval[int](shop, `got.length`); n != 0 {
			t.Errorf("the shop believed it %d times", n)
		}
		window.Allow(".")
		window.Click("button-cancel")
		eventually(t, "the real window to be heard", func() bool { return eval[string](shop, `got.join()`) == "cancel" })
	})
}
