package onedrive_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"skylift/onedrive"
)

func TestDrive(t *testing.T) {
	p := play(t, "graph/200-drive-personal", "graph/200-drive-quota-hidden")
	d, err := p.client.Drive(t.Context(), "")
	if err != nil || !d.Personal() || d.ID != "5b1e9f0a22c4d7e3" || d.Owner.User.DisplayName != "Robin" || *d.Quota.Remaining != 268709120 || d.Quota.Total != 5368709120 || d.Quota.Used != 5100000000 || d.Quota.State != "nearing" {
		t.Errorf("drive = %+v, %v", d, err)
	}
	if d, err = p.client.Drive(t.Context(), "b!-x_1"); err != nil || d.Personal() || d.Quota != nil {
		t.Errorf("a hidden quota is unknown: %+v, %v", d, err)
	}
	if a := p.requests(); a[0].path != "/v1.0/me/drive" || a[1].path != "/v1.0/drives/b%21-x_1" {
		t.Errorf("asked %s and %s", a[0].path, a[1].path)
	}
}

func TestChildrenTellFoldersFromTheRest(t *testing.T) {
	p := play(t, "graph/200-children")
	var folders []string
	for item, err := range p.client.Children(t.Context(), onedrive.Ref{DriveID: "5b1e", ID: "A1!7"}) {
		if err != nil {
			t.Fatal(err)
		}
		if item.IsFolder() {
			folders = append(folders, item.Name+" "+item.Ref().DriveID+" "+item.Ref().ID)
		}
	}
	if got, want := strings.Join(folders, ", "), "Clippings 5b1e9f0a22c4d7e3 5B1E9F0A22C4D7E3!118, Shared a1 A1!7"; got != want {
		t.Errorf("folders = %s, want %s", got, want)
	}
	if r := p.requests()[0]; r.path != "/v1.0/drives/5b1e/items/A1%217/children" || strings.Contains(r.query, "filter") || !strings.HasPrefix(r.query, "$orderby=name&$select=id,") && !strings.Contains(r.query, "$select=id%2C") {
		t.Errorf("asked %s?%s", r.path, r.query)
	}
}

func TestChildrenFollowPagesEvenEmptyOnes(t *testing.T) {
	var p *player
	p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := 0
		fmt.Sscan(r.URL.Query().Get("$skiptoken"), &n)
		items := fmt.Sprintf(`{"id":"%d","name":"n"}`, n)
		if n == 1 {
			items = "" // an empty page that is not the last
		}
		link := fmt.Sprintf(`,"@odata.nextLink":"http://%s/v1.0/drives('x')/items('y')/children?$skiptoken=%d"`, r.Host, n+1)
		if n == 3 {
			link = ""
		}
		fmt.Fprintf(w, `{"value":[%s]%s}`, items, link)
	})
	var ids []string
	for item, err := range p.client.Children(t.Context(), onedrive.Ref{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, item.ID)
	}
	if got := strings.Join(ids, " "); got != "0 2 3" || hits.Load() != 4 {
		t.Errorf("items %s in %d pages", got, hits.Load())
	}
	for range p.client.Children(t.Context(), onedrive.Ref{}) {
		break // and no page more is asked for
	}
	if hits.Load() != 5 {
		t.Errorf("%d pages", hits.Load())
	}
}

func TestChildrenOfAPageThatLeadsToItself(t *testing.T) {
	p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"http://%s/v1.0/me/drive/root/children?$skiptoken=1"}`, r.Host)
	})
	var last error
	for _, err := range p.client.Children(t.Context(), onedrive.Ref{}) {
		last = err
	}
	if !errors.Is(last, onedrive.ErrUnavailable) || hits.Load() > 3 {
		t.Errorf("ended with %v after %d pages", last, hits.Load())
	}
}

func TestACursorLeadsToAListingOfOurGraphOnly(t *testing.T) {
	p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"value":[]}`)) })
	rows := map[string]bool{
		p.URL + "/v1.0/me/drive/root/children?$skiptoken=x":             true,
		p.URL + "/v1.0/drives('a')/items('b')/children?x":               true,
		p.URL + "/v1.0/me/drive/root/search(q='x')?$skiptoken=s":        true,
		p.URL + "/v1.0/drives('a')/root/microsoft.graph.search(q='x')":  true,
		p.URL + "/v1.0/drives('a')/root/search(q='a/b')?$skiptoken=s":   true,
		p.URL + "/v1.0/a/./children":                                    false,
		p.URL + "/v1.0/me/../../other/children":                         false,
		p.URL + "/v1.0/%2e%2e/children":                                 false,
		p.URL + "/beta/me/drive/root/children":                          false,
		strings.Replace(p.URL, "http:", "https:", 1) + "/v1.0/children": false,
		"http://user@" + p.URL[len("http://"):] + "/v1.0/children":      false,
		"http://evil.example/v1.0/children":                             false,
		"/v1.0/me/drive/root/children":                                  false,
		"":                                                              false,
	}
	for link, want := range rows {
		before := hits.Load()
		cursor := base64.RawURLEncoding.EncodeToString([]byte("me/drive/root/children\n" + link))
		if link == "" {
			cursor = "not base64!"
		}
		_, _, err := p.client.ChildrenPage(t.Context(), onedrive.Ref{}, cursor)
		if (err == nil) != want || (hits.Load() != before) != want {
			t.Errorf("%s: %v after %d requests, want %v", link, err, hits.Load()-before, want)
		}
	}
}

// A cursor of one folder opens no other, not even one whose link is good.
func TestACursorIsOfOneFolder(t *testing.T) {
	p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"http://%s/v1.0/drives('d')/items('1')/children?$skiptoken=2"}`, r.Host)
	})
	_, cursor, err := p.client.ChildrenPage(t.Context(), onedrive.Ref{DriveID: "d", ID: "1"}, "")
	if err != nil || cursor == "" {
		t.Fatal(cursor, err)
	}
	for _, other := range []onedrive.Ref{{}, {ID: "1"}, {DriveID: "d"}, {DriveID: "d", ID: "2"}, {DriveID: "e", ID: "1"}} {
		if _, _, err := p.client.ChildrenPage(t.Context(), other, cursor); !errors.Is(err, onedrive.ErrBadCursor) || hits.Load() != 1 {
			t.Errorf("%+v: %v after %d requests", other, err, hits.Load())
		}
	}
	if _, _, err := p.client.ChildrenPage(t.Context(), onedrive.Ref{DriveID: "D", ID: "1"}, cursor); err != nil {
		t.Errorf("its own: %v", err)
	}
}

// A search whose link to the next page is no good gives what was found until then.
func TestASearchGivesWhatItHasFound(t *testing.T) {
	for name, link := range map[string]string{"elsewhere": "https://other.example/v1.0/more", "forgotten": "http://%s/v1.0/more?$skiptoken=gone"} {
		p, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("$skiptoken") != "" {
				w.WriteHeader(http.StatusGone)
				return
			}
			if name == "forgotten" {
				link = fmt.Sprintf(link, r.Host)
			}
			fmt.Fprintf(w, `{"value":[{"id":"7","name":"a b","folder":{}}],"@odata.nextLink":"%s"}`, link)
		})
		if found, err := p.client.SearchFolders(t.Context(), "a/b"); err != nil || len(found) != 1 {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
	}
}

func TestCreateFolder(t *testing.T) {
	taken := `{"error":{"code":"nameAlreadyExists"}}`
	rows := map[string]struct {
		post     int
		existing string
		created  bool
		err      error
	}{
		"a new one":                    {post: 201, created: true},
		"one that is there":            {post: 409, existing: `{"id":"7","name":"New","folder":{}}`},
		"a shortcut that is there":     {post: 409, existing: `{"id":"7","name":"New","remoteItem":{"id":"8","folder":{},"parentReference":{"driveId":"d"}}}`},
		"a file that is there":         {post: 409, existing: `{"id":"7","name":"New","file":{}}`, err: onedrive.ErrNameExists},
		"one that vanished in between": {post: 409, err: onedrive.ErrNotFound},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == "GET" && row.existing == "":
					w.WriteHeader(404)
				case r.Method == "GET":
					w.Write([]byte(row.existing))
				case row.post == 201:
					w.WriteHeader(201)
					w.Write([]byte(`{"id":"7","name":"New","folder":{}}`))
				default:
					w.WriteHeader(row.post)
					w.Write([]byte(taken))
				}
			})
			item, created, err := p.client.CreateFolder(t.Context(), onedrive.Ref{ID: "1"}, "New")
			if created != row.created || !errors.Is(err, row.err) || (err == nil) != (item.ID == "7") {
				t.Errorf("item %+v, created %v, %v", item, created, err)
			}
			if want := map[bool]int32{true: 1, false: 2}[row.created]; hits.Load() != want {
				t.Errorf("%d requests, want %d", hits.Load(), want)
			}
		})
	}
	p := play(t, "graph/201-folder")
	if _, _, err := p.client.CreateFolder(t.Context(), onedrive.Ref{}, "New"); err != nil {
		t.Fatal(err)
	}
	if r := p.requests()[0]; r.path != "/v1.0/me/drive/root/children" || r.body != `{"@microsoft.graph.conflictBehavior":"fail","folder":{},"name":"New"}` {
		t.Errorf("asked %s %s", r.path, r.body)
	}
}

func TestADriveIsFullOnlyIfItSaysSo(t *testing.T) {
	for _, row := range []struct {
		name, drive string
		full        bool
	}{
		{"room enough", `"driveType":"personal","quota":{"total":100,"remaining":50}`, false},
		{"too little room", `"driveType":"business","quota":{"total":100,"remaining":5,"state":"critical"}`, true},
		{"nothing left of a personal drive", `"driveType":"personal","quota":{"total":100,"remaining":0}`, true},
		{"a zero of a work drive", `"driveType":"business","quota":{"total":100,"remaining":0,"state":"normal"}`, false},
		{"a zero of a work drive that is full", `"driveType":"business","quota":{"total":100,"remaining":0,"state":"exceeded"}`, true},
		{"more than all is used", `"driveType":"business","quota":{"total":100,"remaining":-7}`, true},
		{"no word of what remains", `"driveType":"personal","quota":{"total":100,"used":20}`, false},
		{"zeros", `"driveType":"personal","quota":{"total":0,"used":0,"remaining":0}`, false},
		{"no quota", `"driveType":"personal"`, false},
	} {
		p, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"id":"d",` + row.drive + `}`)) })
		d, err := p.client.Drive(t.Context(), "")
		if err != nil || d.Full(10) != row.full {
			t.Errorf("%s: full %v, %v; want %v", row.name, d.Full(10), err, row.full)
		}
	}
}

// A drive whose id has lost the zero that it begins with is found all the same, and looked for once.
func TestADriveIDThatLostItsZero(t *testing.T) {
	const short, other = "71E92B90F9D8264", "81E92B90F9D8264"
	for _, row := range []struct {
		name, right string // the id that the service knows; none for ""
		drives      []string
		requests    int32 // for two calls to each of the drives
		err         error
	}{
		{"the whole id is right", "0" + short, []string{short, strings.ToLower(short)}, 5, nil},
		{"the short one is right", short, []string{short, short}, 4, nil},
		{"neither is", "", []string{other}, 4, onedrive.ErrNotFound},
		{"one of another form", "", []string{"b!1", "0" + short, "1" + short}, 6, onedrive.ErrNotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.EqualFold(strings.Split(r.URL.Path, "/")[3], row.right) {
					w.WriteHeader(404)
					return
				}
				if body, _ := io.ReadAll(r.Body); r.Method == "PUT" && string(body) != "meow" {
					t.Errorf("body %q", body)
				}
				w.Write([]byte(`{"id":"7","name":"n"}`))
			})
			for _, drive := range row.drives {
				ref := onedrive.Ref{DriveID: drive, ID: "A1!7"}
				_, put := p.client.PutContent(t.Context(), ref, "n", onedrive.Fail, "", 4, strings.NewReader("meow"))
				_, get := p.client.Item(t.Context(), ref)
				if !errors.Is(put, row.err) || !errors.Is(get, row.err) {
					t.Errorf("%s: %v, %v; want %v", drive, put, get, row.err)
				}
			}
			if hits.Load() != row.requests {
				t.Errorf("%d requests, want %d", hits.Load(), row.requests)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	p := play(t, "graph/204-deleted", "graph/204-deleted", "error/412-modified")
	if err := p.client.Delete(t.Context(), onedrive.Ref{ID: "1"}, `"{A},2"`); err != nil {
		t.Fatal(err)
	}
	if err := p.client.Delete(t.Context(), onedrive.Ref{ID: "1"}, ""); err != nil {
		t.Fatal(err)
	}
	isOnly(t, p.client.Delete(t.Context(), onedrive.Ref{ID: "1"}, "x"), onedrive.ErrModified)
	a := p.requests()
	if _, sent := a[1].header["If-Match"]; a[0].header.Get("If-Match") != `"{A},2"` || sent {
		t.Errorf("asked with %v, then %v", a[0].header, a[1].header)
	}
	for _, root := range []onedrive.Ref{{}, {DriveID: "d"}} {
		if err := p.client.Delete(t.Context(), root, ""); err == nil || len(p.requests()) != 3 {
			t.Errorf("a root can be deleted")
		}
	}
}

func TestThumbnail(t *testing.T) {
	p := play(t, "graph/200-thumbnail", "error/404-item")
	address, err := p.client.Thumbnail(t.Context(), onedrive.Ref{ID: "A1!7"}, "c300x400_Crop")
	if err != nil || !strings.HasPrefix(address, "https://my.microsoftpersonalcontent.com/transform/") {
		t.Errorf("thumbnail = %s, %v", address, err)
	}
	if r := p.requests()[0]; r.path != "/v1.0/me/drive/items/A1%217/thumbnails/0/c300x400_Crop" {
		t.Errorf("asked %s", r.path)
	}
	_, err = p.client.Thumbnail(t.Context(), onedrive.Ref{ID: "A1!7"}, "small")
	isOnly(t, err, onedrive.ErrNotFound)
	if _, err = p.client.Thumbnail(t.Context(), onedrive.Ref{ID: "A1!7"}, "../content"); err == nil || len(p.requests()) != 2 {
		t.Errorf("a size that is none: %v", err)
	}
}

func TestSearchFoldersEscapesTheQuery(t *testing.T) {
	p := play(t, "graph/200-children")
	folders, err := p.client.SearchFolders(t.Context(), " cat's a/b?#%')/x ")
	if err != nil || len(folders) != 2 {
		t.Errorf("folders = %+v, %v", folders, err)
	}
	if r := p.requests()[0]; r.path != "/v1.0/me/drive/root/search(q='cat%27%27s%20a%2Fb%3F%23%25%27%27%29%2Fx')" {
		t.Errorf("asked %s", r.path)
	}
	if folders, err := p.client.SearchFolders(t.Context(), "  "); err != nil || folders != nil || len(p.requests()) != 1 {
		t.Errorf("an empty query asked Graph")
	}
}

// Whatever ids and names are made of, a request reaches exactly the part of Graph that it means, or none.
func TestNoIDAndNoNameReachesAnotherPartOfGraph(t *testing.T) {
	var asked string
	graph := roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = r.URL.EscapedPath()
		return nil, errReached
	})
	g, err := onedrive.New(onedrive.Config{GraphURL: "https://graph.example.net/v1.0", Graph: &http.Client{Transport: graph}})
	if err != nil {
		t.Fatal(err)
	}
	c := g.Client(fixedToken)
	part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", ".", "..", "../..", "a/b", "%2e%2e", "%2F", "a:", ":", "x:/content", "?", "#", "\\", "A1!7", "tabby.jpg", "a b", "\r\nX: y", "é", "\u202e", "a%", "root:"}))
	rapid.Check(t, func(t *rapid.T) {
		ref, name := onedrive.Ref{DriveID: part.Draw(t, "drive"), ID: part.Draw(t, "id")}, part.Draw(t, "name")
		segments := 4 // me/drive or drives/{id}, then items/{id}
		if ref.ID == "" {
			segments = 3 // root
		}
		calls := map[string]struct {
			call  func() error
			after int
		}{
			"Item":          {func() error { _, err := c.Item(t.Context(), ref); return err }, 0},
			"Child":         {func() error { _, err := c.Child(t.Context(), ref, name); return err }, 1},
			"ChildrenPage":  {func() error { _, _, err := c.ChildrenPage(t.Context(), ref, ""); return err }, 1},
			"CreateFromURL": {func() error { _, err := c.CreateFromURL(t.Context(), ref, name, tabby, ""); return err }, 1},
			"PutContent":    {func() error { _, err := c.PutContent(t.Context(), ref, name, "", "", 0, nil); return err }, 2},
		}
		for what, row := range calls {
			asked = ""
			err := row.call()
			if asked == "" {
				if err == nil {
					t.Fatalf("%s of %+v %q: no request and no error", what, ref, name)
				}
				continue
			}
			parts := strings.Split(strings.TrimPrefix(asked, "/v1.0/"), "/")
			if len(parts) != segments+row.after {
				t.Fatalf("%s of %+v %q asked %s: %d segments, want %d", what, ref, name, asked, len(parts), segments+row.after)
			}
			for _, p := range parts {
				if plain, err := url.PathUnescape(p); err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\?\r\n") {
					t.Fatalf("%s of %+v %q asked %s", what, ref, name, asked)
				}
			}
		}
	})
}
