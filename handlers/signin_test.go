package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"skylift/handlers"
)

func TestAFailedSignInSaysWhyInPlainWords(t *testing.T) {
	s := setup(t)
	b := s.browser()
	begin := func() string {
		at := must(url.Parse(b.get("/auth/login").want(303).header("Location")))(t)
		return at.Query().Get("state")
	}
	declined := begin()
	for _, c := range []struct {
		name, query string
		status      int
		words       string
	}{
		{"an answer to nothing", "code=x", 400, "This sign-in did not begin in this browser."},
		{"somebody else's answer", "state=" + strings.Repeat("a", 43) + "&code=x", 400, "This sign-in did not begin in this browser."},
		{"declined", "state=" + declined + "&error=access_denied&error_description=AADSTS65004", 403, "You said no, and that is fine."},
		{"the same once more", "state=" + declined + "&error=access_denied", 400, "This sign-in was used already."},
		{"a code that Microsoft does not know", "state=" + begin() + "&code=nonsense", 400, ""},
	} {
		got := b.get("/auth/callback?" + c.query)
		if c.words != "" && (got.status != c.status || !strings.Contains(got.body, c.words)) {
			t.Errorf("%s: %d, want %d %q\n%s", c.name, got.status, c.status, c.words, text(got.page().one("message")))
		}
		if got.status < 400 || len(got.page().all("message")) != 1 {
			t.Errorf("%s: %d without a message", c.name, got.status)
		}
		if strings.Contains(got.body, "nonsense") || strings.Contains(got.body, "error_description") {
			t.Errorf("%s: the page repeats what was sent", c.name)
		}
	}
	b.get("/transfers").want(401)
}

func TestReturnAfterSignInStaysHere(t *testing.T) {
	s := setup(t)
	for back, want := range map[string]string{"/settings": "/settings", "//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/", "/%09/evil.example": "/"} {
		b := s.browser()
		at := must(url.Parse(b.get("/auth/login?return=" + url.QueryEscape(back)).header("Location")))(t)
		q := at.Query()
		q.Set("prompt", "none")
		q.Set("login_hint", robin)
		at.RawQuery = q.Encode()
		landed := b.get(b.get(at.String()).header("Location")).want(303).header("Location")
		if to := must(url.Parse(landed))(t); to.Host != "" || !strings.HasPrefix(landed, "/") || strings.HasPrefix(landed, "//") || want != "/" && landed != want {
			t.Errorf("return=%q leads to %q", back, landed)
		}
	}
}

func TestSettingsAreKeptAndUsed(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	made := b.json("POST", "/api/v1/folders", map[string]string{"name": "Inbox"}).want(201).json()
	b.form("/settings/folder", "folder", made["driveId"].(string)+"|"+made["id"].(string)).want(303)
	if saved := b.get(b.form("/settings", "conflict", "fail").want(303).header("Location")).page(); !strings.Contains(text(saved.one("notice")), "saved") || len(saved.all("get-extension")) != 1 {
		t.Error("nothing says that the settings are saved, or the way to the extension is gone")
	}
	b.form("/settings", "conflict", "merge").want(400)
	if got := text(b.get("/settings").page().one("default-folder")); got != "Inbox" {
		t.Errorf("default folder = %q", got)
	}
	done := b.final(b.submit(s.sample("meadow.jpg")))
	if path := done["folder"].(map[string]any)["path"]; path != "/Inbox" {
		t.Errorf("saved into %v, want the default folder", path)
	}
}

// Everything goes, also what comes by another tab and a script while it goes.
func TestDeletingMyDataLeavesNothingBehind(t *testing.T) {
	quick := handlers.Limit{PerSecond: 10_000, Burst: 10_000}
	s := setup(t, func(o *handlers.Options) { o.Limits.General, o.Limits.Strangers = quick, quick })
	b, tab, script, other := s.signIn(robin), s.signIn(robin), s.browser(), s.signIn(kim)
	script.key = b.makeKey()
	me := script.get("/api/v1/me").want(200).json()
	words := []string{me["id"].(string), me["displayName"].(string), robin, "meadow.jpg"}
	b.form("/settings", "conflict", "fail").want(303)
	b.final(b.submit(s.sample("meadow.jpg")))
	b.submit(s.sample("slow.jpg"))
	p := newPanel()
	s.code(robin, p) // nobody redeems it
	if found := s.stored(words...); len(found) < 4 {
		t.Fatalf("the search finds %q only", found)
	}
	b.form("/settings/delete").want(422)
	b.get("/settings").want(200)

	var others sync.WaitGroup
	for i := range 20 {
		others.Go(func() {
			for n := range 20 {
				name := fmt.Sprintf("late %d-%d.jpg", i, n)
				tab.do("POST", "/transfers", url.Values{"urls": {s.sample("meadow.jpg")}, "name": {name}, "again": {s.sample("meadow.jpg")}}.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
				script.json("POST", "/api/v1/transfers", map[string]string{"sourceUrl": s.sample("meadow.jpg"), "name": name})
				tab.form("/settings", "conflict", "rename")
			}
		})
	}
	said := text(b.form("/settings/delete", "confirm", "yes").want(200).page().root)
	for _, want := range []string{"Your data is deleted", "Files in OneDrive stay", "take back at Microsoft"} {
		if !strings.Contains(said, want) {
			t.Errorf("after the deletion the page does not say %q: %s", want, said)
		}
	}
	if strings.Contains(said, me["displayName"].(string)) {
		t.Errorf("after the deletion the page still greets: %s", said)
	}
	others.Wait()

	for _, gone := range []*browser{b, tab, script} {
		gone.get("/api/v1/me").want(401)
	}
	if found := s.stored(words[:3]...); len(found) > 0 {
		t.Errorf("still stored: %q", found)
	}
	if _, ok := s.microsoft.Content(robin, "/meadow.jpg"); !ok {
		t.Error("the file in OneDrive is gone")
	}
	other.get("/api/v1/me").want(200)
	back := s.signIn(robin)
	if n := len(back.get("/transfers").page().all("transfer")); n != 0 {
		t.Errorf("%d transfers are still there", n)
	}
}

// Who gives less than what saving takes is told so, instead of being signed in to something that cannot save.
func TestASignInThatGivesTooLittleSaysSo(t *testing.T) {
	s := setup(t)
	for _, c := range []struct {
		name   string
		grants []string
		in     bool
	}{
		{"no files", []string{"offline_access"}, false},
		{"files to read only", []string{"offline_access", "Files.Read"}, false},
		{"only while they are there", []string{"Files.ReadWrite"}, false},
		{"what is asked for", []string{"offline_access", "Files.ReadWrite"}, true},
		{"all files", []string{"offline_access", "Files.ReadWrite", "Files.ReadWrite.All"}, true},
	} {
		for _, a := range s.microsoft.Accounts() {
			if a.Login == robin {
				changed := *a
				changed.Grants = c.grants
				s.microsoft.AddAccount(changed)
			}
		}
		b := s.browser()
		at := must(url.Parse(b.get("/auth/login").want(303).header("Location")))(t)
		q := at.Query()
		q.Set("prompt", "none")
		q.Set("login_hint", robin)
		at.RawQuery = q.Encode()
		got := b.get(b.get(at.String()).header("Location"))
		if told := strings.Contains(got.body, "Skylift was not given all that it needs."); told == c.in || c.in != (got.status == 303) || !c.in && got.status != 403 {
			t.Errorf("%s: %d\n%s", c.name, got.status, got.body)
		}
		if status := b.get("/transfers").status; c.in != (status == 200) {
			t.Errorf("%s: the list answers %d", c.name, status)
		}
	}
}

// Who signs out of Microsoft, too, comes back by the one address that is registered there.
func TestSigningOutOfMicrosoftComesBack(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.get(b.form("/auth/logout").want(303).header("Location")).want(200)
	authorize := must(url.Parse(b.get("/auth/login").want(303).header("Location")))(t)
	page := b.get("/auth/signed-out").want(200).body
	registered := authorize.Query().Get("redirect_uri")
	if !strings.Contains(page, "post_logout_redirect_uri="+url.QueryEscape(registered)+`"`) {
		t.Errorf("%s is not where Microsoft is to send people back to: %s", registered, page)
	}
	if back := b.get(strings.TrimPrefix(registered, s.url)).want(303).header("Location"); back != "/" {
		t.Errorf("back to %q", back)
	}
}

// stored are the subjects in JetStream that hold one of the words, in their name or in what is
// stored under it. The mark that a deletion leaves for a minute is none.
func (s *site) stored(words ...string) (found []string) {
	s.t.Helper()
	ctx := s.t.Context()
	for info := range s.store.ListStreams(ctx).Info() {
		stream := must(s.store.Stream(ctx, info.Config.Name))(s.t)
		for at := info.State.FirstSeq; at <= info.State.LastSeq; at++ {
			m, err := stream.GetMsg(ctx, at)
			if err != nil || len(m.Data) == 0 {
				continue // removed or replaced since
			}
			if text := m.Subject + " " + string(m.Data); slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) }) {
				found = append(found, m.Subject)
			}
		}
	}
	return found
}

// deviceCode is the one-time code that an extension gets when the browser's person says yes.
func (s *site) deviceCode(b *browser, p panel) string {
	s.t.Helper()
	answer := b.form("/ext/connect", "redirect_uri", "https://bjgecgimfofkefcmdobdciomjkpnaeno.chromiumapp.org/connect",
		"state", strings.Repeat("s", 16), "code_challenge", p.challenge, "name", "Chromium").want(303)
	_, outcome, _ := strings.Cut(answer.header("Location"), "#")
	return must(url.ParseQuery(outcome))(s.t).Get("code")
}

// A code that was given out before the keys and sessions ended becomes none afterwards.
func TestACodeFromBeforeOpensNothing(t *testing.T) {
	for name, end := range map[string][]string{
		"after signing out everywhere": {"/settings/sign-out-everywhere"},
		"after deleting all data":      {"/settings/delete", "confirm", "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t)
			b, device, panel := s.signIn(robin), newPanel(), newPanel()
			deviceCode := s.deviceCode(b, device)
			panelCode := s.code(robin, panel)
			kims := newPanel()
			kimsCode := s.code(kim, kims)
			b.form(end[0], end[1:]...).want(200)
			s.browser().json("POST", "/api/v1/devices/token", map[string]string{"code": deviceCode, "code_verifier": device.verifier}).want(400)
			s.browser().redeem(panelCode, panel.verifier, true).want(400)
			s.browser().redeem(kimsCode, kims.verifier, true).want(200)
		})
	}
}

func TestSigningOutEndsTheSession(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.get("/auth/logout").want(405)
	b.get("/auth/signed-out").want(303)
	b.form("/auth/logout").want(303)
	b.get("/transfers").want(401)
	if got := b.get("/").want(200); !strings.Contains(got.body, "Sign in with Microsoft") {
		t.Error("no landing page")
	}
}
