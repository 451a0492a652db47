package e2e

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Each sign-in that goes wrong ends on a page that says so in plain words and leads on.
func TestSignInsThatGoWrong(t *testing.T) {
	t.Parallel()
	m := newMicrosoft(t)
	a := m.live(t)
	for _, c := range []struct {
		name string
		do   func(p *Page)
		want string
	}{
		{"cancelled at the account page", func(p *Page) { p.Click("cancel") }, "You said no, and that is fine."},
		{"consent declined", func(p *Page) {
			p.Click("account-noor@demo.example")
			p.WaitVisible("consent-page")
			p.Axe()
			p.Click("decline")
		}, "You said no, and that is fine."},
		{"the organisation's administrator was not asked", func(p *Page) {
			p.Click("account-sam@work.example")
			p.WaitVisible("admin-page")
			p.Axe()
			p.Click("decline")
		}, "Your organisation must allow Skylift first."},
		{"finished in another browser", func(p *Page) {
			p.call("forget the cookies", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, network.ClearBrowserCookies, cdp.Empty{})
				return err
			}))
			p.Open(callback(p, robin))
		}, "This sign-in did not begin in this browser."},
		{"replayed", func(p *Page) {
			link := callback(p, robin)
			p.Open(link)
			p.WaitVisible("who")
			p.Open(link)
		}, "This sign-in was used already."},
		{"left open for too long", func(p *Page) {
			link := callback(p, robin)
			m.Advance(time.Hour) // the code has run out at Microsoft
			p.Open(link)
		}, "That took too long."},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := m.open(t, a.URL+"/auth/login")
			p.Allow("the server responded with a status of 40[013]") // what a browser says of such pages
			p.WaitVisible("accounts-page")
			c.do(p)
			p.WaitTextCSS("main h1", c.want)
			p.Shot("page")
			p.Axe()
			if at := p.URL(); c.name != "replayed" && strings.Contains(p.html(), "code=") {
				t.Errorf("the page at %s shows a code", at)
			}
			p.ClickCSS("main .btn.primary")
			p.WaitVisible("accounts-page")
		})
	}
}

// html is the page's source as it is now.
func (p *Page) html() string {
	p.t.Helper()
	return eval[string](p, `document.documentElement.outerHTML`)
}

// callback is the address that Microsoft would send this browser to after its account page.
func callback(p *Page, login string) string {
	p.t.Helper()
	u, err := url.Parse(p.URL())
	if err != nil {
		p.t.Fatal(err)
	}
	q := u.Query()
	q.Set("prompt", "none")
	q.Set("login_hint", login)
	u.RawQuery = q.Encode()
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(u.String())
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	if !strings.Contains(res.Header.Get("Location"), "code=") {
		p.t.Fatalf("no code: %s to %q", res.Status, res.Header.Get("Location"))
	}
	return res.Header.Get("Location")
}
