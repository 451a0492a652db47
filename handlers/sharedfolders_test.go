package handlers_test

import (
	"net/url"
	"strings"
	"testing"

	"skylift/onedrive/fakegraph"
)

// Folders of others take a permission that is not asked for at a sign-in, but when somebody opens
// one; from then on each sign-in brings it, unless it is refused.
func TestFoldersOfOthersAreAskedForWhenOneIsWanted(t *testing.T) {
	s := setup(t)
	b := s.signIn(kim)
	album := b.shortcut()
	request := map[string]string{"sourceUrl": s.sample("meadow.jpg"), "driveId": album.Get("drive"), "folderId": album.Get("id")}
	if got := b.json("POST", "/api/v1/transfers", request).want(403); got.code() != "folderAccessDenied" {
		t.Errorf("saved without the permission: %s", got.body)
	}
	at := "/folders?" + album.Encode()
	offer := b.get(at).want(200)
	link := offer.page().link("Allow folders that are shared with you")
	asked := must(url.Parse(b.get(link).want(303).header("Location")))(t)
	if q := asked.Query(); !strings.Contains(q.Get("scope"), "Files.ReadWrite.All") || q.Get("login_hint") != kim || q.Get("prompt") != "" {
		t.Errorf("asked with %v", q)
	}
	if landed := b.agrees(asked, kim, "accept"); landed != at {
		t.Errorf("landed at %q", landed)
	}
	if got := b.get(at).want(200); strings.Contains(got.body, "Allow folders") || !strings.Contains(got.body, "Family album") {
		t.Errorf("the folder is not open:\n%s", got.body)
	}
	id := b.json("POST", "/api/v1/transfers", request).want(202).json()["id"].(string)
	if end := b.final(id); end["state"] != "completed" {
		t.Errorf("ended as %v", end)
	}
	if _, ok := s.microsoft.Content(robin, "/Family album/meadow.jpg"); !ok {
		t.Error("nothing arrived in Robin's album")
	}

	again := s.browser()
	if next := again.silently(again.get("/auth/login").header("Location"), kim); !strings.Contains(next, "Files.ReadWrite.All") {
		t.Fatalf("a new sign-in goes on to %q", next)
	} else if landed := again.silently(next, kim); landed != "/" {
		t.Errorf("landed at %q", landed)
	}
	again.get(at).want(200)

	s.microsoft.SetConsent(kim, "") // taken back at Microsoft
	third := s.browser()
	next := must(url.Parse(third.silently(third.get("/auth/login").header("Location"), kim)))(t)
	third.agrees(next, kim, "decline")
	third.get("/").want(200)
	if landed := s.signIn(kim).get(at).want(200); !strings.Contains(landed.body, "Allow folders that are shared with you") {
		t.Error("what was refused is not offered any more")
	}
}

// However a service says that folders of others are not allowed yet, the way to allow them is shown; and
// only for those.
func TestFoldersOfOthersAreOfferedHoweverTheyAreRefused(t *testing.T) {
	s := setup(t)
	b := s.signIn(kim)
	album := b.shortcut()
	const offer = "Allow folders that are shared with you"
	for _, status := range []int{403, 404, 401} {
		s.microsoft.SetConduct(kim, func(c *fakegraph.Conduct) { c.ScopeRefusal = status })
		if got := b.get("/folders?" + album.Encode()); got.status != 200 || !strings.Contains(got.body, offer) {
			t.Errorf("refused by %d: %d\n%s", status, got.status, got.body)
		}
		own := b.get("/api/v1/folders").want(200).json()["folder"].(map[string]any)["driveId"].(string)
		for _, drive := range []string{own, strings.ToUpper(own)} {
			if got := b.get("/folders?drive=" + drive + "&id=none"); got.status != 404 || strings.Contains(got.body, offer) {
				t.Errorf("one that is not there in %s: %d\n%s", drive, got.status, got.body)
			}
		}
	}
}

// shortcut gives the address of the folder that somebody shares with the person.
func (b *browser) shortcut() url.Values {
	b.s.t.Helper()
	list := b.get("/api/v1/folders").want(200).json()
	own := list["folder"].(map[string]any)["driveId"]
	for _, f := range list["value"].([]any) {
		if f := f.(map[string]any); f["driveId"] != own {
			return url.Values{"drive": {f["driveId"].(string)}, "id": {f["id"].(string)}}
		}
	}
	b.s.t.Fatal("nothing is shared")
	return nil
}

// silently is where a sign-in leads of somebody whom Microsoft knows.
func (b *browser) silently(authorize, login string) string {
	b.s.t.Helper()
	at := must(url.Parse(authorize))(b.s.t)
	q := at.Query()
	q.Set("prompt", "none")
	q.Set("login_hint", login)
	at.RawQuery = q.Encode()
	return b.get(b.get(at.String()).header("Location")).want(303).header("Location")
}

// agrees presses a button of Microsoft's consent page and gives where that leads.
func (b *browser) agrees(authorize *url.URL, login, button string) string {
	b.s.t.Helper()
	form := authorize.Scheme + "://" + authorize.Host + strings.TrimSuffix(authorize.Path, "/v2.0/authorize") + "/login"
	back := b.form(form, "request", authorize.RawQuery, "login", login, "consent", button).want(302).header("Location")
	return b.get(back).header("Location")
}

// link is the address behind a link's words.
func (p *page) link(words string) string {
	p.t.Helper()
	for n := range p.root.Descendants() {
		if n.Data == "a" && text(n) == words {
			return attr(n, "href")
		}
	}
	p.t.Fatalf("no link %q", words)
	return ""
}
