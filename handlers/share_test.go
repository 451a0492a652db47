package handlers_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"skylift/handlers"
	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/transfer"
)

// share is what a phone's share sheet sends: fields and files in one form.
func (b *browser) share(head http.Header, fields map[string]string, files map[string]string) answer {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		_ = w.WriteField(name, value)
	}
	for name, content := range files {
		part, _ := w.CreateFormFile("files", name)
		_, _ = part.Write([]byte(content))
	}
	_ = w.Close()
	head = head.Clone()
	head.Set("Content-Type", w.FormDataContentType())
	return b.do("POST", "/save", body.String(), head)
}

var (
	fromTheSystem = http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}}
	fromElsewhere = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}
)

func TestSharedFilesArrive(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	files := map[string]string{"one.txt": "the first file", `C:\pictures\two.txt`: strings.Repeat("second ", 100_000)}
	if to := b.share(fromTheSystem, map[string]string{"title": "Two files"}, files).want(303).header("Location"); to != "/" {
		t.Errorf("afterwards: %q", to)
	}
	for name, content := range map[string]string{"/one.txt": "the first file", "/two.txt": strings.Repeat("second ", 100_000)} {
		if got, ok := s.microsoft.Content(robin, name); !ok || string(got) != content {
			t.Errorf("%s: there %v, %d bytes, want %d", name, ok, len(got), len(content))
		}
	}
}

// Nobody sends a shared file again: what OneDrive does not take fails and says why, instead of waiting.
func TestASharedFileThatIsTurnedAwayFails(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	s.microsoft.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhasePut, Status: 429, Header: map[string]string{"Retry-After": "60"}})
	b.share(fromTheSystem, nil, map[string]string{"one.txt": "the first file", "two.txt": "the second file"}).want(303)
	list, _ := b.get("/api/v1/transfers").json()["value"].([]any)
	if len(list) != 2 {
		t.Fatalf("%d transfers", len(list))
	}
	for _, v := range list {
		one := v.(map[string]any)
		if problem, _ := one["error"].(map[string]any); one["state"] != "failed" || problem["code"] != "activityLimitReached" || problem["advice"] == "" {
			t.Errorf("%v is %v: %v", one["name"], one["state"], problem)
		}
	}
}

// A shared file that cannot even be begun does not wait for bytes either.
func TestASharedFileThatCannotBeBegunIsGivenUp(t *testing.T) {
	s := setup(t, func(o *handlers.Options) {
		o.Saver = transfer.NewSaver(transfer.SaverOptions{SpoolDir: t.TempDir(), Client: func(context.Context, string) (*onedrive.Client, error) {
			return nil, onedrive.ErrUnauthenticated
		}})
	})
	b := s.signIn(robin)
	b.share(fromTheSystem, nil, map[string]string{"one.txt": "the first file"}).want(401)
	list, _ := b.get("/api/v1/transfers").json()["value"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["state"] != "cancelled" {
		t.Errorf("left: %v", list)
	}
}

// While a file comes in it has no name on the disk: whatever ends the process, nothing is left.
func TestASharedFileLeavesNothingOnTheDisk(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	place := filepath.Dir(t.TempDir())
	open := func() (n int) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("this system does not say which files are open")
		}
		for _, fd := range fds {
			if at, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(at, place) && strings.Contains(at, "/skylift-") && strings.HasSuffix(at, " (deleted)") {
				n++
			}
		}
		return n
	}
	before := open()
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	answered := make(chan int, 1)
	go func() { // ends with the answer
		req := must(http.NewRequest("POST", s.url+"/save", r))(t)
		req.Header.Set("Content-Type", form.FormDataContentType())
		req.Header.Set("Sec-Fetch-Site", "none")
		req.Header.Set("Sec-Fetch-Mode", "navigate")
		res, err := b.http.Do(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		res.Body.Close()
		answered <- res.StatusCode
	}()
	part := must(form.CreateFormFile("files", "film.bin"))(t)
	half := bytes.Repeat([]byte("x"), 1<<20)
	_, _ = part.Write(half)
	for open() == before {
		select {
		case status := <-answered:
			t.Fatalf("answered %d before all of the file was there", status)
		default:
			runtime.Gosched()
		}
	}
	_ = filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "skylift-") {
			t.Errorf("%s would be left after a crash", path)
		}
		return nil
	})
	_, _ = part.Write(half)
	_ = form.Close()
	_ = w.Close()
	if status := <-answered; status != 303 {
		t.Errorf("answer %d", status)
	}
	if n := open(); n != before {
		t.Errorf("%d files are still open", n-before)
	}
	if got, ok := s.microsoft.Content(robin, "/film.bin"); !ok || len(got) != 2<<20 {
		t.Errorf("film.bin: there %v, %d bytes", ok, len(got))
	}
}

func TestSharedAddressesFillTheFormAndSaveNothing(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	picture := s.sample("meadow.jpg")
	to := b.share(fromTheSystem, map[string]string{"title": "Meadow", "text": "look " + picture, "url": ""}, nil).want(303).header("Location")
	if q := must(url.Parse(to))(t).Query(); !strings.HasPrefix(to, "/save?") || q.Get("text") != "look "+picture {
		t.Fatalf("afterwards: %q", to)
	}
	if got := b.get(to).want(200); !strings.Contains(got.body, picture) {
		t.Error("the form does not hold the address")
	}
	if n := len(b.get("/").page().all("transfer")); n != 0 {
		t.Errorf("%d transfers were started", n)
	}
}

func TestNobodyElseShares(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.share(fromElsewhere, nil, map[string]string{"evil.txt": "x"}).want(403)
	s.browser().share(fromTheSystem, nil, map[string]string{"evil.txt": "x"}).want(401)
	b.form("/save", "url", s.sample("meadow.jpg")).want(400)
	if _, there := s.microsoft.Content(robin, "/evil.txt"); there {
		t.Error("another site saved a file")
	}
	if n := len(b.get("/").page().all("transfer")); n != 0 {
		t.Errorf("%d transfers were started", n)
	}
}

func TestSaveButtonAsksFirst(t *testing.T) {
	s := setup(t)
	picture := s.sample("meadow.jpg")
	at := func(pairs ...string) string {
		q := url.Values{"url": {picture}}
		for i := 0; i+1 < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return "/save/button?" + q.Encode()
	}
	b := s.signIn(robin)
	got := b.get(at("name", "Meadow.jpg", "origin", "https://shop.example")).want(200)
	box := got.page().one("save-button")
	if text(got.page().one("button-host")) != "The page that opened this window" || strings.Contains(text(box), "shop.example") {
		t.Errorf("the window takes the asker's word for who asks: %q", text(box))
	}
	if attr(box, "data-origin") != "https://shop.example" || attr(box, "data-url") != picture {
		t.Errorf("the window says %q", text(box))
	}
	turned := b.get(at("name", "photo\u202egpj.exe\u2066\u200f")).want(200).page()
	if offer := text(turned.one("button-offer")); !strings.HasPrefix(offer, "photogpj.exe ") || attr(turned.one("save-button"), "data-name") != "photogpj.exe" {
		t.Errorf("a name that turns around is shown as %q", offer)
	}
	if got.header("Cross-Origin-Opener-Policy") != "" {
		t.Error("the window loses the page that opened it")
	}
	if n := len(b.get("/").page().all("transfer")); n != 0 {
		t.Errorf("opening the window started %d transfers", n)
	}
	for _, origin := range []string{"", "*", "null", "javascript:alert(1)", "data:text/html,x", "https://"} {
		if got := attr(b.get(at("origin", origin)).want(200).page().one("save-button"), "data-origin"); got != "" {
			t.Errorf("origin %q is told as %q", origin, got)
		}
	}
	for _, bad := range []string{"", "javascript:alert(1)", "file:///etc/passwd", "https://user:pw@x.example/"} {
		if got := b.get(at("url", bad)); got.status < 400 || got.status > 499 {
			t.Errorf("url %q: %d", bad, got.status)
		}
	}
	if got := s.browser().get(at()).want(200); len(got.page().all("button-sign-in")) != 1 || len(got.page().all("button-save")) != 0 {
		t.Error("a stranger is not asked to sign in")
	}
	if got := s.browser().get("/embed.js").want(200); got.header("Cross-Origin-Resource-Policy") != "cross-origin" || !strings.HasPrefix(got.header("Content-Type"), "text/javascript") {
		t.Errorf("other sites cannot load embed.js: %v", got.head)
	}
}
