package onedrive_test

import (
	"encoding/base64"
	"fmt"
	"strings"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// contract is all rows.
func contract() []behaviour {
	var rows []behaviour
	for _, part := range [][]behaviour{drives(), items(), folders(), puts(), sessions(), natives(), monitors(), refusals()} {
		rows = append(rows, part...)
	}
	return rows
}

func drives() []behaviour {
	return []behaviour{
		{
			name: "a drive tells its type, owner and quota", documented: "graph/200-drive-personal",
			ask: func(s *service) *reply { return s.graph("GET", "/me/drive", "") },
			client: func(s *service) error {
				d, err := s.client.Drive(s.ctx, "")
				return cmpErr(err, check(d.ID != "" && d.Personal() && d.Quota != nil && *d.Quota.Remaining > 0, "drive = %+v", d))
			},
		},
		{
			name: "a work drive is of the type business", account: "alex@work.example",
			client: func(s *service) error {
				d, err := s.client.Drive(s.ctx, "")
				return cmpErr(err, check(d.DriveType == "business", "drive = %+v", d))
			},
		},
		{
			name: "a drive is found by its id too", documented: "graph/200-drive-personal",
			ask: func(s *service) *reply {
				return s.graph("GET", "/drives/"+s.graph("GET", "/me/drive", "").text("id"), "")
			},
			client: func(s *service) error {
				own, err := s.client.Drive(s.ctx, "")
				if err != nil {
					return err
				}
				d, err := s.client.Drive(s.ctx, own.ID)
				return cmpErr(err, check(strings.EqualFold(d.ID, own.ID), "drive = %+v", d))
			},
		},
		{
			name: "a work account without OneDrive is told so in words", documented: "error/400-no-spo-license", account: "alex@work.example",
			order:  conduct(func(c *fakegraph.Conduct) { c.NoDrive = true }),
			ask:    func(s *service) *reply { return s.graph("GET", "/me/drive", "") },
			client: func(s *service) error { _, err := s.client.Item(s.ctx, onedrive.Ref{}); return err },
			want:   []error{onedrive.ErrNoDrive},
		},
		{
			name:  "a hidden quota is unknown, not full",
			order: conduct(func(c *fakegraph.Conduct) { c.HideQuota = "absent" }),
			client: func(s *service) error {
				d, err := s.client.Drive(s.ctx, "")
				return cmpErr(err, check(d.Quota == nil, "quota = %+v", d.Quota))
			},
		},
		{
			name: "a special folder is there when it is asked for",
			client: func(s *service) error {
				folder, err := s.client.Special(s.ctx, "photos")
				return cmpErr(err, check(folder.IsFolder(), "folder = %+v", folder))
			},
		},
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func items() []behaviour {
	return []behaviour{
		{
			name: "an item is found by its id", documented: "graph/200-item",
			ask: func(s *service) *reply { return s.graph("GET", "/me/drive/items/"+s.put("a.jpg", meow).text("id"), "") },
		},
		{
			name: "an item is found by its path, whatever the case", documented: "graph/200-item",
			ask:    func(s *service) *reply { s.put("Tabby.JPG", meow); return s.graph("GET", "{folder}:/tabby.jpg", "") },
			client: func(s *service) error { s.put("Tabby.JPG", meow); return item(s, "TABBY.jpg", int64(len(meow))) },
		},
		{
			name: "each segment of a path is escaped by itself", documented: "graph/200-item",
			ask: func(s *service) *reply {
				s.put("50% #1+2 & 'x'.jpg", meow)
				return s.graph("GET", "{folder}:/50%25%20%231+2%20&%20%27x%27.jpg", "")
			},
			client: func(s *service) error {
				s.put("50% #1+2 & 'x'.jpg", meow)
				return item(s, "50% #1+2 & 'x'.jpg", int64(len(meow)))
			},
		},
		{
			name: "an id that is not there is itemNotFound", documented: "error/404-item",
			ask: func(s *service) *reply { return s.graph("GET", "/me/drive/items/"+s.folder.ID+"0", "") },
			client: func(s *service) error {
				_, err := s.client.Item(s.ctx, onedrive.Ref{ID: s.folder.ID + "0"})
				return err
			},
			want: []error{onedrive.ErrNotFound},
		},
		{
			name: "a name that is not there is itemNotFound", documented: "error/404-item",
			ask:    func(s *service) *reply { return s.graph("GET", "{folder}:/nothing.jpg", "") },
			client: func(s *service) error { return item(s, "nothing.jpg", 0) },
			want:   []error{onedrive.ErrNotFound},
		},
		{
			name: "answers carry a request-id and echo the client-request-id", documented: "graph/200-item",
			ask: func(s *service) *reply {
				return s.graph("GET", "{folder}:/a.jpg", s.put("a.jpg", meow).body[:0], "client-request-id", guid)
			},
			also: func(s *service, r *reply) {
				if r.header.Get("request-id") == "" || !strings.EqualFold(r.header.Get("client-request-id"), guid) {
					s.t.Errorf("header = %v", r.header)
				}
			},
		},
		{
			name: "an error's envelope carries the ids too", documented: "error/404-item",
			ask: func(s *service) *reply { return s.graph("GET", "{folder}:/nothing", "", "client-request-id", guid) },
			also: func(s *service, r *reply) {
				if !strings.Contains(r.body, `"request-id"`) || !strings.Contains(r.body, guid) {
					s.t.Errorf("body = %s", r.body)
				}
			},
		},
		{
			name: "a call without a bearer is refused", documented: "error/401-token",
			ask: func(s *service) *reply { return s.wire("GET", s.base+"/me/drive", "") },
			also: func(s *service, r *reply) {
				if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
					s.t.Errorf("header = %v", r.header)
				}
			},
		},
		{
			name: "DELETE answers 204 and the item is gone", documented: "graph/204-deleted",
			ask: func(s *service) *reply {
				return s.graph("DELETE", "/me/drive/items/"+s.put("a.jpg", meow).text("id"), "")
			},
			client: func(s *service) error {
				ref := onedrive.Ref{ID: s.put("a.jpg", meow).text("id")}
				return cmpErr(s.client.Delete(s.ctx, ref, ""), item(s, "a.jpg", 0))
			},
			want: []error{onedrive.ErrNotFound},
		},
		{
			name: "DELETE with the eTag of another version is refused", documented: "error/412-not-allowed",
			ask: func(s *service) *reply {
				first := s.put("a.jpg", meow)
				s.put("a.jpg", "changed")
				return s.graph("DELETE", "/me/drive/items/"+first.text("id"), "", "If-Match", first.text("eTag"))
			},
			client: func(s *service) error {
				first := s.put("a.jpg", meow)
				s.put("a.jpg", "changed")
				return s.client.Delete(s.ctx, onedrive.Ref{ID: first.text("id")}, first.text("eTag"))
			},
			want: []error{onedrive.ErrModified},
		},
		{
			name: "DELETE of a file that is open elsewhere is refused for now", documented: "error/423-access-denied",
			order: conduct(func(c *fakegraph.Conduct) { c.Locked = "open.docx" }),
			ask: func(s *service) *reply {
				return s.graph("DELETE", "/me/drive/items/"+s.put("open.docx", meow).text("id"), "")
			},
			client: func(s *service) error {
				return s.client.Delete(s.ctx, onedrive.Ref{ID: s.put("open.docx", meow).text("id")}, "")
			},
			want: []error{onedrive.ErrLocked},
		},
		{
			name: "DELETE with the eTag of this version passes",
			client: func(s *service) error {
				made := s.put("a.jpg", meow)
				return s.client.Delete(s.ctx, onedrive.Ref{ID: made.text("id")}, made.text("eTag"))
			},
		},
		{
			name: "a picture has a thumbnail", documented: "graph/200-thumbnail", order: func(*service) {}, // a real one takes its time
			ask: func(s *service) *reply {
				return s.graph("GET", "/me/drive/root:/Design/harbour.png:/thumbnails/0/medium", "")
			},
		},
	}
}

const guid = "5f0d5a0e-7f0b-4f2e-9d55-0d1c2f7f6a10"

func folders() []behaviour {
	create := func(s *service, name, conflict string) *reply {
		return s.graph("POST", "{folder}/children", `{"name":"`+name+`","folder":{},"@microsoft.graph.conflictBehavior":"`+conflict+`"}`)
	}
	return []behaviour{
		{
			name: "a folder is made with 201", documented: "graph/201-folder",
			ask: func(s *service) *reply { return create(s, "New", "fail") },
			client: func(s *service) error {
				made, created, err := s.client.CreateFolder(s.ctx, s.folder, "New")
				return cmpErr(err, check(created && made.IsFolder(), "made %+v, %v", made, created))
			},
		},
		{
			name: "a folder that is there is nameAlreadyExists, whatever the case", documented: "error/409-name",
			ask: func(s *service) *reply { create(s, "New", "fail"); return create(s, "nEW", "fail") },
			client: func(s *service) error {
				first, _, err := s.client.CreateFolder(s.ctx, s.folder, "New")
				again, created, err2 := s.client.CreateFolder(s.ctx, s.folder, "nEW")
				return cmpErr(err, err2, check(!created && again.ID == first.ID, "made %+v, %v", again, created))
			},
		},
		{
			name: "a folder's name that a file has is nameAlreadyExists", documented: "error/409-name",
			ask: func(s *service) *reply { s.put("New", meow); return create(s, "New", "fail") },
			client: func(s *service) error {
				s.put("New", meow)
				_, _, err := s.client.CreateFolder(s.ctx, s.folder, "New")
				return err
			},
			want: []error{onedrive.ErrNameExists},
		},
		{
			name: "rename makes a folder beside the one that is there", documented: "graph/201-folder",
			ask: func(s *service) *reply { create(s, "New", "fail"); return create(s, "New", "rename") },
			also: func(s *service, r *reply) {
				if r.text("name") != "New 1" {
					s.t.Errorf("name = %q, want New 1", r.text("name"))
				}
			},
		},
		{
			name: "a child's parent must exist", documented: "error/404-item",
			ask: func(s *service) *reply { return s.graph("PUT", "{folder}:/no/such/a.jpg:/content", meow) },
			client: func(s *service) error {
				_, _, err := s.client.CreateFolder(s.ctx, onedrive.Ref{ID: s.folder.ID + "0"}, "New")
				return err
			},
			want: []error{onedrive.ErrNotFound},
		},
		{
			name: "a name with a forbidden sign is refused", documented: "error/400-general",
			ask: func(s *service) *reply { return create(s, "a:b", "fail") },
		},
		{
			name: "a path that is too long is refused", documented: "native/400-path-too-long",
			ask: func(s *service) *reply {
				return s.graph("PUT", "{folder}:/"+strings.Repeat("x", 256)+":/content", meow)
			},
			also: func(s *service, r *reply) {
				if !strings.Contains(r.body, "pathIsTooLong") {
					s.t.Errorf("body = %s", r.body)
				}
			},
		},
		{
			name: "names that SafeName makes are taken as they are", order: func(*service) {}, // slow, and a real drive keeps all versions
			client: func(s *service) error {
				for _, name := range []string{"con", "a:b", "~x", "_vti_", strings.Repeat("x", 300) + ".jpg", " b. ", "&amp;", "日本語.png", "..", "vti_c", "desktop.ini", "\u202ed"} {
					safe := onedrive.SafeName(name)
					made, err := s.client.PutContent(s.ctx, s.folder, safe, onedrive.Fail, "", 1, zeros(1))
					if err = cmpErr(err, check(made.Name == safe, "%q became %q", safe, made.Name)); err != nil {
						return err
					}
				}
				return nil
			},
		},
		{
			name: "a listing tells folders from files", documented: "graph/200-children",
			ask: func(s *service) *reply {
				create(s, "A", "fail")
				s.put("b.jpg", meow)
				return s.graph("GET", "{folder}/children?$orderby=name", "")
			},
			client: func(s *service) error {
				create(s, "A", "fail")
				s.put("b.jpg", meow)
				var seen []string
				for child, err := range s.client.Children(s.ctx, s.folder) {
					if err != nil {
						return err
					}
					seen = append(seen, fmt.Sprint(child.Name, child.IsFolder()))
				}
				return check(strings.Join(seen, " ") == "Atrue b.jpgfalse", "seen %v", seen)
			},
		},
		{
			name: "a listing goes on behind an opaque next link",
			client: func(s *service) error {
				want := map[string]bool{}
				for i := range 5 {
					name := fmt.Sprintf("%d.txt", i)
					s.put(name, meow)
					want[name] = true
				}
				link := s.base + "/me/drive/items/" + s.folder.ID + "/children?$top=2"
				for pages := 0; link != "" && pages < 20; pages++ {
					page := s.wire("GET", link, "", "Authorization", "Bearer "+s.token)
					items, _ := page.json.(map[string]any)["value"].([]any)
					for _, child := range items {
						delete(want, child.(map[string]any)["name"].(string))
					}
					link = page.text("@odata.nextLink")
				}
				return check(len(want) == 0 && link == "", "missing %v, next %q", want, link)
			},
		},
		{
			name: "a search goes on behind the link to its next page, whatever its form", order: func(*service) {},
			client: func(s *service) error {
				for i := range 205 {
					if _, _, err := s.client.CreateFolder(s.ctx, s.folder, fmt.Sprintf("a b %d", i)); err != nil {
						return err
					}
				}
				found, err := s.client.SearchFolders(s.ctx, "a b")
				return cmpErr(err, check(len(found) == 205, "found %d", len(found)))
			},
		},
		{
			name: "a listing of several pages is whole", order: func(*service) {}, // the stand-in's archive has 230 folders
			client: func(s *service) error {
				archive, err := s.client.Child(s.ctx, onedrive.Ref{}, "Archive")
				if err != nil {
					return err
				}
				n := 0
				for child, err := range s.client.Children(s.ctx, archive.Ref()) {
					if err != nil || !child.IsFolder() {
						return fmt.Errorf("%+v, %w", child, err)
					}
					n++
				}
				return check(n == 230, "%d folders", n)
			},
		},
		{
			name: "a shortcut leads to another's folder, and files can be saved there", account: "kim@demo.example",
			client: func(s *service) error {
				for child, err := range s.client.Children(s.ctx, onedrive.Ref{}) {
					if err != nil {
						return err
					}
					if child.RemoteItem != nil {
						_, err := s.client.PutContent(s.ctx, child.Ref(), "kim.txt", onedrive.Fail, "", 1, zeros(1))
						_, err2 := s.client.Child(s.ctx, child.Ref(), "kim.txt")
						return cmpErr(err, err2, check(child.IsFolder(), "%+v", child))
					}
				}
				return fmt.Errorf("no shortcut")
			},
		},
		{
			name: "search finds a folder by its name", order: func(*service) {}, // a real index takes minutes
			client: func(s *service) error {
				found, err := s.client.SearchFolders(s.ctx, "clippings")
				return cmpErr(err, check(len(found) == 1 && found[0].Name == "Clippings", "found %+v", found))
			},
		},
	}
}

func puts() []behaviour {
	put := func(s *service, conflict string) *reply {
		return s.graph("PUT", "{folder}:/a.jpg:/content?@microsoft.graph.conflictBehavior="+conflict, "second", "Content-Type", "image/jpeg")
	}
	putBy := func(b onedrive.ConflictBehavior) func(s *service) error {
		return func(s *service) error {
			s.put("a.jpg", meow)
			made, err := s.client.PutContent(s.ctx, s.folder, "a.jpg", b, "image/jpeg", 6, strings.NewReader("second"))
			if err != nil {
				return err
			}
			want := map[onedrive.ConflictBehavior]string{onedrive.Replace: "a.jpg", onedrive.Rename: "a 1.jpg"}[b]
			return check(made.Name == want && made.Size == 6, "made %+v", made)
		}
	}
	return []behaviour{
		{
			name: "a PUT makes a file and answers 201 with the item", documented: "graph/201-uploaded",
			ask: func(s *service) *reply { return put(s, "fail") },
			client: func(s *service) error {
				made, err := s.client.PutContent(s.ctx, s.folder, "a.jpg", onedrive.Fail, "image/jpeg", 5, strings.NewReader("meow!"))
				return cmpErr(err, check(made.Size == 5 && made.Name == "a.jpg" && made.ETag != "", "made %+v", made))
			},
		},
		{
			name: "a PUT replaces by default and answers 200", documented: "session/200-replaced",
			ask: func(s *service) *reply { s.put("a.jpg", meow); return s.put("a.jpg", "second") },
		},
		{name: "a PUT with replace keeps the name", documented: "session/200-replaced",
			ask: func(s *service) *reply { s.put("a.jpg", meow); return put(s, "replace") }, client: putBy(onedrive.Replace)},
		{name: "a PUT with rename puts a number before the extension", documented: "graph/201-uploaded",
			ask: func(s *service) *reply { s.put("a.jpg", meow); return put(s, "rename") }, client: putBy(onedrive.Rename)},
		{name: "a PUT with fail is nameAlreadyExists", documented: "error/409-name",
			ask: func(s *service) *reply { s.put("A.jpg", meow); return put(s, "fail") }, client: putBy(onedrive.Fail), want: []error{onedrive.ErrNameExists}},
		{
			name: "a file of no bytes goes by PUT", documented: "graph/201-uploaded",
			ask: func(s *service) *reply { return s.graph("PUT", "{folder}:/a.jpg:/content", "") },
			client: func(s *service) error {
				_, err := s.client.PutContent(s.ctx, s.folder, "empty", onedrive.Fail, "", 0, nil)
				return cmpErr(err, item(s, "empty", 0))
			},
		},
		{
			name: "OneDrive keeps the QuickXorHash that we compute",
			client: func(s *service) error {
				data := []byte(strings.Repeat(meow, 1000))
				made, err := s.client.PutContent(s.ctx, s.folder, "a.jpg", onedrive.Fail, "", int64(len(data)), strings.NewReader(string(data)))
				if err == nil {
					made, err = s.client.Item(s.ctx, onedrive.Ref{ID: made.ID})
				}
				if err != nil || made.File == nil {
					return fmt.Errorf("%+v, %w", made, err)
				}
				h := onedrive.QuickXor()
				h.Write(data)
				want := base64.StdEncoding.EncodeToString(h.Sum(nil))
				return check(made.File.Hashes.QuickXorHash == want, "hash %q, want %q", made.File.Hashes.QuickXorHash, want)
			},
		},
		{
			name: "a PUT beyond its limit is refused", documented: "session/413-too-large",
			order: conduct(func(c *fakegraph.Conduct) { c.PutLimit = 10 }),
			ask:   func(s *service) *reply { return s.graph("PUT", "{folder}:/a.jpg:/content", strings.Repeat("x", 11)) },
			client: func(s *service) error {
				_, err := s.client.PutContent(s.ctx, s.folder, "a", "", "", 11, zeros(11))
				return err
			},
			want: []error{onedrive.ErrTooLarge},
		},
		{
			name: "a PUT into a full drive is quotaLimitReached", documented: "error/507-full",
			order: conduct(func(c *fakegraph.Conduct) { c.Full = true }),
			ask:   func(s *service) *reply { return s.graph("PUT", "{folder}:/a.jpg:/content", meow) },
			client: func(s *service) error {
				_, err := s.client.PutContent(s.ctx, s.folder, "a", "", "", 11, zeros(11))
				return err
			},
			want: []error{onedrive.ErrQuota},
		},
	}
}
