package fakegraph_test

import (
	"os"
	"testing"
	"time"

	"skylift/onedrive/fakegraph"
)

// What becomes of a file after it was uploaded, by each conduct; the first two are there from the start.
func TestWhatBecomesOfAnUpload(t *testing.T) {
	garden, err := os.ReadFile("pictures/garden.jpg")
	if err != nil {
		t.Fatal(err)
	}
	put := func(m *microsoft, login, name string, content []byte) answer {
		t.Helper()
		got := m.ask(login, "PUT", "/v1.0/me/drive/root:/"+name+":/content", content)
		if got.status/100 != 2 {
			t.Fatalf("PUT %s: %d %s", name, got.status, got.body)
		}
		return got
	}
	item := func(m *microsoft, login, name string) answer {
		return m.ask(login, "GET", "/v1.0/me/drive/root:/"+name, nil)
	}

	t.Run("work drives rewrite Office, PDF and HTML files", func(t *testing.T) {
		m := startDrive(t, fakegraph.Options{Empty: true})
		for name, rewritten := range map[string]bool{"a.docx": true, "A.PDF": true, "a.html": true, "a.jpg": false, "docx": false} {
			for _, login := range []string{alex, robin} {
				size, _ := put(m, login, name, []byte("twelve bytes")).json("size").(float64)
				if changed := size != 12; changed != (rewritten && login == alex) {
					t.Errorf("%s of %s has %v bytes", name, login, size)
				}
				if content, _ := m.Content(login, "/"+name); len(content) != int(size) {
					t.Errorf("%s of %s holds %d bytes of %v", name, login, len(content), size)
				}
			}
		}
	})
	t.Run("the metadata of a picture comes later", func(t *testing.T) {
		m := startDrive(t, fakegraph.Options{Empty: true})
		for _, login := range []string{alex, robin} {
			made := put(m, login, "a.jpg", garden)
			if at := item(m, login, "a.jpg"); at.json("image") != nil || at.text("eTag") != made.text("eTag") {
				t.Errorf("%s at once: %s", login, at.body)
			}
			m.Advance(6 * time.Second)
			late := item(m, login, "a.jpg")
			if late.json("image", "width") == nil || late.text("eTag") == made.text("eTag") || late.text("cTag") == made.text("cTag") {
				t.Errorf("%s later: %s", login, late.body)
			}
			if late.text("file", "hashes", "quickXorHash") != made.text("file", "hashes", "quickXorHash") || late.text("lastModifiedDateTime") != made.text("lastModifiedDateTime") {
				t.Errorf("%s later, the content: %s", login, late.body)
			}
			m.Advance(time.Hour)
			if again := item(m, login, "a.jpg"); again.text("eTag") != late.text("eTag") {
				t.Errorf("%s an hour later: %s", login, again.body)
			}
		}
	})
	t.Run("reads lag behind", func(t *testing.T) {
		m := startDrive(t, fakegraph.Options{Empty: true})
		old := put(m, robin, "old.bin", []byte("old"))
		m.Advance(time.Minute)
		m.SetConduct(robin, func(c *fakegraph.Conduct) { c.Lag = 5 * time.Second })
		made := put(m, robin, "new.bin", []byte("new"))
		put(m, robin, "old.bin", []byte("longer"))
		list := func() int {
			l, _ := m.ask(robin, "GET", "/v1.0/me/drive/root/children", nil).json("value").([]any)
			return len(l)
		}
		for _, path := range []string{"root:/new.bin", "items/" + made.text("id")} {
			if got := m.ask(robin, "GET", "/v1.0/me/drive/"+path, nil); got.status != 404 {
				t.Errorf("%s at once: %d", path, got.status)
			}
		}
		if got := item(m, robin, "old.bin"); got.text("eTag") != old.text("eTag") || got.json("size") != 3.0 || list() != 1 {
			t.Errorf("at once: %s, %d children", got.body, list())
		}
		if got := m.ask(robin, "PUT", "/v1.0/me/drive/root:/new.bin:/content?@microsoft.graph.conflictBehavior=fail", []byte("x")); got.status != 409 {
			t.Errorf("a write sees the truth: %d", got.status)
		}
		m.Advance(3 * time.Second)
		m.Remove(robin, "/new.bin")
		m.Advance(3 * time.Second)
		if got := item(m, robin, "new.bin"); got.status != 200 || list() != 2 || item(m, robin, "old.bin").json("size") != 6.0 {
			t.Errorf("6 s later, new.bin is gone since 3 s: %d, %d children", got.status, list())
		}
		m.Advance(3 * time.Second)
		if got := item(m, robin, "new.bin"); got.status != 404 || list() != 1 {
			t.Errorf("9 s later: %d, %d children", got.status, list())
		}
	})
	t.Run("an upload is answered with an id that Graph refuses", func(t *testing.T) {
		m := startDrive(t, fakegraph.Options{Empty: true})
		m.SetConduct(robin, func(c *fakegraph.Conduct) { c.ForeignID = true })
		for _, made := range []answer{put(m, robin, "a.bin", []byte("meow")), m.put(m.open(robin, "b.bin", nil), 0, 9, 10)} {
			if got := m.ask(robin, "GET", "/v1.0/me/drive/items/"+made.text("id"), nil); got.status != 400 || got.code() != "invalidRequest" {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		if got := m.ask(robin, "GET", "/v1.0/me/drive/items/"+item(m, robin, "b.bin").text("id"), nil); got.status != 200 {
			t.Errorf("its own: %d %s", got.status, got.body)
		}
	})
	t.Run("a commit takes its time", func(t *testing.T) {
		m := startDrive(t, fakegraph.Options{Empty: true})
		m.SetConduct(robin, func(c *fakegraph.Conduct) { c.CommitTakes = 10 * time.Second })
		u, cancelled := m.open(robin, "a.bin", nil), m.open(robin, "b.bin", nil)
		for _, u := range []string{u, cancelled} {
			if got := m.put(u, 0, 9, 10); got.status != 504 {
				t.Errorf("the last fragment: %d %s", got.status, got.body)
			}
			if got, _ := m.ask("", "GET", u, nil).json("nextExpectedRanges").([]any); got == nil || len(got) != 0 {
				t.Errorf("still wanted: %v", got)
			}
			if got := m.put(u, 0, 9, 10); got.status != 416 {
				t.Errorf("once more: %d %s", got.status, got.body)
			}
		}
		m.ask("", "DELETE", cancelled, nil)
		m.Advance(9 * time.Second)
		if got := item(m, robin, "a.bin"); got.status != 404 {
			t.Errorf("after 9 s: %d", got.status)
		}
		m.Advance(time.Second)
		if got := item(m, robin, "a.bin"); got.status != 200 || got.json("size") != 10.0 || m.ask("", "GET", u, nil).status != 404 {
			t.Errorf("after 10 s: %d %s", got.status, got.body)
		}
		if got := item(m, robin, "b.bin"); got.status != 404 {
			t.Errorf("the cancelled one: %d", got.status)
		}
	})
}
