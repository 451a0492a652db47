package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// From every account and by every way, the file arrives with the same bytes.
func TestEveryWayArrives(t *testing.T) {
	t.Parallel()
	for login, want := range map[string]string{robin: "OneDrive fetched it itself", kim: "Carried by this server", alex: "Carried by this server"} {
		name, _, _ := strings.Cut(login, "@")
		t.Run("an address by "+name, func(t *testing.T) {
			a, p := signedIn(t, login)
			p.Save(a.sample("meadow.jpg"))
			p.WaitFinal("meadow.jpg", "completed")
			p.WaitTextCSS(in("meadow.jpg", "route"), want)
			p.FullShot("saved")
			wantContent(t, a, login, "/meadow.jpg", fetch(t, a.sample("meadow.jpg")))
		})
	}
	a, p := signedIn(t, robin)
	p.Allow("503.*/folders") // opened while OneDrive asks for a pause
	d, picture := a.Drive(robin), fetch(t, a.sample("harbour.png"))
	newest := func(ending string) string { // the drive's file that begins as pasted pictures do
		for _, name := range d.Names("") {
			if strings.HasPrefix(name, "Picture 20") && strings.HasSuffix(name, ending) {
				return name
			}
		}
		return ""
	}
	t.Run("a pasted picture", func(t *testing.T) {
		p := p.with(t)
		p.copyPicture(a.sample("harbour.png"))
		p.WaitTextCSS(`[data-testid="transfer"][data-state="completed"]`, "Picture 20")
		p.FullShot("pasted")
		content, ok := d.Content("/" + newest(".png"))
		if !ok || !bytes.HasPrefix(content, []byte("\x89PNG")) {
			t.Errorf("the drive holds %d bytes that are no PNG", len(content))
		}
	})
	t.Run("a dropped picture", func(t *testing.T) {
		p := p.with(t)
		file := filepath.Join(t.TempDir(), "holiday snap.png")
		if err := os.WriteFile(file, picture, 0o600); err != nil {
			t.Fatal(err)
		}
		p.dropFile("#urls", file)
		p.WaitFinal("holiday snap.png", "completed")
		p.WaitTextCSS(in("holiday snap.png", "route"), "Handed over by your browser")
		p.FullShot("dropped")
		wantContent(t, a, robin, "/holiday snap.png", picture)
	})
	t.Run("a picture dropped while OneDrive asks for a pause", func(t *testing.T) {
		p := p.with(t)
		file := filepath.Join(t.TempDir(), "patient.png")
		if err := os.WriteFile(file, picture, 0o600); err != nil {
			t.Fatal(err)
		}
		control := p.Tab("about:blank")
		control.dial(a, robin, "apply", map[string]string{"throttled": "on"})
		p.Front()
		p.dropFile("#urls", file)
		p.WaitState("patient.png", "waiting")
		p.FullShot("waits")
		if leave := eval[bool](p, `dispatchEvent(new Event('beforeunload', {cancelable: true}))`); leave {
			t.Error("the page lets go of the only copy of the bytes without a question")
		}
		p.Click("browse")
		p.WaitTextCSS("#toast", "OneDrive asked for a pause. Try again in a minute.")
		p.ClickCSS("#toast button")
		control.Front()
		control.dial(a, robin, "apply", map[string]string{"throttled": "off"})
		p.Front()
		p.WaitFinal("patient.png", "completed")
		wantContent(t, a, robin, "/patient.png", picture)
		if !eval[bool](p, `document.getElementById('toast').hidden && dispatchEvent(new Event('beforeunload', {cancelable: true}))`) {
			t.Error("the message cannot be closed, or the page asks although all is saved")
		}
	})
	t.Run("a data: address", func(t *testing.T) {
		p := p.with(t)
		dot := fetch(t, a.sample("dot.webp"))
		p.Save("data:image/webp;base64," + base64.StdEncoding.EncodeToString(dot))
		p.WaitTextCSS(`[data-testid="transfer"][data-state="completed"]`, ".webp")
		p.FullShot("data")
		for _, name := range d.Names("") {
			if strings.HasSuffix(name, ".webp") {
				wantContent(t, a, robin, "/"+name, dot)
				return
			}
		}
		t.Errorf("no .webp among %q", d.Names(""))
	})
}

// with is the page for a subtest.
func (p *Page) with(t testing.TB) *Page {
	q := &Page{t: t, ctx: p.ctx}
	return q
}

func wantContent(t *testing.T, a *app, login, path string, want []byte) {
	t.Helper()
	if got, ok := a.Drive(login).Content(path); !ok || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes, which are not the %d that were sent", path, len(got), len(want))
	}
}

// copyPicture puts a PNG of the page's own origin on the clipboard and presses Ctrl+V.
func (p *Page) copyPicture(address string) {
	p.t.Helper()
	p.ClickCSS("#urls") // a browser lets pages write to the clipboard after a gesture only
	eval[bool](p, `(async () => {
		const picture = await (await fetch('`+address+`')).blob();
		await navigator.clipboard.write([new ClipboardItem({'image/png': picture})]);
		return true;
	})()`)
	p.Press("v", chromedp.KeyModifiers(chromedp.ModifierCtrl), func(k *input.DispatchKeyEventParams) {
		if k.Type == input.DispatchKeyEventTypeKeyDown || k.Type == input.DispatchKeyEventTypeRawKeyDown {
			k.Commands = []string{"paste"}
		}
	})
}

// dropFile drops a file of this machine onto an element, as from a file manager.
func (p *Page) dropFile(selector, file string) {
	p.t.Helper()
	at := eval[[]float64](p, `(() => { const b = document.querySelector('`+selector+`').getBoundingClientRect(); return [b.x + b.width/2, b.y + b.height/2]; })()`)
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		if kind == input.DispatchDragEventTypeDrop {
			p.WaitVisible("drop-here")
			p.Shot("over")
		}
		p.call(string(kind), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: at[0], Y: at[1],
				Data: &input.DragData{Items: []*input.DragDataItem{}, Files: []string{file}, DragOperationsMask: 1}})
			return err
		}))
	}
}
