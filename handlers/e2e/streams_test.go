package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// makeKey makes a key for scripts in the settings, as a person does, and reads it off the page.
func (p *Page) makeKey(a *app, name string) string {
	p.t.Helper()
	p.Open(a.URL + "/settings")
	p.call("name the key", chromedp.SendKeys(chromedp.CSS("#device-name"), name+"\r", chromedp.NodeVisible))
	p.WaitVisible("new-key")
	eventually(p.t, "the key to be in sight", func() bool {
		return eval[bool](p, `document.querySelector('[data-testid="new-key"]').getBoundingClientRect().bottom <= innerHeight`)
	})
	return eval[string](p, `document.querySelector('[data-testid="new-key"] input').value`)
}

// event is one event of the API's stream.
type event struct {
	ID       int
	Name     string
	Transfer struct{ ID, Name, State string }
}

// listener reads the API's stream, as curl does.
type listener struct {
	t     testing.TB
	lines *bufio.Scanner
	last  int
	stop  func()
}

// listen opens the event stream with a key; after is the Last-Event-ID, or 0.
func (a *app) listen(key string, after int) *listener {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	a.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/api/v1/events", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if after > 0 {
		req.Header.Set("Last-Event-ID", strconv.Itoa(after))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		a.t.Fatalf("the event stream answers %s", res.Status)
	}
	return &listener{t: a.t, lines: bufio.NewScanner(res.Body), last: after, stop: func() { cancel(); res.Body.Close() }}
}

// next waits for the next event; ids must grow.
func (l *listener) next() (e event) {
	l.t.Helper()
	for l.lines.Scan() {
		field, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch field {
		case "id":
			e.ID, _ = strconv.Atoi(value)
		case "event":
			e.Name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.Transfer); err != nil {
				l.t.Fatalf("event %d: %v in %s", e.ID, err, value)
			}
		case "":
			if e.Name == "" {
				continue
			}
			if e.ID <= l.last {
				l.t.Fatalf("event %d came after %d, want growing ids", e.ID, l.last)
			}
			l.last = e.ID
			return e
		}
	}
	l.t.Fatalf("the stream ended: %v", l.lines.Err())
	return e
}

// until reads events until it has seen each of want ("name state", or "deleted id"), in any order.
func (l *listener) until(want ...string) {
	l.t.Helper()
	open := map[string]bool{}
	for _, w := range want {
		open[w] = true
	}
	for len(open) > 0 {
		e := l.next()
		if e.Name == "deleted" {
			delete(open, "deleted "+e.Transfer.ID)
		}
		delete(open, e.Transfer.Name+" "+e.Transfer.State)
	}
}

func TestTabsAndScriptsSeeTheSame(t *testing.T) {
	t.Parallel()
	a, one := signedIn(t, robin)
	key := one.makeKey(a, "curl")
	one.Open(a.URL)
	two := one.Tab(a.URL)
	two.WaitVisible("save")
	script := a.listen(key, 0)
	one.Save(a.sample("meadow.jpg"))
	script.until("meadow.jpg completed")
	for _, p := range []*Page{one, two} {
		p.WaitFinal("meadow.jpg", "completed")
	}
	id := one.attrNow(row("meadow.jpg"), "data-id")
	if other := two.attrNow(row("meadow.jpg"), "data-id"); id != other {
		t.Errorf("one tab shows the transfer %s, the other %s", id, other)
	}

	script.stop()
	two.Save(a.sample("harbour.png"), a.sample("missing.jpg"))
	one.WaitFinal("harbour.png", "completed")
	one.WaitFinal("missing.jpg", "failed")
	one.ClickCSS(in("meadow.jpg", "remove"))
	for _, p := range []*Page{one, two} {
		eventually(t, "the removed row to go", func() bool { return p.attrNow(row("meadow.jpg"), "data-id") == "" })
	}
	a.listen(key, script.last).until("harbour.png completed", "missing.jpg failed", "deleted "+id)
}

// One tab signs in as somebody else: the tab that was opened before is theirs, too, and nothing of the
// former account stays there or comes in.
func TestTwoAccountsInOneBrowserSeeTheirOwn(t *testing.T) {
	t.Parallel()
	a, first := signedIn(t, robin)
	first.Allow("status of 401") // its stream is Robin's, the cookie Kim's by then
	key := first.makeKey(a, "curl")
	first.Open(a.URL)
	first.Save(a.sample("meadow.jpg"))
	first.WaitFinal("meadow.jpg", "completed")
	second := first.Tab(a.URL + "/auth/login")
	second.Click("account-" + kim)
	second.WaitVisible("who")
	second.Save(a.sample("harbour.png"))
	second.WaitFinal("harbour.png", "completed")
	script := a.listen(key, 0)
	if code := a.API(http.MethodPost, "/transfers", key, map[string]string{"sourceUrl": a.sample("tiles.png")}, nil); code != http.StatusAccepted {
		t.Fatalf("Robin's script saves: %d", code)
	}
	script.until("tiles.png completed")
	first.WaitTextCSS(".who .disc", "K") // the page has been loaded again: it is Kim's now
	first.WaitFinal("harbour.png", "completed")
	for name, page := range map[string]*Page{"the first": first, "the second": second} {
		for _, file := range []string{"meadow.jpg", "tiles.png"} {
			if id := page.attrNow(row(file), "data-id"); id != "" {
				t.Errorf("%s tab shows %s, which is Robin's", name, file)
			}
		}
	}
}

// A page with lines in it stays open after somebody else has signed in. What is dropped there is not theirs.
func TestAFileIsHandedOverForThePagesAccountOnly(t *testing.T) {
	t.Parallel()
	a, first := signedIn(t, robin)
	first.Allow("status of 40[19]") // its stream is Robin's, the cookie Kim's by then
	first.Paste("https://images.example/a line of Robin's")
	second := first.Tab(a.URL + "/auth/login")
	second.Click("account-" + kim)
	second.WaitVisible("who")
	first.Front()
	eval[bool](first, `document.dispatchEvent(new CustomEvent('skylift:files', { detail: [new File(['private'], 'robins.txt', { type: 'text/plain' })] }))`)
	first.WaitTextCSS("#toast", "robins.txt: This page was another account's.")
	second.Reload()
	if got := second.listNow(); got != "" {
		t.Errorf("Kim's list holds %s", got)
	}
}

// Browsers open six connections to an HTTP/1.1 server and no more: with a stream for each tab, the
// seventh could not even load.
func TestNineTabsShareOneStream(t *testing.T) {
	t.Parallel()
	a, base := signedIn(t, robin)
	base.Open(a.URL + "/settings") // follows no events, so the first tab below leads
	var tabs []*Page
	for range 9 {
		p := base.Tab(a.URL)
		p.WaitVisible("save")
		tabs = append(tabs, p)
	}
	tabs[8].Save(a.sample("meadow.jpg"))
	for _, p := range tabs {
		p.WaitFinal("meadow.jpg", "completed")
	}
	// Those of the page that was left for the settings were told nothing: 9 bytes.
	if n := len(regexp.MustCompile(`"path":"/events",[^\n]*"bytes":\d{2,},`).FindAllString(a.Log(), -1)); n > 0 {
		t.Errorf("%d streams have ended, want one that is still open", n)
	}
	leader := tabs[0]
	leader.call("close the tab", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.Close, cdp.Empty{})
		return err
	}))
	tabs[1].Save(a.sample("tiles.png"))
	for _, p := range tabs[1:] {
		p.WaitFinal("tiles.png", "completed")
	}
}
