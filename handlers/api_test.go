package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

func TestAPISavesAURLAndSaysWhatBecameOfIt(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	got := b.json("POST", "/api/v1/transfers", map[string]any{"sourceUrl": s.sample("meadow.jpg"), "pageUrl": "https://cats.example/", "pageTitle": "Cats"}).want(202)
	made := got.json()
	if location := got.header("Location"); location != "/api/v1/transfers/"+made["id"].(string) {
		t.Errorf("Location = %q", location)
	}
	for _, key := range []string{"id", "state", "route", "sourceUrl", "pageUrl", "name", "folder", "conflictBehavior", "percentageComplete",
		"bytesTransferred", "size", "reason", "error", "leftover", "attempts", "item", "createdDateTime", "lastModifiedDateTime"} {
		if _, ok := made[key]; !ok {
			t.Errorf("no %q in %v", key, made)
		}
	}
	for _, secret := range []string{"owner", "work", "Work", "monitor", "uploadUrl"} {
		if _, ok := made[secret]; ok {
			t.Errorf("%q is in the answer", secret)
		}
	}
	done := b.final(made["id"].(string))
	item, _ := done["item"].(map[string]any)
	if done["state"] != "completed" || item["name"] != "meadow.jpg" || item["webUrl"] == "" || item["size"] == 0.0 {
		t.Errorf("transfer = %v", done)
	}
	if !slices.ContainsFunc(paths(s, robin), func(p string) bool { return p == "/meadow.jpg" }) {
		t.Errorf("files = %v", paths(s, robin))
	}
	failed := b.final(b.submit(s.sample("missing.jpg")))
	problem, _ := failed["error"].(map[string]any)
	if failed["state"] != "failed" || problem["code"] != "sourceNotFound" || problem["message"] == "" || problem["advice"] == "" {
		t.Errorf("failed transfer = %v", failed)
	}
}

// Who says nothing of names that are taken means what the person has set; a panel still replaces nothing.
func TestWhatIsSetForATakenNameIsTheDefaultEverywhere(t *testing.T) {
	s := setup(t)
	b, p := s.signIn(robin), newPanel()
	frame := s.browser()
	bearer := "Bearer " + frame.redeem(s.code(robin, p), p.verifier, true).want(200).json()["access_token"].(string)
	silent := map[string]any{"sourceUrl": s.sample("meadow.jpg")}
	for set, inPanel := range map[string]string{"fail": "fail", "replace": "rename", "rename": "rename"} {
		b.form("/settings", "conflict", set).want(303)
		if got := b.json("POST", "/api/v1/transfers", silent).want(202).json()["conflictBehavior"]; got != set {
			t.Errorf("set to %s: the API takes %v", set, got)
		}
		batch := b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": []any{silent}}).want(202).json()["value"].([]any)
		if got := batch[0].(map[string]any)["conflictBehavior"]; got != set {
			t.Errorf("set to %s: a batch takes %v", set, got)
		}
		b.share(fromTheSystem, nil, map[string]string{set + ".txt": "shared"}).want(303)
		newest := b.get("/api/v1/transfers?top=1").want(200).json()["value"].([]any)
		if got := newest[0].(map[string]any)["conflictBehavior"]; got != set {
			t.Errorf("set to %s: a share sheet takes %v", set, got)
		}
		said := map[string]any{"sourceUrl": s.sample("meadow.jpg"), "conflictBehavior": "rename"}
		if got := b.json("POST", "/api/v1/transfers", said).want(202).json()["conflictBehavior"]; got != "rename" {
			t.Errorf("set to %s: rename becomes %v", set, got)
		}
		body, _ := json.Marshal(silent)
		answer := frame.do("POST", "/api/v1/transfers", string(body), http.Header{"Authorization": {bearer}, "Content-Type": {"application/json"}})
		if got := answer.want(202).json()["conflictBehavior"]; got != inPanel {
			t.Errorf("set to %s: a panel takes %v, want %s", set, got, inPanel)
		}
	}
}

func paths(s *site, login string) []string {
	var list []string
	for _, f := range s.microsoft.Files(login) {
		list = append(list, "/"+strings.TrimPrefix(f.Path, "/"))
	}
	return list
}

func TestAPIRefusesWithAProblem(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	asJSON, asForm := http.Header{"Content-Type": {"application/json"}}, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	long := strings.Repeat("a", 3000)
	for _, c := range []struct {
		name, method, path, body string
		head                     http.Header
		status                   int
		code, field              string
	}{
		{"a form instead of JSON", "POST", "/transfers", "sourceUrl=x", asForm, 415, "unsupportedType", ""},
		{"no JSON at all", "POST", "/transfers", "{", asJSON, 400, "invalidRequest", ""},
		{"two values", "POST", "/transfers", "{}{}", asJSON, 400, "invalidRequest", ""},
		{"a wrong type", "POST", "/transfers", `{"sourceUrl":7}`, asJSON, 400, "invalidRequest", ""},
		{"nothing", "POST", "/transfers", `{}`, asJSON, 400, "sourceRefused", "sourceUrl"},
		{"a script", "POST", "/transfers", `{"sourceUrl":"javascript:alert(1)"}`, asJSON, 400, "sourceRefused", "sourceUrl"},
		{"a password", "POST", "/transfers", `{"sourceUrl":"https://u:p@a.example/"}`, asJSON, 400, "sourceRefused", "sourceUrl"},
		{"a private host", "POST", "/transfers", `{"sourceUrl":"http://169.254.169.254/latest"}`, asJSON, 400, "sourceRefused", "sourceUrl"},
		{"a long address", "POST", "/transfers", `{"sourceUrl":"https://a.example/` + long + `"}`, asJSON, 400, "sourceRefused", "sourceUrl"},
		{"an odd conflict", "POST", "/transfers", `{"sourceUrl":"https://a.example/","conflictBehavior":"merge"}`, asJSON, 400, "invalidRequest", "conflictBehavior"},
		{"a folder that is none", "POST", "/transfers", `{"sourceUrl":"` + s.sample("meadow.jpg") + `","folderId":"nope"}`, asJSON, 404, "folderNotFound", "folderId"},
		{"a path for an id", "POST", "/transfers", `{"sourceUrl":"https://a.example/","folderId":"../x"}`, asJSON, 400, "invalidRequest", "folderId"},
		{"an empty batch", "POST", "/transfers/batch", `{"transfers":[]}`, asJSON, 400, "invalidRequest", "transfers"},
		{"too much", "POST", "/transfers/batch", `{"transfers":["` + strings.Repeat("a", 5<<20) + `"]}`, asJSON, 413, "tooLarge", ""},
		{"an unknown transfer", "GET", "/transfers/01K0000000000000000000000A", "", nil, 404, "notFound", ""},
		{"an odd id", "GET", "/transfers/..%2f..%2fx", "", nil, 404, "notFound", ""},
		{"an unknown state", "GET", "/transfers?state=flying", "", nil, 400, "invalidRequest", "state"},
		{"too many at once", "GET", "/transfers?top=1000", "", nil, 400, "invalidRequest", "top"},
		{"an unknown path", "GET", "/nothing", "", nil, 404, "notFound", ""},
		{"a folder in a path", "POST", "/folders", `{"name":"a","parentId":"../x"}`, asJSON, 400, "invalidRequest", "parentId"},
		{"an odd method", "PATCH", "/transfers", "", asJSON, 405, "methodNotAllowed", ""},
		{"a folder name that OneDrive forbids", "POST", "/folders", `{"name":"a/b"}`, asJSON, 422, "nameInvalid", "name"},
		{"a folder without a name", "POST", "/folders", `{"name":" "}`, asJSON, 422, "nameInvalid", "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := b.do(c.method, "/api/v1"+c.path, c.body, c.head)
			if got.status != c.status || got.code() != c.code {
				t.Errorf("%d %s, want %d %s\n%s", got.status, got.code(), c.status, c.code, cutTo(got.body, 400))
			}
			if field, _ := got.json()["field"].(string); field != c.field {
				t.Errorf("field %q, want %q", field, c.field)
			}
			if got.json()["title"] == "" {
				t.Error("no words")
			}
		})
	}
}

func TestIdempotencyKeyMakesTwoRequestsOneTransfer(t *testing.T) {
	s := setup(t)
	b, other := s.signIn(robin), s.signIn(kim)
	head := http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"order-1"}}
	body := `{"sourceUrl":"` + s.sample("slow.jpg") + `"}`
	first := b.do("POST", "/api/v1/transfers", body, head).want(202).json()["id"]
	if again := b.do("POST", "/api/v1/transfers", body, head).want(202).json()["id"]; again != first {
		t.Errorf("%v, then %v", first, again)
	}
	if foreign := other.do("POST", "/api/v1/transfers", body, head).want(202).json()["id"]; foreign == first {
		t.Error("another user's key gave this user's transfer")
	}
	head["Idempotency-Key"] = []string{strings.Repeat("x", 201)}
	if code := b.do("POST", "/api/v1/transfers", body, head).want(400).code(); code != "idempotencyKey" {
		t.Errorf("code = %q", code)
	}
}

// Who takes a transfer off the list forgets it: its key stands for nothing, and then for the next transfer, once.
func TestAKeyIsFreeOnceItsTransferIsOffTheList(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	post := func(path, body, key string) answer {
		return b.do("POST", "/api/v1/transfers"+path, body, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}}).want(202)
	}
	line := `{"sourceUrl":"` + s.sample("meadow.jpg") + `"}`
	for name, save := range map[string]func() any{
		"alone": func() any { return post("", line, "alone").json()["id"] },
		"in a batch": func() any {
			return post("/batch", `{"transfers":[`+line+`]}`, "many").json()["value"].([]any)[0].(map[string]any)["id"]
		},
	} {
		first := save().(string)
		b.final(first)
		b.do("DELETE", "/api/v1/transfers/"+first, "", nil).want(204)
		second := save()
		if again := save(); second == first || again != second {
			t.Errorf("%s: %v, after its deletion %v, then %v; want another one, once", name, first, second, again)
		}
	}
}

// What was accepted stays so: the same key gives it also once its folder is gone, or with another request.
func TestTheSameKeyIsTheSameTransferWhateverCameOfTheFolder(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	folder := b.json("POST", "/api/v1/folders", map[string]string{"name": "Cats"}).want(201).json()["id"].(string)
	line := `{"sourceUrl":"` + s.sample("slow.jpg") + `","folderId":"` + folder + `"}`
	post := func(path, key, body string) answer {
		return b.do("POST", "/api/v1/transfers"+path, body, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}})
	}
	batch := func(key, line string) map[string]any {
		return post("/batch", key, `{"transfers":[`+line+`]}`).want(202).json()["value"].([]any)[0].(map[string]any)
	}
	one, many := post("", "one", line).want(202).json()["id"], batch("many", line)["id"]
	s.deleteFolder(robin, folder)
	for _, body := range []string{line, `{"sourceUrl":"file:///etc/passwd"}`} {
		again := post("", "one", body).want(202)
		if id := again.json()["id"]; id != one || again.header("Location") != "/api/v1/transfers/"+one.(string) {
			t.Errorf("%s: %v, then %v", body, one, id)
		}
		if id := batch("many", body)["id"]; id != many {
			t.Errorf("%s in a batch: %v, then %v", body, many, id)
		}
	}
	if code := post("", "new", line).want(404).code(); code != "folderNotFound" {
		t.Errorf("another key: %s", code)
	}
	if got := batch("new", line); got["code"] != "folderNotFound" {
		t.Errorf("another batch: %v", got)
	}
}

func TestABatchAnswersLineByLine(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	got := b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": []any{
		map[string]any{"sourceUrl": s.sample("meadow.jpg")},
		map[string]any{"sourceUrl": "file:///etc/passwd"},
		map[string]any{"sourceUrl": s.sample("harbour.png"), "folderId": "gone"},
		map[string]any{"sourceUrl": s.sample("tiles.png")},
	}}).want(202).json()["value"].([]any)
	var codes []any
	for _, v := range got {
		codes = append(codes, v.(map[string]any)["code"])
	}
	if want := []any{nil, "sourceRefused", "folderNotFound", nil}; !slices.Equal(codes, want) {
		t.Errorf("codes = %v, want %v", codes, want)
	}
}

// A line that cannot even be read is refused in its place.
func TestAnIllTypedLineSpoilsNoOther(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	good := `{"sourceUrl":"` + s.sample("meadow.jpg") + `"}`
	for name, line := range map[string]string{
		"a number for an address": `{"sourceUrl":7}`, "a text for a size": `{"sourceUrl":"https://a.example/","size":"9"}`, "a broken size": `{"size":1.5}`,
		"a number": `7`, "a text": `"https://a.example/"`, "an array": `[` + good + `]`, "null": ` null `, "a number for a key": `{"idempotencyKey":1}`,
	} {
		body := `{"transfers": [ ` + line + ` , ` + good + ` ]}`
		got := b.do("POST", "/api/v1/transfers/batch", body, http.Header{"Content-Type": {"application/json"}}).want(202).json()["value"].([]any)
		if len(got) != 2 || got[0].(map[string]any)["code"] != "invalidRequest" || got[1].(map[string]any)["state"] == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, body := range []string{`{"transfers":{}}`, `{"transfers":null}`, `{"transfers":[1,]}`, `{"transfers":[1 2]}`, `{"transfers":[`, `[]`, `7`} {
		if code := b.do("POST", "/api/v1/transfers/batch", body, http.Header{"Content-Type": {"application/json"}}).want(400).code(); code != "invalidRequest" {
			t.Errorf("%s: %s", body, code)
		}
	}
}

// A line that brings a key of its own is the same transfer in another batch, in another place, and alone.
func TestALineOfABatchCanHaveItsOwnKey(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	line := func(name, key string) any {
		return map[string]any{"sourceUrl": s.sample(name), "idempotencyKey": key}
	}
	ids := func(lines ...any) []any {
		var ids []any
		for _, v := range b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": lines}).want(202).json()["value"].([]any) {
			if id := v.(map[string]any)["id"]; id != nil {
				ids = append(ids, id)
			} else {
				ids = append(ids, v.(map[string]any)["code"])
			}
		}
		return ids
	}
	first := ids(line("meadow.jpg", "a"), line("harbour.png", "b"), line("tiles.png", "no spaces please"))
	if first[2] != "idempotencyKey" {
		t.Errorf("a key with a space gives %v", first[2])
	}
	if again := ids(line("harbour.png", "b"), line("meadow.jpg", "a")); !slices.Equal(again, []any{first[1], first[0]}) {
		t.Errorf("%v, then %v", first, again)
	}
	alone := b.do("POST", "/api/v1/transfers", `{"sourceUrl":"`+s.sample("meadow.jpg")+`"}`, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"a"}}).want(202).json()["id"]
	if alone != first[0] {
		t.Errorf("%v in the batch, %v alone", first[0], alone)
	}
}

func TestClientsBytesArriveInOneGoAndInPieces(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	content := strings.Repeat("0123456789abcdef", 64<<10)
	order := func(name string) string {
		return b.json("POST", "/api/v1/transfers", map[string]any{"route": "upload", "name": name, "size": len(content), "contentType": "application/octet-stream"}).want(202).json()["id"].(string)
	}
	put := func(id, body string, head http.Header) answer {
		return b.do("PUT", "/api/v1/transfers/"+id+"/content", body, head)
	}
	one := order("one.bin")
	put(one, content, http.Header{"Content-Type": {"application/octet-stream"}}).want(202)
	b.final(one)

	two := order("two.bin")
	half := len(content) / 2
	put(two, content[:half], http.Header{"Content-Range": {"bytes 0-524287/1048576"}}).want(202)
	if code := put(two, "xx", http.Header{"Content-Range": {"bytes 9-10/1048576"}}).want(416).code(); code != "rangeInvalid" {
		t.Errorf("code = %q", code)
	}
	put(two, content[half:], http.Header{"Content-Range": {"bytes 524288-1048575/1048576"}}).want(202)
	b.final(two)
	for _, name := range []string{"one.bin", "two.bin"} {
		if got, ok := s.microsoft.Content(robin, "/"+name); !ok || string(got) != content {
			t.Errorf("%s: %d bytes arrived, want %d the same", name, len(got), len(content))
		}
	}
	put(one, "late", nil).want(409)
	for _, bad := range []string{"bytes 5-4/10", "bytes 0-9/9", "bytes */10", "chunks 0-1/2", "bytes 0-99/1000"} {
		if got := put(order("bad.bin"), "0123", http.Header{"Content-Range": {bad}}); got.status != 416 {
			t.Errorf("Content-Range %q = %d, want 416", bad, got.status)
		}
	}
}

func TestFoldersAreListedMadeAndFound(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	top := b.get("/api/v1/folders").want(200).json()
	if top["folder"].(map[string]any)["path"] != "/" || len(top["value"].([]any)) == 0 {
		t.Errorf("top = %v", top)
	}
	made := b.json("POST", "/api/v1/folders", map[string]string{"name": "Übergänge"}).want(201).json()
	again := b.json("POST", "/api/v1/folders", map[string]string{"name": "Übergänge"}).want(200).json()
	if made["id"] != again["id"] {
		t.Errorf("made %v, then %v", made["id"], again["id"])
	}
	inner := b.json("POST", "/api/v1/folders", map[string]string{"name": "Inner", "parentId": made["id"].(string)}).want(201).json()
	if inner["path"] != "/Übergänge/Inner" {
		t.Errorf("path = %q", inner["path"])
	}
	got := b.get("/api/v1/folders?id=" + inner["id"].(string)).want(200).json()
	var way []string
	for _, c := range got["crumbs"].([]any) {
		way = append(way, c.(map[string]any)["name"].(string))
	}
	if !slices.Equal(way, []string{"OneDrive", "Übergänge", "Inner"}) {
		t.Errorf("crumbs = %v", way)
	}
	b.get("/api/v1/folders?id=nope").want(404)
}

// A source that gives nothing is a problem by the code that a transfer would fail with.
func TestPeekSaysWhatASourceHolds(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	got := b.get("/api/v1/peek?url=" + s.sample("named")).want(200).json()
	if got["name"] != "Übersicht ☀.png" || got["contentType"] != "image/png" || got["size"].(float64) <= 0 {
		t.Errorf("named: %v", got)
	}
	for address, want := range map[string]string{
		s.sample("missing.jpg"): "422 sourceNotFound", s.sample("private.jpg"): "422 sourceUnauthorized", "http://127.0.0.1:1/": "400 sourceRefused", "": "400 sourceRefused",
		"ftp://a.example/": "400 sourceRefused", "%00": "400 sourceRefused",
	} {
		if got := b.get("/api/v1/peek?url=" + address); fmt.Sprint(got.status, " ", got.code()) != want {
			t.Errorf("%s: %d %s, want %s", address, got.status, got.body, want)
		} else if field := got.json()["field"]; got.status == 400 && field != "url" {
			t.Errorf("%s: the field %v is named, want url", address, field)
		}
	}
}

// What Graph refuses is the client's to mend, or OneDrive's: never a fault of Skylift.
func TestARefusalOfGraphIsNoFaultOfOurs(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	s.microsoft.PutFile(robin, "/a.txt", []byte("a file"))
	file := must(s.microsoft.Client(t, robin).Child(t.Context(), onedrive.Ref{}, "a.txt"))(t)
	if got := b.json("POST", "/api/v1/folders", map[string]string{"name": "Inner", "parentId": file.ID}); got.status/100 != 4 || got.code() == "internal" {
		t.Errorf("a folder in a file: %d %s", got.status, got.body)
	}
	for _, tt := range []struct {
		fault  fakegraph.Fault
		status int
		code   string
	}{
		{fakegraph.Fault{Status: 400, Code: "invalidRequest"}, 422, "invalidRequest"},
		{fakegraph.Fault{Status: 409, Code: "somethingNew"}, 422, "invalidRequest"},
		{fakegraph.Fault{Status: 507, Code: "quotaLimitReached"}, 422, "quotaLimitReached"},
		{fakegraph.Fault{Status: 423, Code: "resourceLocked"}, 423, "resourceLocked"},
		{fakegraph.Fault{Status: 405, Code: "notSupported"}, 422, "notSupported"},
		{fakegraph.Fault{Status: 413}, 422, "fileTooLarge"},
		{fakegraph.Fault{Status: 302}, 502, "oneDriveDown"},
		{fakegraph.Fault{Status: 500}, 502, "oneDriveDown"},
	} {
		tt.fault.Phase = fakegraph.PhaseGraph
		s.microsoft.Faults().Add(tt.fault)
		got := b.json("POST", "/api/v1/folders", map[string]string{"name": "Made"})
		if got.status != tt.status || got.code() != tt.code || got.json()["title"] == "" {
			t.Errorf("%d %s: %d %s", tt.fault.Status, tt.fault.Code, got.status, got.body)
		}
		s.microsoft.Faults().Clear()
	}
}

func TestMeSaysWhoAndWhichDrive(t *testing.T) {
	s := setup(t)
	for login, want := range map[string][2]string{robin: {"personal", "unknown"}, alex: {"business", "unavailable"}} {
		me := s.signIn(login).get("/api/v1/me").want(200).json()
		drive := me["drive"].(map[string]any)
		if drive["driveType"] != want[0] || me["native"] != want[1] || me["id"] == "" || drive["quota"] == nil {
			t.Errorf("%s: %v, want %v", login, me, want)
		}
		if folder := me["folder"].(map[string]any); folder["driveId"] != drive["id"] {
			t.Errorf("%s: silent saves go to %v", login, folder)
		}
	}
}

func TestHistoryFiltersSearchesAndPages(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	var lines []string
	for range 30 {
		lines = append(lines, s.sample("missing.jpg")+"?"+strings.Repeat("x", len(lines)))
	}
	lines = append(lines, s.sample("meadow.jpg"))
	b.form("/transfers", "urls", strings.Join(lines, "\n")).want(303)
	home := b.get("/").page()
	if n := len(home.all("transfer")); n != 25 {
		t.Errorf("%d rows on the main page, want 25", n)
	}
	b.final(attr(home.all("transfer")[0], "data-id"))
	for _, c := range []struct {
		query string
		want  int
	}{{"", 31}, {"?q=meadow", 1}, {"?q=MEADOW", 1}, {"?q=nothing-like-it", 0}, {"?state=completed", 1}, {"?state=nonsense", 31}} {
		if n := len(b.get("/transfers" + c.query).want(200).page().all("transfer")); n != c.want {
			t.Errorf("/transfers%s shows %d, want %d", c.query, n, c.want)
		}
	}
	lost := text(b.get("/transfers?cursor=nonsense").want(400).page().one("message"))
	if !strings.Contains(lost, "load the page again") || strings.Contains(lost, "openapi") {
		t.Errorf("a page that begins nowhere says %q", lost)
	}
	narrowed := b.get("/transfers?state=failed&q=mis").want(200).body
	for _, want := range []string{`href="/transfers?q=mis&amp;state=notStarted"`, `href="/transfers?q=mis&amp;state=failed">Refresh`} {
		if !strings.Contains(narrowed, want) {
			t.Errorf("the narrowed history has no %s", want)
		}
	}
}

func TestNoSecretReachesTheLog(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	id := b.submit(s.sample("meadow.jpg") + "?sig=marked-signature")
	b.final(id)
	b.get("/save?url=" + s.sample("meadow.jpg") + "%3Fsig=marked-signature").want(200)
	b.get("/transfers?q=marked-signature").want(200)
	log := s.log.String()
	for _, mark := range []string{"marked-signature", "code=", "state=", "Bearer ", "skylift-session="} {
		if strings.Contains(log, mark) {
			at := strings.Index(log, mark)
			t.Errorf("the log has %q: …%s…", mark, log[max(0, at-200):at+60])
		}
	}
}

// What is wrong is said in words of the field, never in general ones.
func TestAProblemSaysWhatToSendInstead(t *testing.T) {
	b := setup(t).signIn(robin)
	for body, want := range map[string]string{
		`{}`:                               "There is no address.",
		`{"sourceUrl":"tabby.jpg"}`:        "It must start with https:// or http://.",
		`{"sourceUrl":"ftp://a.example/"}`: "Only addresses that start with https:// or http://",
		`{"sourceUrl":"https://a.example/","conflictBehavior":"merge"}`: "Send rename, replace or fail.",
		`{"sourceUrl":"https://a.example/","route":"native"}`:           "Only the route upload can be asked for",
		`{"sourceUrl":"https://a.example/","size":-1}`:                  "a number of bytes",
	} {
		if got, _ := b.do("POST", "/api/v1/transfers", body, http.Header{"Content-Type": {"application/json"}}).want(400).json()["detail"].(string); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
