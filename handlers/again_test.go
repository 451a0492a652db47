package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

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
