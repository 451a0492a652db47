package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer"
)

// again tries a transfer again with a body.
func (b *browser) again(id, body string) answer {
	b.s.t.Helper()
	return b.do("POST", "/api/v1/transfers/"+id+"/retry", body, http.Header{"Content-Type": {"application/json"}})
}

// failed is a transfer that fails, as asked for by body.
func (b *browser) failed(body map[string]any) string {
	b.s.t.Helper()
	id := b.json("POST", "/api/v1/transfers", body).want(202).json()["id"].(string)
	if t := b.final(id); t["state"] != "failed" {
		b.s.t.Fatalf("%v is %v", body, t)
	}
	return id
}

func TestARetryCanChangeWhatFailed(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	folder := b.json("POST", "/api/v1/folders", map[string]string{"name": "Cats"}).want(201).json()["id"].(string)
	missing := s.sample("missing.jpg")
	taken := func(name string) map[string]any {
		s.microsoft.PutFile(robin, "/"+name, []byte("older"))
		return map[string]any{"sourceUrl": s.sample("meadow.jpg"), "name": name, "conflictBehavior": "fail"}
	}
	for _, tt := range []struct {
		what  string
		asked map[string]any
		body  string
		path  string // of the file in the end
	}{
		{"another name", taken("one.jpg"), `{"name":"two.jpg"}`, "/two.jpg"},
		{"a name that OneDrive does not take", taken("three.jpg"), `{"name":"CON"}`, "/_CON"},
		{"a name that is worked out", taken("four.jpg"), `{"name":""}`, "/meadow.jpg"},
		{"another behaviour", taken("five.jpg"), `{"conflictBehavior":"rename"}`, "/five 2.jpg"},
		{"to replace", taken("six.jpg"), `{"conflictBehavior":"replace"}`, "/six.jpg"},
		{"another folder", taken("seven.jpg"), `{"folderId":"` + folder + `"}`, "/Cats/seven.jpg"},
		{"another address", map[string]any{"sourceUrl": missing}, `{"sourceUrl":" ` + s.sample("tiles.png") + `#top"}`, "/tiles.png"},
		{"another address, and the name that was given", map[string]any{"sourceUrl": missing, "name": "mine.png"}, `{"sourceUrl":"` + s.sample("tiles.png") + `"}`, "/mine.png"},
		{"the bytes themselves", map[string]any{"sourceUrl": missing}, `{"sourceUrl":"data:text/plain,hello","name":"hello.txt"}`, "/hello.txt"},
		{"everything", taken("eight.jpg"), `{"sourceUrl":"` + s.sample("harbour.png") + `","name":"all.png","folderId":"` + folder + `","conflictBehavior":"fail","unknown":7}`, "/Cats/all.png"},
	} {
		id := b.failed(tt.asked)
		got := b.again(id, tt.body).want(202).json()
		if got["id"] != id || got["attempts"] != 2.0 || got["error"] != nil {
			t.Errorf("%s: answered %v", tt.what, got)
		}
		if done := b.final(id); done["state"] != "completed" || !slices.Contains(paths(s, robin), tt.path) {
			t.Errorf("%s: %v; the drive holds %v, want %s", tt.what, done, paths(s, robin), tt.path)
		}
	}
}

// What is wrong is said as of a new transfer, and the transfer stays as it was.
func TestAChangeThatCannotBeChangesNothing(t *testing.T) {
	s := setup(t)
	b, other := s.signIn(robin), s.signIn(kim)
	id := b.failed(map[string]any{"sourceUrl": s.sample("missing.jpg"), "name": "mine.jpg"})
	before := b.get("/api/v1/transfers/" + id).want(200).body
	for body, want := range map[string]string{
		`{"sourceUrl":"ftp://a.example/"}`:                   "400 sourceRefused sourceUrl",
		`{"sourceUrl":""}`:                                   "400 sourceRefused sourceUrl",
		`{"sourceUrl":"http://127.0.0.1:1/a.jpg"}`:           "400 sourceRefused sourceUrl",
		`{"sourceUrl":"data:,"}`:                             "400 emptyFile sourceUrl",
		`{"conflictBehavior":"merge"}`:                       "400 invalidRequest conflictBehavior",
		`{"name":"` + strings.Repeat("x", 1025) + `"}`:       "400 invalidRequest name",
		`{"folderId":"a/b"}`:                                 "400 invalidRequest folderId",
		`{"folderId":"gone"}`:                                "404 folderNotFound folderId",
		`{"driveId":"?","folderId":"gone"}`:                  "400 invalidRequest driveId",
		`{"name":7}`:                                         "400 invalidRequest <nil>",
		`{"name":"a.jpg"`:                                    "400 invalidRequest <nil>",
		`[]`:                                                 "400 invalidRequest <nil>",
		`{"sourceUrl":"` + strings.Repeat("x", 5<<20) + `"}`: "413 tooLarge <nil>",
	} {
		got := b.again(id, body)
		if said := fmt.Sprint(got.status, " ", got.code(), " ", got.json()["field"]); said != want {
			t.Errorf("%s: %s, want %s", cutTo(body, 60), said, want)
		}
	}
	if got := b.do("POST", "/api/v1/transfers/"+id+"/retry", `{"name":"a.jpg"}`, http.Header{"Content-Type": {"text/plain"}}); got.status != 415 {
		t.Errorf("as text: %d", got.status)
	}
	if code := other.again(id, `{"name":"a.jpg"}`).want(404).code(); code != "notFound" {
		t.Errorf("somebody else: %s", code)
	}
	if after := b.get("/api/v1/transfers/" + id).want(200).body; after != before {
		t.Errorf("it was\n%s and is\n%s", before, after)
	}
	for _, body := range []string{"", " \n", "{}", "null"} {
		b.again(id, body).want(202)
		if now := b.final(id); now["name"] != "mine.jpg" || now["state"] != "failed" {
			t.Errorf("%q: %v", body, now)
		}
	}
	b.do("POST", "/api/v1/transfers/"+id+"/retry", "", nil).want(202)
}

// One that is under way, or done, is not made another one.
func TestOnlyWhatCanBeginAnewIsChanged(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	done := b.submit(s.sample("meadow.jpg"))
	b.final(done)
	running := b.submit(s.sample("slow.jpg"))
	for what, id := range map[string]string{"running": running, "done": done} {
		if code := b.again(id, `{"name":"a.jpg"}`).want(409).code(); code != "conflict" {
			t.Errorf("%s: %s", what, code)
		}
	}
	s.microsoft.SetConduct(robin, func(c *fakegraph.Conduct) { c.Stuck = true })
	stuck := b.submit(s.sample("garden.jpg"))
	events := b.events("/api/v1/events")
	for route := any(nil); route != "native"; {
		events.next()
		route = b.get("/api/v1/transfers/" + stuck).want(200).json()["route"]
	}
	b.json("POST", "/api/v1/transfers/"+stuck+"/cancel", nil).want(202)
	got := b.again(stuck, `{"name":"a.jpg"}`).want(409)
	if got.code() != "conflict" || got.json()["title"] != "OneDrive may still finish this transfer as it was." {
		t.Errorf("one that OneDrive may still finish: %s", got.body)
	}
	b.again(stuck, `{}`).want(202)
}

// The bytes are the client's, wherever it has them from; all else can be another.
func TestAnUploadThatFailedIsSentAsAnother(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	s.microsoft.PutFile(robin, "/page.html", []byte("older"))
	id := b.json("POST", "/api/v1/transfers", map[string]any{"route": "upload", "sourceUrl": "https://a.example/", "name": "page.html", "size": 5, "conflictBehavior": "fail"}).want(202).json()["id"].(string)
	put := func() map[string]any {
		return b.do("PUT", "/api/v1/transfers/"+id+"/content", "bytes", nil).want(202).json()
	}
	if got := put(); got["state"] != "failed" {
		t.Fatalf("it is %v", got)
	}
	refused := b.again(id, `{"sourceUrl":"https://b.example/"}`).want(400)
	if refused.code() != "invalidRequest" || !strings.Contains(fmt.Sprint(refused.json()["detail"]), "come from a client") {
		t.Errorf("another address: %s", refused.body)
	}
	if got := b.again(id, `{"name":"other.html","sourceUrl":"https://a.example/"}`).want(202).json(); got["route"] != "upload" || got["name"] != "other.html" {
		t.Errorf("another name: %v", got)
	}
	put()
	if got := b.final(id); got["state"] != "completed" || !slices.Contains(paths(s, robin), "/other.html") {
		t.Errorf("%v; the drive holds %v", got, paths(s, robin))
	}
}

// A panel replaces nothing this way either.
func TestAPanelChangesNothingIntoAReplacement(t *testing.T) {
	s := setup(t)
	b, p := s.signIn(robin), newPanel()
	id := b.failed(map[string]any{"sourceUrl": s.sample("missing.jpg"), "conflictBehavior": "replace"})
	frame := s.browser()
	bearer := "Bearer " + frame.redeem(s.code(robin, p), p.verifier, true).want(200).json()["access_token"].(string)
	for _, body := range []string{`{"conflictBehavior":"replace"}`, `{"name":"theirs.jpg"}`} {
		got := frame.do("POST", "/api/v1/transfers/"+id+"/retry", body, http.Header{"Content-Type": {"application/json"}, "Authorization": {bearer}})
		if got.status != 403 || got.code() != "notInFrame" {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

// What is answered is stored: a runner that takes the records up later saves the file as what it became.
func TestAChangeOutlivesTheProcess(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	key := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"once"}}
	order := `{"sourceUrl":"` + s.sample("missing.jpg") + `"}`
	id := b.do("POST", "/api/v1/transfers", order, key).want(202).json()["id"].(string)
	b.final(id)
	if err := s.options.Runner.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.again(id, `{"sourceUrl":"`+s.sample("tiles.png")+`","name":"after.png"}`).want(202)
	next := transfer.NewRunner(s.options.Store, s.options.Saver, transfer.RunnerOptions{})
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Stop(t.Context()) })
	if got := b.final(id); got["state"] != "completed" || !slices.Contains(paths(s, robin), "/after.png") {
		t.Errorf("%v; the drive holds %v", got, paths(s, robin))
	}
	if again := b.do("POST", "/api/v1/transfers", order, key).want(202).json()["id"]; again != id {
		t.Errorf("its key stands for %v, want %s", again, id)
	}
}

// chosen is the value of the option that the page marks in a field.
func chosen(p *page, name string) string {
	p.t.Helper()
	for n := range p.root.Descendants() {
		if n.Data == "select" && attr(n, "name") == name {
			for o := range n.Descendants() {
				if slices.ContainsFunc(o.Attr, func(a html.Attribute) bool { return a.Key == "selected" }) {
					return attr(o, "value")
				}
			}
		}
	}
	p.t.Fatalf("nothing is chosen of %q", name)
	return ""
}

// resend sends the form of a transfer as it stands on the page, with pairs in the place of what it holds.
func (b *browser) resend(p *page, id string, pairs ...string) answer {
	b.s.t.Helper()
	all := map[string]string{"who": field(p, "who"), "urls": field(p, "urls"), "name": field(p, "name"), "folder": chosen(p, "folder"), "conflict": chosen(p, "conflict")}
	for i := 0; i+1 < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	var flat []string
	for k, v := range all {
		flat = append(flat, k, v)
	}
	return b.form("/transfers/"+id+"/change", flat...)
}

func TestAFailedRowLeadsToItsFilledForm(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	folder := b.json("POST", "/api/v1/folders", map[string]string{"name": "Cats"}).want(201).json()["id"].(string)
	id := b.failed(map[string]any{"sourceUrl": s.sample("missing.jpg") + "?size=9", "folderId": folder, "conflictBehavior": "fail"})
	at := attr(b.get("/").page().one("change"), "href")
	if at != "/save?again="+id {
		t.Errorf("the row leads to %q", at)
	}
	p := b.get(at).want(200).page()
	if said := text(p.one("again")); !strings.Contains(said, "This is about missing.jpg") || !strings.Contains(said, "There is nothing at this address.") {
		t.Errorf("the form says %q", cutTo(said, 300))
	}
	if address, name, conflict := field(p, "urls"), field(p, "name"), chosen(p, "conflict"); address != s.sample("missing.jpg")+"?size=9" || name != "" || conflict != "fail" || !strings.HasSuffix(chosen(p, "folder"), "|"+folder) {
		t.Errorf("the form holds %q, %q, %q and %q", address, name, conflict, chosen(p, "folder"))
	}
	if to := b.resend(p, id, "urls", s.sample("tiles.png")).want(303).header("Location"); to != "/?watch=1" {
		t.Errorf("it leads on to %q", to)
	}
	if done := b.final(id); done["state"] != "completed" || !slices.Contains(paths(s, robin), "/Cats/tiles.png") {
		t.Errorf("%v; the drive holds %v", done, paths(s, robin))
	}
	b.get(at).want(409)
	b.resend(p, id, "name", "b.png").want(409)
}

// A double click is one order; what is to be another still is refused.
func TestTheFormOfAFailedTransferCanBeSentTwice(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	id := b.failed(map[string]any{"sourceUrl": s.sample("missing.jpg")})
	p := b.get("/save?again=" + id).want(200).page()
	if err := s.options.Runner.Stop(t.Context()); err != nil { // it stays under way
		t.Fatal(err)
	}
	for range 2 {
		b.resend(p, id, "urls", s.sample("tiles.png"), "name", "a.png").want(303)
	}
	for _, other := range [][]string{{"name", "b.png"}, {"name", "a.png", "folder", "|"}} {
		b.resend(p, id, append([]string{"urls", s.sample("tiles.png")}, other...)...).want(409)
	}
	if n := b.get("/api/v1/transfers/" + id).want(200).json()["attempts"]; n != 2.0 {
		t.Errorf("%v attempts", n)
	}
}

func TestTheFormOfAFailedTransferTakesEachChange(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	folder := b.json("POST", "/api/v1/folders", map[string]string{"name": "Cats"}).want(201).json()
	for _, tt := range []struct {
		what  string
		pairs []string
		path  string // of the file in the end
	}{
		{"another name", []string{"name", "two.jpg"}, "/two.jpg"},
		{"no name", []string{"name", ""}, "/meadow.jpg"},
		{"another behaviour", []string{"conflict", "replace"}, "/one.jpg"},
		{"another folder", []string{"folder", folder["driveId"].(string) + "|" + folder["id"].(string)}, "/Cats/one.jpg"},
		{"nothing", nil, ""},
	} {
		s.microsoft.PutFile(robin, "/one.jpg", []byte("older"))
		id := b.failed(map[string]any{"sourceUrl": s.sample("meadow.jpg"), "name": "one.jpg", "conflictBehavior": "fail"})
		p := b.get("/save?again=" + id).want(200).page()
		if name := field(p, "name"); name != "one.jpg" {
			t.Errorf("the name that was taken is shown as %q", name)
		}
		b.resend(p, id, tt.pairs...).want(303)
		if done := b.final(id); tt.path != "" && (done["state"] != "completed" || !slices.Contains(paths(s, robin), tt.path)) {
			t.Errorf("%s: %v; the drive holds %v, want %s", tt.what, done, paths(s, robin), tt.path)
		}
	}
}

// What is wrong is said in the form, which keeps what was typed; the transfer stays as it was.
func TestTheFormOfAFailedTransferSaysWhatIsWrong(t *testing.T) {
	s := setup(t)
	b, other := s.signIn(robin), s.signIn(kim)
	id := b.failed(map[string]any{"sourceUrl": s.sample("missing.jpg")})
	before := b.get("/api/v1/transfers/" + id).want(200).body
	p := b.get("/save?again=" + id).want(200).page()
	for _, tt := range []struct{ name, value, said string }{
		{"urls", "", "There is no address."},
		{"urls", "cats", "It must start with https://"},
		{"urls", "http://127.0.0.1:1/a.jpg", "only public web addresses"},
		{"conflict", "merge", "Send rename, replace or fail."},
		{"name", strings.Repeat("x", 1025), "This name cannot be used."},
		{"folder", "|gone", "This folder does not exist any more."},
		{"folder", "a/b|c", "This request cannot be read."},
	} {
		got := b.resend(p, id, tt.name, tt.value, "name", "kept.jpg", tt.name, tt.value).want(422).page()
		if said := text(got.one("again")); !strings.Contains(said, tt.said) || tt.name != "name" && field(got, "name") != "kept.jpg" {
			t.Errorf("%s %q: the form says %q", tt.name, cutTo(tt.value, 40), cutTo(said, 400))
		}
	}
	if got := b.resend(p, id, "who", "another"); got.status != 409 || !strings.Contains(got.body, "another account") {
		t.Errorf("a form of another account: %d", got.status)
	}
	head := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}
	if got := b.do("POST", "/transfers/"+id+"/change", "name=a.jpg&urls="+url.QueryEscape(s.sample("tiles.png")), head); got.status != 403 {
		t.Errorf("another site's form: %d", got.status)
	}
	head = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Dest": {"iframe"}}
	if got := b.do("POST", "/transfers/"+id+"/change", "name=a.jpg&urls="+url.QueryEscape(s.sample("tiles.png")), head); got.status != 403 {
		t.Errorf("a form in a frame: %d", got.status)
	}
	other.get("/save?again=" + id).want(404)
	other.form("/transfers/"+id+"/change", "urls", s.sample("tiles.png")).want(404)
	if in := s.browser().get("/save?again=" + id).want(401).body; !strings.Contains(in, url.QueryEscape("/save?again="+id)) {
		t.Error("who is signed out is not led back")
	}
	if after := b.get("/api/v1/transfers/" + id).want(200).body; after != before {
		t.Errorf("it was\n%s and is\n%s", before, after)
	}
}

// Without scripts the folder list leads back to the form.
func TestTheFolderListLeadsBackToTheForm(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	folder := b.json("POST", "/api/v1/folders", map[string]string{"name": "Cats"}).want(201).json()
	id := b.failed(map[string]any{"sourceUrl": s.sample("missing.jpg")})
	list := b.get(attr(b.get("/save?again="+id).want(200).page().one("browse"), "href")).want(200).page()
	for _, link := range list.all("folder-link") {
		if text(link) == "Cats" {
			use := attr(b.get(attr(link, "href")).want(200).page().one("use"), "href")
			if got := chosen(b.get(use).want(200).page(), "folder"); got != folder["driveId"].(string)+"|"+folder["id"].(string) {
				t.Errorf("%s chooses %q", use, got)
			}
			return
		}
	}
	t.Error("the list has no link to the folder")
}

// The bytes of an upload come from elsewhere: its form asks for no address.
func TestTheFormOfBytesAsksForNoAddress(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	s.microsoft.PutFile(robin, "/one.txt", []byte("older"))
	id := b.failed(map[string]any{"sourceUrl": "data:text/plain,hello", "name": "one.txt", "conflictBehavior": "fail"})
	p := b.get("/save?again=" + id).want(200).page()
	if n := len(p.all("address")); n > 0 {
		t.Error("it asks for an address")
	}
	b.form("/transfers/"+id+"/change", "name", "two.txt", "folder", chosen(p, "folder"), "conflict", "fail").want(303)
	if done := b.final(id); done["state"] != "completed" || !slices.Contains(paths(s, robin), "/two.txt") {
		t.Errorf("%v; the drive holds %v", done, paths(s, robin))
	}
}
