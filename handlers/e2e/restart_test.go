package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// The server is killed in the middle of a transfer and started again. The transfer completes, and
// the page that stayed open catches up by itself.
func TestARestartLosesNothing(t *testing.T) {
	for name, login := range map[string]string{"while OneDrive fetches": robin, "while the server carries": alex} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMicrosoft(t)
			a := m.live(t)
			p := m.open(t, "")
			p.SignIn(a, login)
			p.Allow("net::ERR_") // the event stream breaks with the server
			p.NewFolder("Trip")
			p.Save(m.sample("slow.jpg"))
			p.WaitState("slow.jpg", "inProgress")
			p.WaitVisible("route")
			stayed := p.stay()
			a.Kill()
			if got := p.attrNow(row("slow.jpg"), "data-state"); got != "inProgress" {
				t.Fatalf("the server died too late: the transfer is %s", got)
			}
			a.Restart()
			p.WaitFinal("slow.jpg", "completed")
			stayed()
			p.Shot("after")
			if got := m.paths(login, "/Trip/"); !slices.Equal(got, []string{"/Trip/slow.jpg"}) {
				t.Errorf("the folder holds %q, want slow.jpg once", got)
			}
			got, _ := m.Content(login, "/Trip/slow.jpg")
			if want := fetch(t, m.sample("garden.jpg")); string(got) != string(want) {
				t.Errorf("%d bytes arrived, which are not the %d that were sent", len(got), len(want))
			}
		})
	}
}

// The answer to a button can come after the events that it caused: it never turns the row back.
func TestALateAnswerTurnsNoRowBack(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, robin)
	if p.Save(a.sample("missing.jpg")); p.Count("retry-failed") != 1 {
		t.Error("the button that retries all failed ones is not there, not even hidden")
	}
	p.WaitFinal("missing.jpg", "failed")
	p.WaitVisible("retry-failed") // although the page was loaded before anything failed
	before := p.attrNow(row("missing.jpg"), "data-event")
	eval[bool](p, `Object.defineProperty(XMLHttpRequest.prototype, 'onload', {set(f) { this.addEventListener('load', () => { window.late = () => f.call(this); }); }}), true`)
	p.ClickCSS(in("missing.jpg", "retry"))
	eventually(t, "the row to fail once more while its button's answer is held back", func() bool {
		return p.attrNow(row("missing.jpg"), "data-state") == "failed" && p.attrNow(row("missing.jpg"), "data-event") != before && eval[bool](p, `!!window.late`)
	})
	eval[bool](p, `window.late(), true`)
	if got := p.attrNow(row("missing.jpg"), "data-state"); got != "failed" {
		t.Errorf("the late answer made it %s", got)
	}
}

// The server may stand in another time zone than its reader.
func TestTimesAreTheReaders(t *testing.T) {
	t.Parallel()
	const zone = "Pacific/Chatham" // 12:45 or 13:45 ahead
	a, p := signedIn(t, robin)
	p.call("move to "+zone, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
		return err
	}))
	p.Reload()
	p.Save(a.sample("missing.jpg"))
	p.WaitFinal("missing.jpg", "failed")
	at := need(time.Parse(time.RFC3339, p.attrNow(row("missing.jpg")+" time", "datetime")))(t).In(need(time.LoadLocation(zone))(t))
	if got := p.textNow(row("missing.jpg") + " time"); !strings.HasSuffix(got, at.Format("15:04")) {
		t.Errorf("the row says %q, the reader's clock %s", got, at.Format("15:04"))
	}
}
