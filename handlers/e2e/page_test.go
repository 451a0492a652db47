package e2e

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// testID is the CSS selector of the element with that data-testid.
func testID(id string) chromedp.CSS { return chromedp.CSS(`[data-testid="` + id + `"]`) }

// Open goes to url and waits for the page to load.
func (p *Page) Open(url string) {
	p.t.Helper()
	p.call("open "+url, chromedp.Navigate(url))
}

// Reload loads the page again.
func (p *Page) Reload() {
	p.t.Helper()
	p.call("reload", chromedp.Reload())
}

// Front makes the page's tab the active one of its window: a hidden tab gets no clicks and draws
// no frames.
func (p *Page) Front() {
	p.t.Helper()
	p.call("bring to front", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.BringToFront, cdp.Empty{})
		return err
	}))
}

// In is the same page for a part of its test.
func (p *Page) In(t testing.TB) *Page {
	p.t = t
	return p
}

// URL is the page's address.
func (p *Page) URL() string {
	p.t.Helper()
	return value(p, "location", chromedp.Location())
}

// Click clicks the element with that data-testid with the mouse, once it is visible.
func (p *Page) Click(id string) {
	p.t.Helper()
	p.ClickCSS(string(testID(id)))
}

// ClickCSS clicks the first element of a CSS selector: for pages that are not ours.
func (p *Page) ClickCSS(selector string) {
	p.t.Helper()
	click := chromedp.Func(func(ctx context.Context, _ *chromedp.Target) (err error) {
		for range 5 { // an element that was found can be replaced before the mouse is there
			err = chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
			if err != nil && strings.Contains(err.Error(), "target detached") {
				return nil // the click has closed the page: whoever waits for what it does will see
			}
			if err == nil || !strings.Contains(err.Error(), "Could not find node") {
				return err
			}
		}
		return err
	})
	p.call("click "+selector, click)
}

// Type types into the element with that data-testid, after what is there.
func (p *Page) Type(id, text string) {
	p.t.Helper()
	p.call("type into "+id, chromedp.SendKeys(testID(id), text, chromedp.NodeVisible))
}

// Fill replaces what the field with that data-testid holds, by typing.
func (p *Page) Fill(id, text string) {
	p.t.Helper()
	p.WaitVisible(id)
	eval[chromedp.Void](p, `{ const field = document.querySelector(`+strconv.Quote(string(testID(id)))+`); field.focus(); field.select() }`)
	if text == "" {
		text = kb.Delete
	}
	p.Press(text)
}

// Press sends keys (kb.Enter, "\t", letters) to whatever has the focus.
func (p *Page) Press(keys string, opts ...chromedp.KeyOption) {
	p.t.Helper()
	p.call("press", chromedp.KeyEvent(keys, opts...))
}

// Upload chooses local files in the file field with that data-testid.
func (p *Page) Upload(id string, files ...string) {
	p.t.Helper()
	p.call("upload into "+id, chromedp.SetUploadFiles(testID(id), files))
}

// Text is the visible text of the element with that data-testid.
func (p *Page) Text(id string) string {
	p.t.Helper()
	return strings.TrimSpace(value(p, "text of "+id, chromedp.Text(testID(id), chromedp.NodeReady)))
}

// WaitText waits until the element with that data-testid shows the text, across page loads.
func (p *Page) WaitText(id, text string) {
	p.t.Helper()
	p.WaitTextCSS(string(testID(id)), text)
}

// WaitTextCSS waits until any element of a CSS selector shows the text.
func (p *Page) WaitTextCSS(selector, text string) {
	p.t.Helper()
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end) && p.ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if last = p.textNow(selector); strings.Contains(last, text) {
			return
		}
	}
	p.t.Fatalf("gave up waiting for %q in %s, which showed %q%s", text, selector, last, p.where())
}

// WaitGone waits until no element has that data-testid.
func (p *Page) WaitGone(id string) {
	p.t.Helper()
	p.call("wait until "+id+" is gone", chromedp.WaitNotPresent(testID(id)))
}

// WaitVisible waits until the element with that data-testid can be seen.
func (p *Page) WaitVisible(id string) {
	p.t.Helper()
	p.call("wait for "+id, chromedp.WaitVisible(testID(id)))
}

// WaitLoaded waits until the page has loaded: until its scripts have run, its links and forms work as
// they do without JavaScript.
func (p *Page) WaitLoaded() {
	p.t.Helper()
	eventually(p.t, "the page to load", func() bool {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		state, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState`))
		return err == nil && state == "complete"
	})
}

// WaitURL waits until the address contains part.
func (p *Page) WaitURL(part string) {
	p.t.Helper()
	eventually(p.t, "an address with "+part, func() bool {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		at, err := chromedp.Run(ctx, chromedp.Location())
		return err == nil && strings.Contains(at, part)
	})
}

// Count is how many elements have that data-testid now.
func (p *Page) Count(id string) int {
	p.t.Helper()
	return eval[int](p, `document.querySelectorAll(`+strconv.Quote(string(testID(id)))+`).length`)
}

// textNow is the visible text of all matches now, or why there is none.
func (p *Page) textNow(selector string) string {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		`[...document.querySelectorAll(`+strconv.Quote(selector)+`)].map(e => e.innerText ?? e.textContent).join('\n')`))
	if err != nil {
		return "error: " + err.Error()
	}
	return text
}

// eval evaluates an expression in the page; a promise is waited for. When the page has just gone to make
// place for another, that one is asked.
func eval[T any](p *Page, expression string) T {
	p.t.Helper()
	evaluate := chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise)
	v, err := try(p, evaluate)
	for again := 0; again < 5 && err != nil && gone.MatchString(err.Error()); again++ {
		v, err = try(p, evaluate)
	}
	if err != nil {
		p.t.Fatalf("evaluate %s: %v%s", expression, err, p.where())
	}
	return v
}

// gone is how Chromium says that a page went away while a script ran in it.
var gone = regexp.MustCompile(`target navigated or closed|context was destroyed|Cannot find (default execution )?context`)

// Shot keeps a picture of what the window shows.
func (p *Page) Shot(name string) {
	p.t.Helper()
	if shots() {
		shot(p.t, name, value(p, "screenshot", chromedp.CaptureScreenshot()))
	}
}

// FullShot keeps a picture of the whole page.
func (p *Page) FullShot(name string) {
	p.t.Helper()
	if shots() {
		shot(p.t, name, value(p, "screenshot", chromedp.FullScreenshot(100)))
	}
}

// violation is one rule of axe-core that a page breaks.
type violation struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"`
}

// axeViolations runs axe-core on the page as it is.
func (p *Page) axeViolations() []violation {
	p.t.Helper()
	source, err := os.ReadFile(axePath)
	if err != nil {
		p.t.Fatal(err)
	}
	eval[chromedp.Void](p, string(source)+";undefined")
	return eval[[]violation](p, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v =>
		({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 300) + ' ' + (n.failureSummary ?? ''))})))`)
}

// Axe fails the test for each accessibility rule that the page breaks.
func (p *Page) Axe() {
	p.t.Helper()
	for _, v := range p.axeViolations() {
		p.t.Errorf("axe: %s (%s) at\n  %s", v.ID, v.Help, strings.Join(v.Nodes, "\n  "))
	}
}
