package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each bad line is told beside it, and spoils no other.
func TestBadLinesSpoilNoOthers(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, robin)
	bad := []string{
		"file:///etc/passwd", "javascript:alert(1)", "http://robin:secret@images.example/a.jpg", "ftp://images.example/a.jpg", "not an address",
		"http://127.0.0.1:1/a.jpg", "http://[::1]/a.jpg", "http://10.0.0.1/a.jpg", "http://169.254.169.254/latest/meta-data/", "http://0x7f000001/a.jpg",
		"http://2130706433/a.jpg", "http://localhost/a.jpg", "http://[fe80::1%25eth0]/a.jpg", "https://images.example/" + strings.Repeat("long/", 600),
	}
	lines := slices.Concat([]string{a.sample("meadow.jpg"), "", "   "}, bad, []string{"", a.sample("harbour.png")})
	p.Allow("status of 422")
	stayed := p.stay()
	p.Save(lines...)
	p.WaitVisible("lines")
	p.FullShot("lines")
	p.Axe()
	p.Narrow()
	p.WaitFinal("meadow.jpg", "completed")
	p.WaitFinal("harbour.png", "completed")
	stayed()
	told := eval[[]string](p, `[...document.querySelectorAll('[data-testid=line]')].map(e => e.innerText)`)
	for i, line := range bad {
		number := "Line " + strconv.Itoa(i+4)
		at := slices.IndexFunc(told, func(s string) bool { return strings.HasPrefix(s, number+" ") })
		if at < 0 {
			t.Errorf("nothing is told about line %d, %.60s", i+4, line)
		} else if len(strings.TrimSpace(told[at])) < len(number)+30 && !strings.Contains(told[at], "address") {
			t.Errorf("of line %d is told only %q", i+4, told[at])
		}
	}
	if got := eval[string](p, `document.getElementById('urls').value`); strings.Contains(got, "meadow") || !strings.Contains(got, "javascript:") {
		t.Errorf("the field holds %.200q, want the bad lines and no others", got)
	}
	if strings.Contains(a.Log(), "robin:secret") {
		t.Error("the log shows a password of an address")
	}
}

func TestManyLinesAtOnce(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, alex)
	key := p.makeKey(a, "counter")
	p.Open(a.URL)
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf("%s?n=%d", a.sample("dot.webp"), i))
	}
	p.Save(lines...)
	p.WaitTextCSS(`[data-testid="transfers"]`, "dot")
	seen := 0
	eventually(t, "all in the list", func() bool {
		if n := a.count(key); n != seen {
			seen = n
			t.Logf("the list holds %d", n)
		}
		return seen == len(lines)
	})
	p.WaitTextCSS(`[data-testid="transfer"][data-state="completed"]`, "dot")
	p.Shot("many")
}

// count is how many transfers the list has, read page by page.
func (a *app) count(key string) int {
	a.t.Helper()
	ids := map[string]bool{}
	for cursor := ""; ; {
		var page struct {
			Value  []struct{ ID string }
			Cursor string
		}
		if status := a.API("GET", "/transfers?top=100&cursor="+cursor, key, nil, &page); status != 200 {
			a.t.Fatalf("the list answers %d", status)
		}
		for _, v := range page.Value {
			ids[v.ID] = true
		}
		if cursor = page.Cursor; cursor == "" {
			return len(ids)
		}
	}
}

func TestBadNamesAndFolders(t *testing.T) {
	t.Parallel()
	m := newMicrosoft(t)
	a := m.live(t)
	p := m.open(t, "")
	p.SignIn(a, robin)
	p.FillCSS("#name", `a<b>:"c|d?*/e\.jpg`)
	p.Save(m.sample("meadow.jpg"))
	p.WaitTextCSS(`[data-testid="transfer"][data-state="completed"]`, ".jpg")
	var odd []string
	for _, f := range m.paths(robin, "/") {
		if strings.ContainsAny(strings.TrimPrefix(f, "/"), `<>:"|?*\`) {
			odd = append(odd, f)
		}
	}
	if len(odd) > 0 {
		t.Errorf("the drive holds %q", odd)
	}
	p.Shot("name")

	p.Allow("status of 422")
	p.Click("browse")
	p.WaitVisible("picker")
	p.FillCSS("#new-folder", "a:b\r")
	p.WaitTextCSS(`.picker [data-testid="notice"]`, "OneDrive does not take this name.")
	p.Shot("folder-name")
	p.ClickCSS(`.picker button[aria-label="Close"]`)

	p.NewFolder("Gone soon")
	m.Remove(robin, "/Gone soon")
	p.Save(m.sample("tiles.png"))
	p.WaitTextCSS("#folder-bad", "This folder does not exist any more.")
	p.Shot("folder-gone")
	p.Axe()
	if got := eval[string](p, `document.getElementById('urls').value`); !strings.Contains(got, "tiles.png") {
		t.Errorf("the field holds %q, want the line kept", got)
	}
}

func TestSavingWhenSignedOut(t *testing.T) {
	t.Parallel()
	a, p := signedIn(t, robin)
	empty, other := p.Tab(a.URL), p.Tab(a.URL)
	p.Allow("status of 401")
	empty.Allow("status of 401")
	p.Paste(a.sample("meadow.jpg"))
	other.ClickCSS("details.who summary")
	other.Click("sign-out")
	other.WaitVisible("sign-in")
	p.WaitTextCSS("#toast", "signed out")
	empty.WaitVisible("sign-in")
	p.Click("submit")
	p.Click("account-" + robin) // it asks to sign in again
	p.WaitVisible("save")
	p.WaitLoaded()
	if got := eval[string](p, `document.getElementById('urls').value`); !strings.Contains(got, "meadow.jpg") {
		t.Errorf("the field holds %q, want the line kept", got)
	}

	plain := open(t, "", noScript())
	plain.SignIn(a, robin)
	second := plain.Tab(a.URL, noScript())
	second.ClickCSS("details.who summary")
	second.Click("sign-out")
	second.WaitVisible("sign-in")
	plain.Allow("status of 401")
	plain.Save(a.sample("meadow.jpg"))
	plain.WaitVisible("sign-in")
	plain.Shot("page")
	if got := a.Drive(robin).Names(""); slices.Contains(got, "meadow.jpg") {
		t.Error("somebody who is signed out saved a file")
	}
}
