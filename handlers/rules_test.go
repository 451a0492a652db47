package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"skylift/onedrive/fakegraph"
)

// folder makes a folder and gives the value that forms name it by.
func (b *browser) folder(name string) string {
	b.s.t.Helper()
	made := b.json("POST", "/api/v1/folders", map[string]string{"name": name}).want(201).json()
	return made["driveId"].(string) + "|" + made["id"].(string)
}

// rule makes a rule as the settings and the picker do.
func (b *browser) rule(site, kind, folder string) {
	b.s.t.Helper()
	b.form("/settings/rules", "site", site, "kind", kind, "folder", folder).want(303)
}

// rules are the rules that the settings show.
func (b *browser) rules() (list []string) {
	b.s.t.Helper()
	for _, n := range b.get("/settings").want(200).page().all("rule") {
		words, _, _ := strings.Cut(text(n), " Move up")
		words, _, _ = strings.Cut(words, " Delete")
		list = append(list, words)
	}
	return list
}

// host is the name by which the stand-in's samples are reached.
func (s *site) host() string { return must(url.Parse(s.microsoft.URL))(s.t).Hostname() }

func folderOf(answer map[string]any) any { return answer["folder"].(map[string]any)["name"] }

// Each way in that names no folder goes by the rules, and one that names a folder does not.
func TestRulesPickTheFolderWhereNobodyDid(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	usual, inspiration, papers := b.folder("Usual"), b.folder("Inspiration"), b.folder("Papers")
	b.form("/settings/folder", "folder", usual).want(303)
	b.rule("dribbble.example", "picture", inspiration)
	b.rule("", "document", papers)
	if me := b.get("/api/v1/me").want(200).json(); me["rules"] != 2.0 || folderOf(me) != "Usual" {
		t.Errorf("me tells of %v rules and the folder %v", me["rules"], me["folder"])
	}
	drive, id, _ := strings.Cut(papers, "|")
	shot := map[string]any{"sourceUrl": s.sample("meadow.jpg"), "pageUrl": "https://dribbble.example/shots/1"}
	other := map[string]any{"sourceUrl": s.sample("meadow.jpg"), "pageUrl": "https://news.example/"}
	named := map[string]any{"sourceUrl": s.sample("meadow.jpg"), "pageUrl": "https://dribbble.example/", "driveId": drive, "folderId": id}
	device := s.browser()
	device.key = b.makeKey()
	for who, b := range map[string]*browser{"a session": b, "a key": device} {
		for _, c := range []struct {
			order map[string]any
			want  string
		}{{shot, "Inspiration"}, {other, "Usual"}, {named, "Papers"}} {
			if got := folderOf(b.json("POST", "/api/v1/transfers", c.order).want(202).json()); got != c.want {
				t.Errorf("%s: %v goes to %v, want %s", who, c.order, got, c.want)
			}
		}
	}
	answers := b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": []any{shot, other, named}}).want(202).json()["value"].([]any)
	for i, want := range []string{"Inspiration", "Usual", "Papers"} {
		if got := folderOf(answers[i].(map[string]any)); got != want {
			t.Errorf("line %d of a batch goes to %v, want %s", i, got, want)
		}
	}
	b.share(fromTheSystem, nil, map[string]string{"thesis.pdf": "shared"}).want(303)
	newest := b.get("/api/v1/transfers?top=1").want(200).json()["value"].([]any)[0].(map[string]any)
	if got := folderOf(newest); got != "Papers" {
		t.Errorf("a shared file goes to %v", got)
	}
}

// OneDrive's top is a choice, too: neither the default folder nor a rule counts then. Scripts of the pages send the
// form's choice to the API when a file is dropped.
func TestTheTopIsAFolderThatCanBeChosen(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.form("/settings/folder", "folder", b.folder("Usual")).want(303)
	b.rule("", "document", b.folder("Papers"))
	value := ""
	for n := range b.get("/").want(200).page().root.Descendants() {
		if n.Data == "option" && text(n) == "OneDrive" {
			value = attr(n, "value")
		}
	}
	drive, id, _ := strings.Cut(value, "|")
	order := map[string]any{"route": "upload", "name": "thesis.pdf", "size": 6, "driveId": drive, "folderId": id}
	folder := b.json("POST", "/api/v1/transfers", order).want(202).json()["folder"].(map[string]any)
	if folder["path"] != "/" {
		t.Errorf("chosen as %q, the top is %v", value, folder)
	}
	to := b.form("/transfers", "urls", s.sample("meadow.jpg"), "folder", value).want(303).header("Location")
	newest := b.get("/api/v1/transfers?top=1").want(200).json()["value"].([]any)[0].(map[string]any)
	if got := newest["folder"].(map[string]any); got["path"] != "/" {
		t.Errorf("chosen as %q, the form's top is %v, and leads to %s", value, got, to)
	}
}

// A batch asks OneDrive for a folder once, however many rules and lines lead to it: the only answer that is wrong
// counts for all of them, and says which rule it is about.
func TestABatchLooksAFolderOfItsRulesUpOnce(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	folder := b.folder("Papers")
	b.rule("", "picture", folder)
	b.rule("news.example", "", folder)
	upload := func(name, page string) map[string]any {
		return map[string]any{"route": "upload", "name": name, "pageUrl": page}
	}
	s.microsoft.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseItem, Status: 404, Code: "itemNotFound", Times: 1})
	answers := b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": []any{
		upload("a.png", ""), upload("a.zip", "https://www.news.example/"), upload("b.png", ""), upload("a.zip", ""),
	}}).want(202).json()["value"].([]any)
	for i, want := range []string{"“Pictures”", "“Everything from news.example”", "“Pictures”", ""} {
		answer := answers[i].(map[string]any)
		detail, _ := answer["detail"].(string)
		if refused := answer["code"] == "folderNotFound" && answer["field"] == "folderId"; refused != (want != "") || !strings.Contains(detail, want) {
			t.Errorf("line %d: %v, want words of %s", i, answer, want)
		}
	}
}

// A rule whose folder is gone saves nothing elsewhere in silence; what was accepted before goes on.
func TestARuleWhoseFolderIsGoneSaysSo(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	folder := b.folder("Soon gone")
	_, id, _ := strings.Cut(folder, "|")
	b.rule("news.example", "", folder)
	order := map[string]any{"sourceUrl": s.sample("meadow.jpg"), "pageUrl": "https://news.example/"}
	post := func(key string) answer {
		text, _ := json.Marshal(order)
		return b.do("POST", "/api/v1/transfers", string(text), http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}})
	}
	accepted := post("one").want(202).json()["id"].(string)
	b.final(accepted)
	s.deleteFolder(robin, id)
	if got := post("two").want(404); got.code() != "folderNotFound" || !strings.Contains(got.body, "Everything from news.example") || !strings.Contains(got.body, "Soon gone") {
		t.Errorf("refused with %s", got.body)
	}
	if got := post("one").want(202).json()["id"]; got != accepted {
		t.Errorf("what was accepted is %v now", got)
	}
	if got := folderOf(b.json("POST", "/api/v1/transfers", map[string]any{"sourceUrl": s.sample("meadow.jpg")}).want(202).json()); got == "Soon gone" {
		t.Error("what no rule is for goes into its folder")
	}
}

// When OneDrive does not say which folder it is, a rule's is taken as it was last known.
func TestARulesFolderIsKnownWhileOneDriveIsSilent(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.rule("", "picture", b.folder("Inspiration"))
	s.microsoft.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseItem, Status: 429, Header: map[string]string{"Retry-After": "60"}})
	got := b.json("POST", "/api/v1/transfers", map[string]any{"sourceUrl": s.sample("meadow.jpg")}).want(202).json()
	if folderOf(got) != "Inspiration" {
		t.Errorf("it goes to %v", got["folder"])
	}
}

// The form sends no folder where the choice is the rules': each line then goes its own way.
func TestTheFormOffersTheRulesOnceThereAreSome(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	usual, papers := b.folder("Usual"), b.folder("Papers")
	b.form("/settings/folder", "folder", usual).want(303)
	first := func(at string) *html.Node {
		for n := range b.get(at).want(200).page().root.Descendants() {
			if n.Data == "option" && attr(n.Parent, "name") == "folder" {
				return n
			}
		}
		t.Fatalf("%s has no choice of folders", at)
		return nil
	}
	pages := []string{"/", "/save?url=https%3A%2F%2Fimages.example%2Fa.jpg", "/panel", "/save/button?url=https%3A%2F%2Fimages.example%2Fa.jpg"}
	for _, at := range pages {
		if got := first(at); attr(got, "value") != usual {
			t.Errorf("%s without rules offers %q first", at, text(got))
		}
	}
	b.rule(s.host(), "picture", papers)
	for _, at := range pages {
		if got := first(at); attr(got, "value") != "" || text(got) != "By your rules, else Usual" {
			t.Errorf("%s with rules offers %q first", at, text(got))
		}
	}
	lines := s.sample("meadow.jpg") + "\n" + s.sample("photo")
	if to := b.form("/transfers", "urls", lines, "folder", "").want(303).header("Location"); to != "/?watch=1" {
		t.Errorf("it leads to %s", to)
	}
	where := map[string]any{}
	for _, v := range b.get("/api/v1/transfers").want(200).json()["value"].([]any) {
		transfer := v.(map[string]any)
		where[strings.TrimPrefix(transfer["sourceUrl"].(string), s.sample(""))] = folderOf(transfer)
		b.final(transfer["id"].(string))
	}
	if where["meadow.jpg"] != "Papers" || where["photo"] != "Usual" {
		t.Errorf("saved into %v", where)
	}
	if got := b.form("/transfers", "urls", s.sample("meadow.jpg"), "folder", "").want(422).body; !strings.Contains(got, "You saved this into Papers before.") {
		t.Errorf("not said:\n%s", got)
	}
	failed := b.failed(map[string]any{"sourceUrl": s.sample("missing.jpg")})
	if got := first("/save?again=" + failed); attr(got, "value") == "" {
		t.Errorf("a transfer that has its folder is offered %q", text(got))
	}
	b.form("/transfers", "urls", s.sample("meadow.jpg"), "folder", usual).want(303)
	newest := b.get("/api/v1/transfers?top=1").want(200).json()["value"].([]any)[0].(map[string]any)
	if folderOf(newest) != "Usual" {
		t.Errorf("the folder chosen was Usual, it is %v", newest["folder"])
	}
	_, id, _ := strings.Cut(papers, "|")
	s.deleteFolder(robin, id)
	refused := b.form("/transfers", "urls", s.sample("harbour.png")+"\n"+s.sample("empty"), "folder", "").want(422)
	if !strings.Contains(refused.body, "which cannot be used any more") || !strings.Contains(refused.body, "1 link is on the way") {
		t.Errorf("answer:\n%s", refused.body)
	}
	b.form("/settings/rules/delete", "site", s.host(), "kind", "picture").want(303)
	b.form("/transfers", "urls", s.sample("tiles.png"), "folder", "").want(303) // a page from before
	newest = b.get("/api/v1/transfers?top=1").want(200).json()["value"].([]any)[0].(map[string]any)
	if folderOf(newest) != "Usual" {
		t.Errorf("without rules it goes to %v", newest["folder"])
	}
}

func TestRulesAreMadeOrderedAndDeletedInTheSettings(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	if got := b.rules(); len(got) != 0 {
		t.Fatalf("rules before there are any: %v", got)
	}
	to := b.form("/settings/rules", "site", " https://www.Dribbble.com/shots ", "kind", "picture").want(303).header("Location")
	picker := b.get(to).want(200)
	if got := text(picker.page().one("picker-rule")); got != "For your rule: Pictures from dribbble.com" {
		t.Errorf("the picker says %q", got)
	}
	made := b.form("/folders", "name", "Inspiration", "return", must(url.Parse(to))(t).Query().Get("return")).want(303).header("Location")
	sent := map[string]string{}
	for n := range b.get(made).want(200).page().one("use").Parent.Descendants() {
		sent[attr(n, "name")] = attr(n, "value")
	}
	b.form("/settings/rules", "who", sent["who"], "site", sent["site"], "kind", sent["kind"], "folder", sent["folder"]).want(303)
	papers := b.folder("Papers")
	b.rule("", "document", papers)
	b.rule("münchen.example", "", papers)
	if got := fmt.Sprint(b.rules()); got != "[Pictures from dribbble.com into Inspiration Documents into Papers Everything from münchen.example into Papers]" {
		t.Errorf("rules = %s", got)
	}
	b.form("/settings/rules/up", "site", "", "kind", "document").want(303)
	b.form("/settings/rules/up", "site", "", "kind", "document").want(303) // it is the first already
	b.form("/settings/rules/delete", "site", "xn--mnchen-3ya.example", "kind", "").want(303)
	b.form("/settings/rules/delete", "site", "nowhere.example", "kind", "").want(303)
	b.rule("dribbble.com", "picture", papers) // another folder for the same things
	if got := fmt.Sprint(b.rules()); got != "[Documents into Papers Pictures from dribbble.com into Papers]" {
		t.Errorf("rules = %s", got)
	}
	for name, c := range map[string]struct{ site, kind, want string }{
		"no site":          {"not a site", "", "This is not a site."},
		"an address":       {"javascript:alert(1)", "", "This is not a site."},
		"no kind":          {"a.example", "poem", "Choose one of the kinds."},
		"for all there is": {"", "", "For everything there is the default folder."},
	} {
		got := b.form("/settings/rules", "site", c.site, "kind", c.kind, "folder", papers).want(422)
		if !strings.Contains(got.body, c.want) || !strings.Contains(got.body, html.EscapeString(c.site)) {
			t.Errorf("%s: not said, or the field is empty:\n%s", name, got.body)
		}
	}
	for _, folder := range []string{"d|../me", "|x?y=1"} {
		b.form("/settings/rules", "site", "a.example", "folder", folder).want(400)
	}
	b.form("/settings/rules", "site", "a.example", "folder", "|gone").want(404)
	for i := range 48 {
		b.rule(fmt.Sprintf("site%d.example", i), "", papers)
	}
	if got := b.form("/settings/rules", "site", "a.example", "folder", papers).want(422).body; !strings.Contains(got, "More than fifty rules do not fit.") {
		t.Errorf("the 51st rule: %s", got)
	}
	b.rule("site1.example", "", papers) // which there is already
	if got := len(b.rules()); got != 50 {
		t.Errorf("%d rules, want 50", got)
	}
	if got := s.signIn(kim).rules(); len(got) != 0 {
		t.Errorf("somebody else has the rules %v", got)
	}
}

// What was stored before there were rules is read as it is.
func TestPreferencesFromBeforeRulesAreRead(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	drive, id, _ := strings.Cut(b.folder("Usual"), "|")
	who := b.get("/api/v1/me").want(200).json()["id"].(string)
	old := map[string]any{"folder": map[string]string{"driveId": drive, "id": id, "name": "Usual", "path": "/Usual"}, "conflict": "fail"}
	if err := s.options.Users.SetPrefs(t.Context(), who, old); err != nil {
		t.Fatal(err)
	}
	if got := b.rules(); len(got) != 0 {
		t.Errorf("rules = %v", got)
	}
	b.rule("a.example", "", drive+"|"+id)
	got := b.json("POST", "/api/v1/transfers", map[string]any{"sourceUrl": s.sample("meadow.jpg")}).want(202).json()
	if folderOf(got) != "Usual" || got["conflictBehavior"] != "fail" {
		t.Errorf("it goes to %v, %v", got["folder"], got["conflictBehavior"])
	}
}
