package fakegraph_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"skylift/onedrive/fakegraph"
)

// row is one request and what must come of it.
type row struct {
	name    string
	login   string
	method  string
	path    string
	body    any
	headers []string
	status  int
	code    string // of Graph's error
	has     string // somewhere in the body
}

func (m *microsoft) play(t *testing.T, rows []row) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			login, method := r.login, r.method
			if login == "" {
				login = robin
			}
			if method == "" {
				method = "GET"
			}
			got := m.ask(login, method, r.path, r.body, r.headers...)
			if got.status != r.status || r.code != "" && got.code() != r.code || !strings.Contains(string(got.body), r.has) {
				t.Errorf("%s %s = %d %s\nwant %d %s %s", method, r.path, got.status, got.body, r.status, r.code, r.has)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	m.PutFile(robin, "/Pictures/a b/100% #1?.txt", []byte("x"))
	if m.Files(robin) != nil && len(m.Files(robin)) != 1 {
		t.Fatal(m.Files(robin))
	}
	m.PutFile(robin, "/Pictures/a b/it's [50%] +&=.txt", []byte("yy"))
	m.PutFile(kim, "/secret.txt", []byte("kim's"))
	drive := m.ask(robin, "GET", "/v1.0/me/drive", nil).text("id")
	kims := m.ask(kim, "GET", "/v1.0/me/drive", nil).text("id")
	root := m.ask(robin, "GET", "/v1.0/me/drive/root", nil).text("id")
	folder := m.ask(robin, "GET", "/v1.0/me/drive/root:/Pictures", nil).text("id")
	kimsFile := m.ask(kim, "GET", "/v1.0/me/drive/root:/secret.txt", nil).text("id")
	m.play(t, []row{
		{name: "the short form of the drive", path: "/v1.0/drive", status: 200, has: drive},
		{name: "the drive by its id", path: "/v1.0/drives/" + drive, status: 200, has: drive},
		{name: "a drive id in another case", path: "/v1.0/drives/" + strings.ToUpper(drive), status: 200, has: drive},
		{name: "the drive of a user by name", path: "/v1.0/users/" + robin + "/drive", status: 200, has: drive},
		{name: "all my drives", path: "/v1.0/me/drives", status: 200, has: drive},
		{name: "the root by its id", path: "/v1.0/drives/" + drive + "/items/" + root, status: 200, has: `"root":{}`},
		{name: "the root as an item", path: "/v1.0/drives/" + drive + "/items/root/children", status: 200, has: "Pictures"},
		{name: "OData keys in brackets", path: "/v1.0/drives('" + drive + "')/items('" + folder + "')", status: 200, has: `"Pictures"`},
		{name: "a path with a space", path: "/v1.0/me/drive/root:/Pictures/a%20b:/children", status: 200, has: "it's"},
		{name: "a path with each escape", path: "/v1.0/me/drive/root:/Pictures/a%20b/it's%20%5B50%25%5D%20%2B&=.txt", status: 200, has: `"size":2`},
		{name: "a path with plain plus and brackets", path: "/v1.0/me/drive/root:/Pictures/a%20b/it's%20[50%25]%20+&=.txt", status: 200, has: `"size":2`},
		{name: "an escaped colon and slash, as Kiota's SDKs send", path: "/v1.0/drives/" + drive + "/items/root%3A%2FPictures%2Fa%20b%3A/children", status: 200, has: "it's"},
		{name: "a path relative to an item", path: "/v1.0/me/drive/items/" + folder + ":/a%20b:/children", status: 200, has: "it's"},
		{name: "a path in another case", path: "/v1.0/me/drive/root:/PICTURES/A%20B", status: 200, has: "a b"},
		{name: "a special folder", path: "/v1.0/me/drive/special/photos/children", status: 200, has: "a b"},
		{name: "a path relative to a special folder", path: "/v1.0/me/drive/special/photos:/a%20b", status: 200, has: "a b"},
		{name: "an unknown special folder", path: "/v1.0/me/drive/special/attic", status: 404, code: "itemNotFound"},
		{name: "an empty relative path is refused (OAD#1177)", path: "/v1.0/me/drive/items/" + folder + ":/", status: 400, code: "invalidRequest"},
		{name: "two slashes are refused, not redirected", path: "/v1.0/me/drive/root:/Pictures//a", status: 400, code: "invalidRequest"},
		{name: "dots don't climb", path: "/v1.0/me/drive/root:/Pictures/../secret.txt", status: 400, code: "invalidRequest"},
		{name: "a missing item", path: "/v1.0/me/drive/items/nobody!1", status: 404, code: "itemNotFound"},
		{name: "another's drive is not there", path: "/v1.0/drives/" + kims, status: 404, code: "itemNotFound"},
		{name: "another's root is not there", path: "/v1.0/drives/" + kims + "/root/children", status: 404, code: "itemNotFound"},
		{name: "another's item is not there", path: "/v1.0/drives/" + kims + "/items/" + kimsFile, status: 404, code: "itemNotFound"},
		{name: "another's item in my drive is not there", path: "/v1.0/me/drive/items/" + kimsFile, status: 404, code: "itemNotFound"},
		{name: "another user's drive is not there", path: "/v1.0/users/" + kim + "/drive", status: 404, code: "itemNotFound"},
		{name: "an unknown segment", path: "/v1.0/me/drive/root/nonsense", status: 400, code: "BadRequest"},
		{name: "a method that doesn't fit", method: "DELETE", path: "/v1.0/me/drive/root/children", status: 405, code: "notAllowed"},
		{name: "the root can't be deleted", method: "DELETE", path: "/v1.0/me/drive/root", status: 403, code: "accessDenied"},
	})
}

func TestReads(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	top := m.ask(robin, "GET", "/v1.0/me/drive/root/children?$top=2", nil)
	m.play(t, []row{
		{name: "$select keeps only what it names", path: "/v1.0/me/drive/root?$select=id", status: 200, has: `{"@odata.context"`},
		{name: "$top is a number", path: "/v1.0/me/drive/root/children?$top=many", status: 400, code: "invalidRequest"},
		{name: "$filter is refused on personal", path: "/v1.0/me/drive/root/children?$filter=folder%20ne%20null", status: 400, code: "notSupported"},
		{name: "$filter is refused on business", login: alex, path: "/v1.0/me/drive/root/children?$filter=folder%20ne%20null", status: 501, code: "notSupported"},
		{name: "$orderby size works on personal", path: "/v1.0/me/drive/special/photos/children?$orderby=size%20desc", status: 200},
		{name: "$orderby size is refused on business", login: alex, path: "/v1.0/me/drive/root/children?$orderby=size", status: 400, code: "invalidRequest"},
		{name: "$expand=children of a folder", path: "/v1.0/me/drive/special/photos?$expand=children($select=id)", status: 200, has: "meadow.jpg"},
		{name: "$expand=thumbnails of a list on personal", path: "/v1.0/me/drive/special/photos/children?$expand=thumbnails", status: 200, has: `"medium":`},
		{name: "$expand=thumbnails of a list on business", login: alex, path: "/v1.0/me/drive/special/photos/children?$expand=thumbnails", status: 400, code: "notSupported"},
		{name: "a foreign skiptoken", path: "/v1.0/me/drive/root/children?$skiptoken=zzz", status: 400, code: "invalidRequest"},
		{name: "search finds by name", path: "/v1.0/me/drive/root/search(q='MEADOW')", status: 200, has: "meadow.jpg"},
		{name: "search with an apostrophe", path: "/v1.0/me/drive/search(q='it''s')", status: 200, has: `"value":[]`},
		{name: "an empty search", path: "/v1.0/me/drive/root/search(q='')", status: 400},
		{name: "a notebook is a package", path: "/v1.0/me/drive/root:/Documents/Notebook", status: 200, has: `"package":{"type":"oneNote"}`},
		{name: "nothing can be put into a notebook", method: "PUT", path: "/v1.0/me/drive/root:/Documents/Notebook/a.txt:/content", body: []byte("x"), status: 403, code: "accessDenied"},
		{name: "sharedWithMe gives nothing any more", path: "/v1.0/me/drive/sharedWithMe", status: 200, has: `"value":[]`},
		{name: "a custom thumbnail", path: "/v1.0/me/drive/root:/Pictures/meadow.jpg:/thumbnails/0/c300x400_Crop", status: 200, has: `"width":300`},
		{name: "the content of a thumbnail", path: "/v1.0/me/drive/root:/Pictures/meadow.jpg:/thumbnails/0/medium/content", status: 302},
		{name: "a text has no thumbnail", path: "/v1.0/me/drive/root:/Documents/Reading%20list.md:/thumbnails", status: 200, has: `"value":[]`},
		{name: "content leads to the download address", path: "/v1.0/me/drive/root:/Pictures/meadow.jpg:/content", status: 302},
		{name: "personal files have three hashes", path: "/v1.0/me/drive/root:/Pictures/meadow.jpg", status: 200, has: "sha256Hash"},
	})
	if got := m.ask(alex, "GET", "/v1.0/me/drive/root:/Pictures/meadow.jpg", nil); got.json("file", "hashes", "sha256Hash") != nil || got.text("file", "hashes", "quickXorHash") == "" {
		t.Errorf("business hashes = %s", got.body)
	}
	tag := m.ask(robin, "GET", "/v1.0/me/drive/root:/Pictures", nil).text("eTag")
	if got := m.ask(robin, "GET", "/v1.0/me/drive/root:/Pictures", nil, "If-None-Match: "+tag); got.status != 304 {
		t.Errorf("If-None-Match = %d", got.status)
	}
	if top.text("@odata.nextLink") == "" {
		t.Errorf("no nextLink in %s", top.body)
	}
}

func TestEveryPageIsReadOnce(t *testing.T) {
	for _, login := range []string{robin, alex} {
		m := startDrive(t, fakegraph.Options{})
		seen, empty := map[string]bool{}, 0
		next := m.url + "/v1.0/me/drive/root:/Archive:/children?$top=50&$select=id,name"
		for next != "" {
			page := m.ask(login, "GET", next, nil)
			values, _ := page.json("value").([]any)
			if len(values) == 0 {
				empty++
			}
			for i := range values {
				name := page.text("value", i, "name")
				if seen[name] {
					t.Errorf("%s came twice", name)
				}
				seen[name] = true
			}
			next = page.text("@odata.nextLink")
		}
		if len(seen) != 230 || empty != 1 {
			t.Errorf("%s: %d items and %d empty pages, want 230 and 1", login, len(seen), empty)
		}
	}
}

func TestASharedFolderIsReachedByItsShortcutOnly(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	m.ask(robin, "GET", "/v1.0/me/drive", nil)
	short := m.ask(kim, "GET", "/v1.0/me/drive/root:/Robin's%20family%20album", nil)
	id, driveID := short.text("remoteItem", "id"), short.text("remoteItem", "parentReference", "driveId")
	lost := "/v1.0/drives/" + driveID + "/items/" + id
	driveID = "0" + driveID
	at := "/v1.0/drives/" + driveID + "/items/" + id
	m.play(t, []row{
		{name: "the id of its drive as it is told, without the zero", login: kim, path: lost + "/children", status: 404, code: "itemNotFound"},
		{name: "the target's children", login: kim, path: at + "/children", status: 200, has: "garden.jpg"},
		{name: "a file put into it", login: kim, method: "PUT", path: at + ":/from-kim.txt:/content", body: []byte("hi"), status: 201},
		{name: "not for somebody else", login: alex, path: at + "/children", status: 404, code: "itemNotFound"},
		{name: "the shortcut itself has no children", login: kim, path: "/v1.0/me/drive/items/" + short.text("id") + "/children", status: 404},
		{name: "the folder above stays hidden", login: kim, path: "/v1.0/drives/" + driveID + "/items/" + m.ask(robin, "GET", "/v1.0/me/drive/root", nil).text("id"), status: 404},
	})
	if _, ok := m.Content(robin, "/Family album/from-kim.txt"); !ok {
		t.Error("the file isn't in the owner's drive")
	}
}

func TestNames(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	deep := "/" + strings.Repeat("d", 200) + "/" + strings.Repeat("e", 180)
	m.PutFolder(robin, deep)
	for _, r := range []struct {
		name   string
		file   string
		login  string
		status int
		inner  string
	}{
		{name: "an asterisk", file: "a*b", status: 400}, {name: "a colon in a body", file: "a:b", status: 400}, {name: "a bar", file: "a|b", status: 400},
		{name: "a leading space", file: " a", status: 400}, {name: "a trailing period", file: "a.", status: 400}, {name: "a new line", file: "a\nb", status: 400},
		{name: "a device", file: "CON", status: 400}, {name: "a device with extension", file: "lpt9.jpg", status: 400}, {name: "a port without number", file: "com.jpg", status: 201},
		{name: "a lock", file: ".LOCK", status: 400}, {name: "a temporary file of Office", file: "~$a.docx", status: 400},
		{name: "a tilde on personal", file: "~a", status: 201}, {name: "a tilde on business", file: "~a", login: alex, status: 400},
		{name: "vti in the middle", file: "a_vti_b", status: 400}, {name: "vti in front", file: "vti_a", status: 403},
		{name: "forms at the root of a library", file: "Forms", login: alex, status: 400}, {name: "forms on personal", file: "Forms", status: 201},
		{name: "255 units", file: strings.Repeat("n", 255), status: 201}, {name: "256 units", file: strings.Repeat("n", 256), status: 400, inner: "pathIsTooLong"},
		{name: "an emoji counts twice", file: strings.Repeat("🙂", 128), status: 400, inner: "pathIsTooLong"},
		{name: "hash and percent", file: "50% #1", status: 201}, {name: "an empty name", file: "", status: 400},
	} {
		t.Run(r.name, func(t *testing.T) {
			login := r.login
			if login == "" {
				login = robin
			}
			got := m.ask(login, "POST", "/v1.0/me/drive/root/children", map[string]any{"name": r.file, "folder": map[string]any{}})
			if got.status != r.status || r.inner != "" && got.text("error", "innerError", "code") != r.inner {
				t.Errorf("%q = %d %s, want %d %s", r.file, got.status, got.body, r.status, r.inner)
			}
		})
	}
	long := m.ask(robin, "PUT", "/v1.0/me/drive/root:"+deep+"/"+strings.Repeat("f", 30)+":/content", []byte("x"))
	if long.status != 400 || long.text("error", "innerError", "code") != "pathIsTooLong" {
		t.Errorf("a path of more than 400 = %d %s", long.status, long.body)
	}
}

// A work drive's site and library count to the length of a path.
func TestTheLibraryCountsToThePath(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	deep := "/" + strings.Repeat("d", 200) + "/" + strings.Repeat("e", 128)
	for _, r := range []struct {
		login  string
		length int // of the name
		status int
	}{{robin, 70, 201}, {robin, 71, 400}, {alex, 33, 201}, {alex, 34, 400}} {
		m.PutFolder(r.login, deep)
		got := m.ask(r.login, "PUT", "/v1.0/me/drive/root:"+deep+"/"+strings.Repeat("f", r.length)+":/content", []byte("x"))
		if got.status != r.status || r.status == 400 && got.text("error", "innerError", "code") != "pathIsTooLong" {
			t.Errorf("%d more on %s = %d %s, want %d", r.length, r.login, got.status, got.body, r.status)
		}
	}
}

func TestWrites(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	m.PutFile(robin, "/a.txt", []byte("1"))
	m.PutFile(robin, "/locked.txt", []byte("1"))
	m.PutFolder(robin, "/F")
	m.SetConduct(robin, func(c *fakegraph.Conduct) { c.Locked, c.PutLimit = "locked.txt", 1000 })
	folder := func(name, behavior string) any {
		return map[string]any{"name": name, "folder": map[string]any{}, "@microsoft.graph.conflictBehavior": behavior}
	}
	m.play(t, []row{
		{name: "a taken folder name fails", method: "POST", path: "/v1.0/me/drive/root/children", body: folder("f", "fail"), status: 409, code: "nameAlreadyExists"},
		{name: "fail is the default of POST", method: "POST", path: "/v1.0/me/drive/root/children", body: map[string]any{"name": "F", "folder": map[string]any{}}, status: 409},
		{name: "rename numbers a folder", method: "POST", path: "/v1.0/me/drive/root/children", body: folder("F", "rename"), status: 201, has: `"F 1"`},
		{name: "overwrite is not a value (OAD#910)", method: "POST", path: "/v1.0/me/drive/root/children", body: folder("F", "overwrite"), status: 400, code: "invalidRequest"},
		{name: "a folder under a missing parent", method: "POST", path: "/v1.0/me/drive/root:/no:/children", body: folder("x", "fail"), status: 404, code: "itemNotFound"},
		{name: "an empty payload", method: "POST", path: "/v1.0/me/drive/root/children", status: 400, code: "BadRequest"},
		{name: "broken JSON", method: "POST", path: "/v1.0/me/drive/root/children", body: "{", status: 400, code: "invalidRequest"},
		{name: "a simple PUT replaces by default", method: "PUT", path: "/v1.0/me/drive/root:/A.TXT:/content", body: []byte("22"), status: 200, has: `"a.txt"`},
		{name: "a simple PUT can rename", method: "PUT", path: "/v1.0/me/drive/root:/a.txt:/content?@microsoft.graph.conflictBehavior=rename", body: []byte("3"), status: 201, has: `"a 1.txt"`},
		{name: "a simple PUT can fail", method: "PUT", path: "/v1.0/me/drive/root:/a.txt:/content?@microsoft.graph.conflictBehavior=fail", body: []byte("3"), status: 409},
		{name: "an empty file by PUT", method: "PUT", path: "/v1.0/me/drive/root:/empty.txt:/content", body: []byte{}, status: 201, has: `"size":0`},
		{name: "more than the limit of a PUT", method: "PUT", path: "/v1.0/me/drive/root:/big.txt:/content", body: make([]byte, 1001), status: 413},
		{name: "an unknown length below the limit", method: "PUT", path: "/v1.0/me/drive/root:/chunked.txt:/content", body: struct{ *strings.Reader }{strings.NewReader("chunked")}, status: 201, has: `"size":7`},
		{name: "an unknown length above the limit", method: "PUT", path: "/v1.0/me/drive/root:/chunked.bin:/content", body: struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 5000))}, status: 413},
		{name: "a PUT over a folder", method: "PUT", path: "/v1.0/me/drive/root:/F:/content", body: []byte("3"), status: 409},
		{name: "a PUT of JSON with a sourceUrl stores the JSON (OAD#903)", method: "PUT", path: "/v1.0/me/drive/root:/s.json:/content", body: `{"@microsoft.graph.sourceUrl":"http://x.example/"}`, status: 201, has: `"size":50`},
		{name: "a virus", method: "PUT", path: "/v1.0/me/drive/root:/v.txt:/content", body: []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR` + `-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`), status: 403, code: "malwareDetected", has: "virusSuspicious"},
		{name: "a locked file", method: "PUT", path: "/v1.0/me/drive/root:/locked.txt:/content", body: []byte("3"), status: 423, code: "accessDenied"},
		{name: "If-Match of another version", method: "PUT", path: "/v1.0/me/drive/root:/a.txt:/content", body: []byte("3"), headers: []string{"If-Match: zzz"}, status: 412, code: "notAllowed"},
		{name: "If-None-Match of anything", method: "PUT", path: "/v1.0/me/drive/root:/a.txt:/content", body: []byte("3"), headers: []string{"If-None-Match: *"}, status: 412},
		{name: "a rename", method: "PATCH", path: "/v1.0/me/drive/root:/a%201.txt", body: map[string]any{"name": "b.txt"}, status: 200, has: `"b.txt"`},
		{name: "a rename of the case only", method: "PATCH", path: "/v1.0/me/drive/root:/b.txt", body: map[string]any{"name": "B.txt"}, status: 200, has: `"B.txt"`},
		{name: "a rename to a taken name", method: "PATCH", path: "/v1.0/me/drive/root:/B.txt", body: map[string]any{"name": "a.txt"}, status: 409},
		{name: "a move by path", method: "PATCH", path: "/v1.0/me/drive/root:/B.txt", body: map[string]any{"parentReference": map[string]any{"path": "/drive/root:/F"}}, status: 200, has: `root:/F"`},
		{name: "a folder can't move below itself", method: "PATCH", path: "/v1.0/me/drive/root:/F", body: map[string]any{"parentReference": map[string]any{"path": "/drive/root:/F"}}, status: 400},
		{name: "a delete of another version", method: "DELETE", path: "/v1.0/me/drive/root:/a.txt", headers: []string{"If-Match: zzz"}, status: 412},
		{name: "a delete", method: "DELETE", path: "/v1.0/me/drive/root:/F", status: 204},
		{name: "what was below is gone", path: "/v1.0/me/drive/root:/F/B.txt", status: 404},
		{name: "a share link", method: "POST", path: "/v1.0/me/drive/root:/a.txt:/createLink", body: map[string]any{"type": "view", "scope": "anonymous"}, status: 201, has: "webUrl"},
	})
}

func TestCopyAndDelta(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	m.PutFile(robin, "/F/a.txt", []byte("1"))
	first := m.ask(robin, "GET", "/v1.0/me/drive/root/delta", nil)
	link := first.text("@odata.deltaLink")
	if n, _ := first.json("value").([]any); len(n) != 3 {
		t.Errorf("first delta = %s", first.body)
	}
	copied := m.ask(robin, "POST", "/v1.0/me/drive/root:/F:/copy", map[string]any{"name": "G"})
	if done := m.monitor(copied.header.Get("Location")); copied.status != 202 || done.status != 303 {
		t.Errorf("copy = %d, %d %s", copied.status, done.status, done.body)
	}
	m.Remove(robin, "/F/a.txt")
	second := m.ask(robin, "GET", link, nil)
	if body := string(second.body); !strings.Contains(body, `"G"`) || !strings.Contains(body, `"deleted":{`) {
		t.Errorf("second delta = %s", body)
	}
	if got, ok := m.Content(robin, "/G/a.txt"); !ok || string(got) != "1" {
		t.Errorf("copied content = %q", got)
	}
	if third := m.ask(robin, "GET", second.text("@odata.deltaLink"), nil); !strings.Contains(string(third.body), `"value":[]`) {
		t.Errorf("third delta = %s", third.body)
	}
	if old := m.ask(robin, "GET", "/v1.0/me/drive/root/delta?token=bogus", nil); old.status != 410 || old.code() != "resyncRequired" {
		t.Errorf("an old token = %d %s", old.status, old.body)
	}
}

func TestBatch(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	got := m.ask(robin, "POST", "/v1.0/$batch", map[string]any{"requests": []any{
		map[string]any{"id": "1", "method": "GET", "url": "/me/drive"},
		map[string]any{"id": "2", "method": "POST", "url": "/me/drive/root/children", "headers": map[string]any{"Content-Type": "application/json"},
			"body": map[string]any{"name": "B", "folder": map[string]any{}}},
		map[string]any{"id": "3", "method": "GET", "url": "/me/drive/root:/none", "dependsOn": []string{"2"}},
		map[string]any{"id": "4", "method": "GET", "url": "/me/drive/root", "dependsOn": []string{"3"}},
		map[string]any{"id": "5", "method": "GET", "url": "/me"},
	}})
	for i, want := range []float64{200, 201, 404, 424, 200} {
		if status, _ := got.json("responses", i, "status").(float64); status != want {
			t.Errorf("response %d = %v, want %v: %s", i+1, status, want, got.body)
		}
	}
}

func TestQuotaAndLimits(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	m.PutFile(robin, "/a", make([]byte, 950))
	for _, r := range []struct {
		quota int64
		state string
	}{{1 << 20, "normal"}, {1000, "nearing"}, {951, "critical"}, {950, "exceeded"}} {
		m.SetConduct(robin, func(c *fakegraph.Conduct) { c.Quota = r.quota })
		if got := m.ask(robin, "GET", "/v1.0/me/drive", nil); got.text("quota", "state") != r.state {
			t.Errorf("quota of %d = %s, want %s", r.quota, got.body, r.state)
		}
	}
	full := m.ask(robin, "PUT", "/v1.0/me/drive/root:/b:/content", []byte("x"))
	if full.status != 507 || full.code() != "quotaLimitReached" {
		t.Errorf("a full drive = %d %s", full.status, full.body)
	}
	m.SetConduct(robin, func(c *fakegraph.Conduct) { c.UnitsPerMinute = 10 })
	var last answer
	for range 11 {
		last = m.ask(robin, "GET", "/v1.0/me/drive", nil)
		if last.status == 200 && last.header.Get("RateLimit-Remaining") == "0" && last.header.Get("RateLimit-Limit") != "10" {
			t.Errorf("headers near the limit = %v", last.header)
		}
	}
	if last.status != 429 || last.header.Get("Retry-After") == "" || last.header.Get("RateLimit-Reset") == "" {
		t.Errorf("beyond the limit = %d %v", last.status, last.header)
	}
	m.Advance(59 * time.Second)
	if early := m.ask(robin, "GET", "/v1.0/me/drive", nil); early.status != 429 || early.header.Get("Retry-After") != "60" {
		t.Errorf("before the wait is over = %d %v", early.status, early.header)
	}
	m.Advance(59 * time.Second)
	if got := m.ask(robin, "GET", "/v1.0/me/drive", nil); got.status != 429 {
		t.Errorf("a minute after the wait was to end, but for the early call = %d", got.status)
	}
	m.Advance(time.Minute)
	if got := m.ask(robin, "GET", "/v1.0/me/drive", nil); got.status != 200 {
		t.Errorf("after the wait = %d %s", got.status, got.body)
	}
	m.SetConduct(kim, func(c *fakegraph.Conduct) { c.Throttled, c.RetryAfter = true, 250e6 })
	if got := m.ask(kim, "GET", "/v1.0/me/drive", nil); got.status != 429 || got.header.Get("Retry-After") != "0.25" {
		t.Errorf("throttled = %d %v", got.status, got.header)
	}
	m.SetConduct(alex, func(c *fakegraph.Conduct) { c.NoDrive = true })
	if got := m.ask(alex, "GET", "/v1.0/me/drive", nil); got.status != 400 || !strings.Contains(string(got.body), "SPO license") {
		t.Errorf("no OneDrive = %d %s", got.status, got.body)
	}
}

func TestEveryAnswerNamesItself(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	got := m.ask(robin, "GET", "/v1.0/me/drive/items/none", nil, "client-request-id: mine")
	id := got.header.Get("request-id")
	if id == "" || got.header.Get("client-request-id") != "mine" || got.text("error", "innerError", "request-id") != id {
		t.Errorf("%v %s", got.header, got.body)
	}
}

func TestDownloads(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	m.PutFile(robin, "/ü.txt", []byte("0123456789"))
	address := m.ask(robin, "GET", "/v1.0/me/drive/root:/%C3%BC.txt", nil).text("@microsoft.graph.downloadUrl")
	part := m.ask("", "GET", address, nil, "Range: bytes=2-4")
	if part.status != http.StatusPartialContent || string(part.body) != "234" {
		t.Errorf("a range = %d %s", part.status, part.body)
	}
	if name := part.header.Get("Content-Disposition"); !strings.Contains(name, "filename*=UTF-8''%C3%BC.txt") {
		t.Errorf("Content-Disposition = %s", name)
	}
	if forged := m.ask("", "GET", address[:len(address)-4]+"AAAA", nil); forged.status != 401 {
		t.Errorf("a forged address = %d", forged.status)
	}
	m.Advance(2 * 3600e9)
	if late := m.ask("", "GET", address, nil); late.status != 401 {
		t.Errorf("an old address = %d", late.status)
	}
}

func TestResetForgetsEverything(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	m.PutFile(robin, "/a", []byte("x"))
	m.Reset()
	if files := m.Files(robin); len(files) != 0 {
		t.Errorf("after the reset: %s", fmt.Sprint(files))
	}
}
