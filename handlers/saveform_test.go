package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// htmx marks a request as one that a script made.
var htmx = http.Header{"HX-Request": {"true"}, "Content-Type": {"application/x-www-form-urlencoded"}}

func TestOneFormManyLinesEachWithItsResult(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	long := "https://images.example/" + strings.Repeat("a", 3000)
	bad := []struct{ line, said string }{
		{"file:///etc/passwd", "Only addresses that start with https:// or http://"},
		{"javascript:alert(1)", "Only addresses that start with https:// or http://"},
		{"http://user:pw@images.example/a.jpg", "name or password"},
		{"http://127.0.0.1:1/a.jpg", "only public web addresses"},
		{"http://[::ffff:10.0.0.1]/a.jpg", "only public web addresses"},
		{"http://0x7f.1/a.jpg", "only public web addresses"},
		{long, "too long"},
		{"cats", "must start with https://"},
	}
	lines := []string{s.sample("meadow.jpg"), "", "   "}
	for _, l := range bad {
		lines = append(lines, l.line)
	}
	lines = append(lines, s.sample("harbour.png"))
	got := b.form("/transfers", "urls", strings.Join(lines, "\r\n"), "key", "k1").want(http.StatusUnprocessableEntity).page()

	shown := got.all("line")
	if len(shown) != len(bad) {
		t.Fatalf("%d lines with a result, want the %d bad ones", len(shown), len(bad))
	}
	for i, l := range bad {
		if said := text(shown[i]); !strings.Contains(said, l.said) || !strings.Contains(said, fmt.Sprintf("Line %d ", i+4)) {
			t.Errorf("line %q says %q, want %q", cutTo(l.line, 40), said, l.said)
		}
	}
	if head := text(got.one("lines")); !strings.Contains(head, "2 links are on the way, 8 need mending.") {
		t.Errorf("summary: %s", cutTo(head, 80))
	}
	if kept := field(got, "urls"); strings.Contains(kept, "meadow") || !strings.Contains(kept, "javascript:alert(1)") {
		t.Errorf("the field keeps %q", cutTo(kept, 200))
	}
	if n := len(b.get("/").page().all("transfer")); n != 2 {
		t.Errorf("%d transfers, want 2", n)
	}
}

func TestFiveHundredLinesAtOnce(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf("%s?%d", s.sample("missing.jpg"), i))
	}
	b.form("/transfers", "urls", strings.Join(lines, "\n")).want(http.StatusSeeOther)
	seen, cursor := 0, ""
	for {
		page := b.get("/api/v1/transfers?top=200&cursor=" + cursor).want(200).json()
		seen += len(page["value"].([]any))
		if page["cursor"] == nil {
			break
		}
		cursor = page["cursor"].(string)
	}
	if seen != 500 {
		t.Errorf("%d transfers, want 500", seen)
	}
	tooMany := strings.Repeat("https://images.example/a\n", 1001)
	if got := b.form("/transfers", "urls", tooMany).want(422); !strings.Contains(got.body, "more than a thousand") {
		t.Error("1001 lines were not refused in words")
	}
}

func TestAnEmptyFieldSaysSo(t *testing.T) {
	b := setup(t).signIn(robin)
	got := b.form("/transfers", "urls", " \n\n ").want(422).page()
	if said := text(got.one("notice")); !strings.Contains(said, "There is no address in the field.") {
		t.Errorf("notice = %q", said)
	}
}

// A name is not dropped without a word.
func TestANameForSeveralLinksIsRefused(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	both := s.sample("meadow.jpg") + "\n" + s.sample("garden.jpg")
	got := b.form("/transfers", "urls", both, "name", "both.jpg").want(422).page()
	if said := text(got.one("notice")); !strings.Contains(said, "One name does not do for several links.") || field(got, "urls") != both || field(got, "name") != "both.jpg" {
		t.Errorf("the form says %q and keeps %q and %q", said, field(got, "urls"), field(got, "name"))
	}
	b.form("/transfers", "urls", both, "name", " ").want(303)
}

func TestTheSameFormTwiceIsOneOrder(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for range 2 {
		b.form("/transfers", "urls", s.sample("slow.jpg"), "key", "the-same").want(http.StatusSeeOther)
	}
	if n := len(b.get("/").page().all("transfer")); n != 1 {
		t.Errorf("%d transfers, want 1", n)
	}
}

func TestWhatWasSavedHereBeforeIsSaidFirst(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.form("/transfers", "urls", s.sample("meadow.jpg")).want(303)
	id := attr(b.get("/").page().one("transfer"), "data-id")
	b.final(id)
	got := b.form("/transfers", "urls", s.sample("meadow.jpg")).want(422).page()
	line := got.one("line")
	if said := text(line); !strings.Contains(said, "You saved this into OneDrive before.") || !strings.Contains(said, "Open it in OneDrive") {
		t.Errorf("line = %q", said)
	}
	again := attr(got.one("again"), "value")
	b.form("/transfers", "urls", "", "again", again).want(303)
	if n := len(b.get("/").page().all("transfer")); n != 2 {
		t.Errorf("%d transfers, want 2", n)
	}
}

// A name that OneDrive does not take becomes one that it does: whoever gave it is told which, at once.
func TestANameThatOneDriveDoesNotTakeIsSaidBeforeItsFile(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for given, called := range map[string]string{
		"CON": "_CON", "con.jpg": "_con.jpg", "a/b:c.jpg": "a_b_c.jpg", "tabby.": "tabby", "desktop.ini": "_desktop.ini", ".lock": "_.lock",
		"~$x.docx": "_~$x.docx", "_vti_.jpg": "_vti-.jpg", strings.Repeat("x", 300) + ".jpg": strings.Repeat("x", 196) + ".jpg",
	} {
		got := b.form("/transfers", "urls", s.sample("meadow.jpg?"+url.QueryEscape(given)), "name", given).want(200).page()
		if said := text(got.one("line")); !strings.Contains(said, "It will be called “"+called+"”.") || field(got, "urls") != "" {
			t.Errorf("%q: the form says %q and keeps %q", given, said, field(got, "urls"))
		}
		if name := text(got.all("name")[0]); name != called {
			t.Errorf("%q: the row is called %q", given, name)
		}
		answer := b.json("POST", "/api/v1/transfers", map[string]any{"sourceUrl": s.sample("meadow.jpg"), "name": given}).want(202).json()
		if answer["name"] != called {
			t.Errorf("%q: the API calls it %q", given, answer["name"])
		}
	}
	b.form("/transfers", "urls", s.sample("garden.jpg"), "name", ".a good name.jpg").want(303)
}

func TestAFolderThatIsGoneIsSaidBesideTheField(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	made := b.json("POST", "/api/v1/folders", map[string]string{"name": "Soon gone"}).want(201).json()
	value := made["driveId"].(string) + "|" + made["id"].(string)
	b.form("/transfers", "urls", s.sample("meadow.jpg"), "folder", value).want(303)
	s.deleteFolder(robin, made["id"].(string))
	got := b.form("/transfers", "urls", s.sample("harbour.png"), "folder", value).want(422)
	if !strings.Contains(got.body, "This folder does not exist any more.") || !strings.Contains(field(got.page(), "urls"), "harbour.png") {
		t.Errorf("answer:\n%s", got.body)
	}
}

func TestFoldersInTheFormNameNothingButIds(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for _, value := range []string{"d|../me", "d|a/b", "|x?y=1", strings.Repeat("a", 200) + "|b", "d|x:/y"} {
		if got := b.form("/transfers", "urls", s.sample("meadow.jpg"), "folder", value); got.status != 422 && got.status != 400 {
			t.Errorf("folder %q = %d", value, got.status)
		}
	}
}

func TestAScriptGetsTheFormAlone(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	got := b.do("POST", "/transfers", "urls=nonsense", htmx).want(422)
	if strings.Contains(got.body, "<html") || !strings.Contains(got.body, `id="save"`) {
		t.Errorf("answer:\n%s", got.body)
	}
	got = b.do("POST", "/transfers", "urls="+s.sample("meadow.jpg"), htmx).want(200)
	if strings.Contains(got.body, "<html") || field(got.page(), "urls") != "" {
		t.Errorf("answer:\n%s", got.body)
	}
}

func TestASignedOutFormLeadsToTheSignIn(t *testing.T) {
	s := setup(t)
	got := s.browser().form("/transfers", "urls", "https://images.example/a.jpg").want(http.StatusUnauthorized)
	if link := attr(got.page().one("sign-in"), "href"); link != "/auth/login" || !strings.Contains(got.body, "You are not signed in.") {
		t.Errorf("link = %q", link)
	}
	script := s.browser().do("POST", "/transfers", "urls=x", htmx).want(http.StatusUnauthorized)
	if script.header("HX-Redirect") != "/auth/login" {
		t.Errorf("HX-Redirect = %q", script.header("HX-Redirect"))
	}
	page := s.browser().get("/save?url=https%3A%2F%2Fimages.example%2Fa.jpg").want(http.StatusUnauthorized).page()
	if link := attr(page.one("sign-in"), "href"); link != "/auth/login?return=%2Fsave%3Furl%3Dhttps%253A%252F%252Fimages.example%252Fa.jpg" {
		t.Errorf("link = %q, want back to the filled form", link)
	}
}

func TestSavePageFindsTheAddressInWhatPhonesShare(t *testing.T) {
	b := setup(t).signIn(robin)
	for query, want := range map[string]string{
		"url=https://a.example/1.jpg":                                "https://a.example/1.jpg",
		"text=Look+at+this:+https://a.example/2.jpg.":                "https://a.example/2.jpg",
		"title=Cats&text=https://a.example/3.jpg":                    "https://a.example/3.jpg",
		"url=&text=%3Chttps://a.example/4.jpg%3E":                    "https://a.example/4.jpg",
		"url=javascript:alert(1)":                                    "javascript:alert(1)",
		"title=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&text=nothing": "",
	} {
		got := b.get("/save?" + query).want(200)
		if text := field(got.page(), "urls"); text != want {
			t.Errorf("/save?%s fills in %q, want %q", query, text, want)
		}
		if strings.Contains(got.body, "<script>alert") {
			t.Errorf("/save?%s lets a script through", query)
		}
	}
	if n := len(b.get("/").page().all("transfer")); n != 0 {
		t.Errorf("a GET started %d transfers", n)
	}
}

func TestRowsCanBeRetriedCancelledUndoneAndRemovedWithoutScripts(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	failed, slow, good := b.submit(s.sample("missing.jpg")), b.submit(s.sample("slow.jpg")), b.submit(s.sample("meadow.jpg"))
	b.form("/transfers/" + slow + "/cancel").want(303)
	if state := b.get("/api/v1/transfers/" + slow).json()["state"]; state != "cancelled" {
		t.Errorf("cancelled transfer is %v", state)
	}
	b.final(failed)
	b.form("/transfers/" + failed + "/retry").want(303)
	b.final(failed)
	if got := b.get("/transfers?state=failed").page(); len(got.all("remove-failed")) != 1 || len(b.get("/transfers").page().all("remove-failed")) != 0 {
		t.Error("all failed ones can be removed where others are listed too, or not where they are alone")
	}
	b.form("/transfers/retry-failed").want(303)
	b.final(failed)
	b.form("/transfers/remove-failed").want(303)
	b.get("/api/v1/transfers/" + failed).want(404)
	b.get("/api/v1/transfers/" + slow).want(200)

	item := b.final(good)["item"].(map[string]any)
	b.form("/transfers/" + good + "/undo").want(303)
	for _, f := range s.microsoft.Files(robin) {
		if f.ID == item["id"] {
			t.Errorf("the file %s is still there", f.Path)
		}
	}
	if got := b.get("/api/v1/transfers/" + good).json(); got["state"] != "cancelled" || got["leftover"] != "recycled" {
		t.Errorf("undone: %v, %v", got["state"], got["leftover"])
	}
	if rows := b.get("/transfers").body; !strings.Contains(rows, "The file is in OneDrive’s recycle bin") {
		t.Errorf("the row of an undone transfer does not say where the file is:\n%s", rows)
	}
	b.form("/transfers/" + good + "/undo").want(409)
	b.form("/transfers/" + good + "/remove").want(303)
	b.get("/api/v1/transfers/" + good).want(404)
	row := b.do("POST", "/transfers/"+slow+"/retry", "", htmx).want(200)
	if !strings.HasPrefix(strings.TrimSpace(row.body), `<li id="t-`+slow) {
		t.Errorf("a script gets\n%s", row.body)
	}
	b.form("/transfers/" + slow + "/remove").want(303)
	b.get("/api/v1/transfers/" + slow).want(404)
}

func TestARowsFormComesBackToItsPageWithoutScripts(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	for page, want := range map[string]string{"/": "/?watch=1", "/panel": "/panel", "/transfers?state=failed&q=mis": "/transfers?state=failed&q=mis"} {
		b.final(b.submit(s.sample("missing.jpg")))
		form := b.get(page).want(200).page().one("retry").Parent
		back := ""
		for f := range form.ChildNodes() {
			if attr(f, "name") == "return" {
				back = attr(f, "value")
			}
		}
		if to := b.form(attr(form, "action"), "return", back).want(303).header("Location"); to != want {
			t.Errorf("from %s to %s, want %s", page, to, want)
		}
		for _, row := range b.get("/transfers").page().all("transfer") {
			b.final(attr(row, "data-id"))
			b.form("/transfers/" + attr(row, "data-id") + "/remove").want(303)
		}
	}
}

func TestRunningRowsRefreshWithoutScripts(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	to := b.form("/transfers", "urls", s.sample("slow.jpg")).want(303).header("Location")
	if !strings.HasPrefix(to, "/?watch=1") {
		t.Fatalf("sent to %q", to)
	}
	if got := b.get(to).want(200); !strings.Contains(got.body, `<noscript><meta http-equiv="refresh"`) {
		t.Error("the page does not refresh by itself")
	}
	if got := b.get("/").want(200); strings.Contains(got.body, "http-equiv") {
		t.Error("the page refreshes while somebody may be typing")
	}
}

func cutTo(s string, n int) string { return s[:min(len(s), n)] }

// field is the content of the form field of that name.
func field(p *page, name string) string {
	p.t.Helper()
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && attr(n, "name") == name {
			if n.Data == "textarea" {
				if n.FirstChild == nil {
					return ""
				}
				return strings.TrimPrefix(n.FirstChild.Data, "\n")
			}
			return attr(n, "value")
		}
	}
	p.t.Fatalf("no field %q", name)
	return ""
}

// The page of a bookmarklet or a share has no list: whoever saves there is led to it.
func TestSavingFromTheSavePageLeadsToTheList(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	head := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "HX-Request": {"true"}, "HX-Current-URL": {s.url + "/save?url=x"}}
	if to := b.do("POST", "/transfers", "urls="+url.QueryEscape(s.sample("meadow.jpg")), head).want(200).header("HX-Redirect"); !strings.HasPrefix(to, "/?watch=1") {
		t.Errorf("led to %q", to)
	}
	b.do("POST", "/transfers", "urls=nonsense", head).want(422)
	head.Set("HX-Current-URL", s.url+"/")
	if to := b.do("POST", "/transfers", "urls="+url.QueryEscape(s.sample("meadow.jpg"))+"&again=x", head).header("HX-Redirect"); to != "" {
		t.Errorf("the main page led to %q", to)
	}
}

// A form of a page that was another account's does nothing to whoever has signed in since.
func TestAPageOfAnotherAccountActsForNobody(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	who := regexp.MustCompile(`name="who" value="([^"]+)"`)
	stale := func(page string) string { return who.FindStringSubmatch(b.get(page).want(200).body)[1] }
	if home, settings := stale("/"), stale("/settings"); home != settings {
		t.Errorf("the pages of one account say %s and %s", home, settings)
	}
	robins := stale("/")
	b = s.signIn(kim)
	b.form("/transfers", "who", robins, "urls", s.sample("meadow.jpg")).want(http.StatusConflict)
	b.form("/settings", "who", robins, "conflict", "replace").want(http.StatusConflict)
	b.form("/settings/sign-out-everywhere", "who", robins).want(http.StatusConflict)
	b.form("/settings/delete", "who", robins, "confirm", "yes").want(http.StatusConflict)
	b.form("/settings/devices", "who", robins, "name", "x").want(http.StatusConflict)
	for _, path := range []string{"", "/up", "/delete"} {
		b.form("/settings/rules"+path, "who", robins, "kind", "picture").want(http.StatusConflict)
	}
	b.form("/transfers/remove-failed", "who", robins).want(http.StatusConflict)
	b.form("/folders", "who", robins, "name", "x").want(http.StatusConflict)
	order := `{"sourceUrl":"` + s.sample("meadow.jpg") + `"}`
	script := http.Header{"Content-Type": {"application/json"}, "Skylift-Account": {robins}}
	if code := b.do("POST", "/api/v1/transfers", order, script).want(http.StatusConflict).code(); code != "otherAccount" {
		t.Errorf("a script of the page gets %s", code)
	}
	b.do("GET", "/api/v1/transfers", "", script).want(http.StatusConflict)
	if got := b.get("/api/v1/transfers").want(200).json()["value"]; len(got.([]any)) != 0 {
		t.Errorf("it saved %v", got)
	}
	b.form("/transfers", "who", stale("/"), "urls", s.sample("meadow.jpg")).want(303)
	script.Set("Skylift-Account", stale("/"))
	b.do("POST", "/api/v1/transfers", order, script).want(202)
}

var ofRow = regexp.MustCompile(`^/transfers/[^/]+/(retry|cancel|undo|remove)$`)

// Each form that does something for the account names it.
func TestEveryFormNamesItsAccount(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.final(b.submit(s.sample("missing.jpg")))
	p := newPanel()
	connect := "/ext/connect?" + url.Values{"redirect_uri": {"https://bjgecgimfofkefcmdobdciomjkpnaeno.chromiumapp.org/connect"},
		"state": {strings.Repeat("s", 16)}, "code_challenge": {p.challenge}}.Encode()
	for _, at := range []string{"/", "/transfers?state=failed", "/settings", "/folders", "/folders?return=/settings", "/folders?return=/settings?kind=picture", "/panel", "/auth/panel?c=" + p.challenge,
		"/save/button?url=https%3A%2F%2Fimages.example%2Fa.jpg", connect} {
		for form := range b.get(at).want(200).page().root.Descendants() {
			if form.Data != "form" || attr(form, "method") != "post" {
				continue
			}
			if act := attr(form, "action"); strings.HasSuffix(act, "/sign-out") || act == "/auth/logout" || ofRow.MatchString(act) {
				continue // it leaves, whoever it is, or its row is one account's only
			}
			named := false
			for n := range form.Descendants() {
				named = named || attr(n, "name") == "who" && attr(n, "value") != ""
			}
			if !named {
				t.Errorf("%s: the form to %s does not say whose it is", at, attr(form, "action"))
			}
		}
	}
}
