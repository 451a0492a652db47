package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// sharedBrowser is the one headless Chromium that ordinary pages are opened in; each test gets
// an isolated context (cookies, storage) of its own in it.
var sharedBrowser lazyBrowser

type lazyBrowser struct {
	once  sync.Once
	ctx   context.Context
	err   error
	stops []func()
}

func (b *lazyBrowser) start(t testing.TB) context.Context {
	t.Helper()
	b.once.Do(func() {
		allocator, stopAllocator := chromedp.NewExecAllocator(suite, chromiumOptions(workDir+"/profile")...)
		ctx, stop := chromedp.NewContext(allocator)
		b.ctx, b.stops = ctx, []func(){stop, stopAllocator}
		b.err = chromedp.Do(ctx) // starts it: this context must have no deadline
	})
	if b.err != nil {
		t.Fatalf("start chromium: %v", b.err)
	}
	return b.ctx
}

func (b *lazyBrowser) stop() {
	for _, f := range b.stops {
		f()
	}
}

// chromiumOptions are the flags that every Chromium of these tests is started with.
func chromiumOptions(profile string, extra ...chromedp.ExecAllocatorOption) []chromedp.ExecAllocatorOption {
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromiumPath), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"),
		chromedp.WindowSize(1200, 900))
	return append(opts, extra...)
}

// Page is one tab. Its methods fail the test instead of returning errors.
type Page struct {
	t   testing.TB
	ctx context.Context
	id  target.ID // of a window that the browser opened itself; see waitTarget

	mu       sync.Mutex
	problems []string
	allowed  []*regexp.Regexp
}

// look changes how a page is shown.
type look func(*Page)

// dark asks for the dark scheme.
func dark() look { return media("prefers-color-scheme", "dark") }

func media(name, value string) look {
	return func(p *Page) {
		p.call("media", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: name, Value: value}}})
			return err
		}))
	}
}

// phone gives the page the size, pixels and touch of a small phone.
func phone() look {
	return func(p *Page) {
		p.call("phone", chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch))
	}
}

// size gives the page a window of that many CSS pixels.
func size(width, height int64) look {
	return func(p *Page) { p.call("size", chromedp.EmulateViewport(width, height)) }
}

// noScript turns JavaScript off.
func noScript() look {
	return func(p *Page) {
		p.call("no script", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			return err
		}))
	}
}

// open opens url in an isolated profile of its own, closed with the test.
func open(t testing.TB, url string, looks ...look) *Page {
	t.Helper()
	return openIn(t, sharedBrowser.start(t), url, looks, chromedp.WithNewBrowserContext())
}

// Tab opens url in another tab of the same profile.
func (p *Page) Tab(url string, looks ...look) *Page {
	p.t.Helper()
	return openIn(p.t, p.ctx, url, looks)
}

func openIn(t testing.TB, browser context.Context, url string, looks []look, opts ...chromedp.ContextOption) *Page {
	t.Helper()
	p := &Page{t: t}
	ctx, cancel := chromedp.NewContext(browser, append(opts, chromedp.WithListener(p.listen))...)
	p.ctx = ctx
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			p.shotOfFailure()
		}
		for _, problem := range p.Problems() {
			t.Errorf("page problem: %s", problem)
		}
		cancel()
	})
	p.start()
	for _, l := range looks {
		l(p)
	}
	if url != "" {
		p.Open(url)
	}
	return p
}

// attach takes over a target that the browser opened itself: a popup window, a side panel, an
// iframe of another site, an extension's worker.
func attach(t testing.TB, browser context.Context, p *Page, opts ...chromedp.ContextOption) *Page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, append(opts, chromedp.WithListener(p.listen))...)
	p.t, p.ctx = t, ctx
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			p.shotOfFailure()
		}
		for _, problem := range p.Problems() {
			t.Errorf("problem in an attached page: %s", problem)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("attach: %v", err)
	}
	return p
}

// watchCSP reports violations of the page's own policy on the console, where listen finds them.
const watchCSP = `addEventListener('securitypolicyviolation', e =>
	console.error('CSP: ' + e.violatedDirective + ' blocked ' + (e.blockedURI || 'inline') + ' at ' + e.sourceFile + ':' + e.lineNumber), true)`

func (p *Page) start() {
	p.t.Helper()
	if err := chromedp.Do(p.ctx); err != nil { // opens the tab: no deadline
		p.t.Fatalf("open a tab: %v", err)
	}
	p.call("watch the CSP", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watchCSP})
		return err
	}))
}

// listen runs in the tab's event loop: it must be quick and send no command.
func (p *Page) listen(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "assert" {
			p.note("console: " + consoleText(ev))
		}
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			text += " " + e.Description
		}
		p.note("exception: " + text)
	case *log.EventEntryAdded:
		if ev.Entry.Level == "error" {
			p.note(fmt.Sprintf("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	}
}

func consoleText(ev *runtime.EventConsoleAPICalled) string {
	words := make([]string, 0, len(ev.Args))
	for _, a := range ev.Args {
		if len(a.Value) > 0 {
			words = append(words, string(a.Value))
		} else {
			words = append(words, a.Description)
		}
	}
	return strings.Join(words, " ")
}

func (p *Page) note(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

// Problems are the console errors, exceptions and CSP violations so far that Allow does not name.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
next:
	for _, problem := range p.problems {
		for _, re := range p.allowed {
			if re.MatchString(problem) {
				continue next
			}
		}
		found = append(found, problem)
	}
	return found
}

// Allow says that problems matching this expression are expected in this test.
func (p *Page) Allow(expression string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, regexp.MustCompile(expression))
}

// call runs steps within the patience of the suite.
func (p *Page) call(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v%s", what, err, p.where())
	}
}

// value runs an action that answers with a value.
func value[T any](p *Page, what string, action chromedp.Action[T]) T {
	p.t.Helper()
	v, err := try(p, action)
	if err != nil {
		p.t.Fatalf("%s: %v%s", what, err, p.where())
	}
	return v
}

func try[T any](p *Page, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// where says which page a failure happened on, and what it showed.
func (p *Page) where() string {
	ctx, cancel := context.WithTimeout(p.ctx, patience/10)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname + '\n' + (document.body?.innerText ?? '').slice(0, 1500)`))
	if err != nil {
		return ""
	}
	return "\n--- the page was " + at
}

var failures atomic.Int32 // numbers the pictures

func (p *Page) shotOfFailure() {
	if !shots() || p.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience/10)
	defer cancel()
	if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		shot(p.t, fmt.Sprintf("failed-%d", failures.Add(1)), png)
	}
}

// newProfile makes a folder for a browser's profile. Browsers still write while they end, so it
// is removed without a complaint.
func newProfile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(workDir, "profile-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
