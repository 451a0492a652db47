package onedrive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"skylift/onedrive"
)

const unit = onedrive.FragmentUnit

func TestUploadSessionAnswers(t *testing.T) {
	const anItem = -2
	rows := map[string]struct {
		next int64 // anItem: the finished item too
		err  error
	}{
		"202-next":             {next: unit},
		"202-next-has-gaps":    {next: unit},
		"202-no-ranges":        {next: unit},
		"201-committed":        {next: anItem},
		"200-replaced":         {next: anItem},
		"201-without-body":     {next: 2 * unit},
		"401-bearer-or-dead":   {err: onedrive.ErrSessionGone},
		"403-tempauth-expired": {err: onedrive.ErrSessionGone},
		"404-gone":             {err: onedrive.ErrSessionGone},
		"409-name-exists":      {err: onedrive.ErrNameExists},
		"409-old-code":         {err: onedrive.ErrNameExists},
		"409-without-code":     {err: onedrive.ErrNameExists},
		"412-modified":         {err: onedrive.ErrModified},
		"413-too-large":        {err: onedrive.ErrTooLarge},
		"416-range":            {err: onedrive.ErrRange},
		"423-locked":           {err: onedrive.ErrLocked},
		"423-access-denied":    {err: onedrive.ErrLocked},
		"412-not-allowed":      {err: onedrive.ErrModified},
		"500-empty":            {err: onedrive.ErrUnavailable},
		"507-full":             {err: onedrive.ErrQuota},
	}
	for file, row := range rows {
		t.Run(file, func(t *testing.T) {
			p := play(t, "session/"+file)
			got, err := p.client.PutFragment(t.Context(), p.secret(), 0, 2*unit, make([]byte, unit))
			if row.err != nil {
				isOnly(t, err, row.err)
				return
			}
			want := row.next
			if row.next == anItem {
				want = 2 * unit
			}
			if err != nil || got.Next != want || (got.Item != nil) != (row.next == anItem) || got.Item != nil && got.Item.Size != 183422 {
				t.Errorf("answer = %+v, %v; want next %d", got, err, want)
			}
			r := p.requests()[0]
			if r.method != "PUT" || r.length != unit || r.header.Get("Content-Range") != "bytes 0-327679/655360" || r.header.Get("Authorization") != "" {
				t.Errorf("asked %s, %d bytes, %v", r.method, r.length, r.header)
			}
		})
	}
	others := map[string]bool{"200-created": true, "200-status": true, "204-cancelled": true} // of the calls below
	everyFileHasARow(t, "session", func(file string) bool { _, found := rows[file]; return found || others[file] })
}

func TestCreateUploadSession(t *testing.T) {
	p := play(t, "session/200-created", "session/202-next")
	s, err := p.client.CreateUploadSession(t.Context(), onedrive.Ref{ID: "A1!7"}, "50 % #1+2.jpg", onedrive.Rename)
	if err != nil || s.Next != 0 || s.Expires.Format(time.RFC3339) != "2026-05-05T09:30:00Z" || !strings.Contains(s.URL.Reveal(), "tempauth=secret") {
		t.Fatalf("session = %+v, %v", s, err)
	}
	r := p.requests()[0]
	if r.path != "/v1.0/me/drive/items/A1%217:/50%20%25%20%231+2.jpg:/createUploadSession" ||
		r.body != `{"item":{"@microsoft.graph.conflictBehavior":"rename","name":"50 % #1+2.jpg"}}` || r.header.Get("Authorization") != "Bearer the-token" {
		t.Errorf("asked %s with %s", r.path, r.body)
	}
	if _, err := p.client.PutFragment(t.Context(), s.URL, 0, 2*unit, make([]byte, unit)); err != nil {
		t.Fatal(err)
	}
	if r := p.requests()[1]; r.header.Get("Authorization") != "" || !strings.Contains(r.query, "guid='c0ffee00'") {
		t.Errorf("the fragment went to %s?%s with %v", r.path, r.query, r.header)
	}
}

func TestUploadStatusAndCancel(t *testing.T) {
	p := play(t, "session/200-status", "session/202-no-ranges", "session/204-cancelled", "session/404-gone", "session/500-empty")
	if s, err := p.client.UploadStatus(t.Context(), p.secret()); err != nil || s.Next != 12345 || s.URL != p.secret() {
		t.Errorf("status = %+v, %v", s, err)
	}
	if s, err := p.client.UploadStatus(t.Context(), p.secret()); err != nil || s.Next != -1 {
		t.Errorf("status without ranges = %+v, %v", s, err)
	}
	for i := range 2 {
		if err := p.client.CancelUpload(t.Context(), p.secret()); err != nil {
			t.Errorf("cancel %d: %v", i, err)
		}
	}
	isOnly(t, p.client.CancelUpload(t.Context(), p.secret()), onedrive.ErrUnavailable)
	for i, want := range []string{"GET", "GET", "DELETE", "DELETE", "DELETE"} {
		if r := p.requests()[i]; r.method != want || r.header.Get("Authorization") != "" {
			t.Errorf("request %d: %s %v", i, r.method, r.header)
		}
	}
}

func TestPutFragmentSendsOnlyWhatMicrosoftTakes(t *testing.T) {
	p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202) })
	rows := []struct{ offset, total, length int64 }{
		{0, 10, 0}, {0, 2 * unit, unit - 1}, {7, 3 * unit, unit}, {0, unit, unit + 1}, {-1, 10, 5}, {8, 10, 3}, {0, 100 << 20, 60 << 20},
	}
	for _, row := range rows {
		_, err := p.client.PutFragment(t.Context(), p.secret(), row.offset, row.total, make([]byte, row.length))
		isOnly(t, err, onedrive.ErrRange)
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests", hits.Load())
	}
	if _, err := p.client.PutFragment(t.Context(), p.secret(), unit, unit+7, make([]byte, 7)); err != nil {
		t.Errorf("the last fragment may have any length: %v", err)
	}
	if _, err := p.client.PutFragment(t.Context(), p.secret(), 7, 3*unit, make([]byte, unit-7)); err != nil {
		t.Errorf("what is left of a fragment may have any length: %v", err)
	}
}

func TestPutContent(t *testing.T) {
	p := play(t, "graph/201-uploaded")
	item, err := p.client.PutContent(t.Context(), onedrive.Ref{}, "tabby.jpg", onedrive.Replace, "image/jpeg", 5, iotest.OneByteReader(strings.NewReader("meow!")))
	if err != nil || item.ID != "5B1E9F0A22C4D7E3!204" {
		t.Fatalf("item = %+v, %v", item, err)
	}
	r := p.requests()[0]
	if r.method != "PUT" || r.path != "/v1.0/me/drive/root:/tabby.jpg:/content" || r.query != "@microsoft.graph.conflictBehavior=replace" ||
		r.length != 5 || r.body != "meow!" || r.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("asked %+v", r)
	}
}

func TestPutContentOfNothing(t *testing.T) {
	p := play(t, "graph/201-uploaded")
	if _, err := p.client.PutContent(t.Context(), onedrive.Ref{}, "empty", "", "", 0, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	if r := p.requests()[0]; r.length != 0 || r.query != "@microsoft.graph.conflictBehavior=fail" || r.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("asked %+v", r)
	}
}

func TestPutContentTellsTheSourcesErrorFromTheNetworks(t *testing.T) {
	broken := errors.New("the source broke")
	rows := map[string]struct {
		body io.Reader
		want error
	}{
		"the source fails":        {io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), broken},
		"the source ends early":   {strings.NewReader("abc"), io.ErrUnexpectedEOF},
		"the source has too much": {strings.NewReader(strings.Repeat("x", 100)), nil},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			p := play(t, "graph/201-uploaded")
			_, err := p.client.PutContent(t.Context(), onedrive.Ref{}, "x", "", "", 10, row.body)
			if !errors.Is(err, row.want) {
				t.Errorf("error = %v, want %v", err, row.want)
			}
			isOnly(t, err)
			if row.want == nil && p.requests()[0].body != "xxxxxxxxxx" {
				t.Errorf("sent %q", p.requests()[0].body)
			}
		})
	}
}

func TestPutContentAndATokenThatRunsOut(t *testing.T) {
	rows := map[string]struct {
		body io.Reader
		err  error
	}{
		"is sent again from its start": {strings.NewReader("meow!"), nil},
		"cannot be sent again":         {iotest.DataErrReader(struct{ io.Reader }{strings.NewReader("meow!")}), onedrive.ErrUnavailable},
	}
	for name, row := range rows {
		t.Run("a body that "+name, func(t *testing.T) {
			p := play(t, "error/401-token", "graph/201-uploaded")
			asked := 0
			g, _ := onedrive.New(onedrive.Config{GraphURL: p.URL + "/v1.0"})
			_, err := g.Client(func(context.Context, string) (string, error) { asked++; return "t", nil }).
				PutContent(t.Context(), onedrive.Ref{}, "x", "", "", 5, row.body)
			if !errors.Is(err, row.err) || errors.Is(err, onedrive.ErrUnauthenticated) || asked != 2 {
				t.Errorf("error = %v after %d tokens, want %v after 2", err, asked, row.err)
			}
			if requests := p.requests(); row.err == nil && (len(requests) != 2 || requests[1].body != "meow!") {
				t.Errorf("sent %+v", requests)
			}
		})
	}
}

// A transport may read a body for a while after its answer has come. The caller's buffer must be free all the same.
func TestPutFragmentIsDoneWithTheBufferWhenItReturns(t *testing.T) {
	var body io.Reader
	bare := roundTripper(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		return &http.Response{StatusCode: 202, Body: http.NoBody, Header: http.Header{}}, nil
	})
	g, err := onedrive.New(onedrive.Config{Bare: &http.Client{Transport: bare}})
	if err != nil {
		t.Fatal(err)
	}
	fragment := bytes.Repeat([]byte("a"), unit)
	if _, err := g.Client(fixedToken).PutFragment(t.Context(), "https://api.onedrive.com/up", 0, 2*unit, fragment); err != nil {
		t.Fatal(err)
	}
	if n, err := body.Read(make([]byte, 10)); n != 0 || err == nil {
		t.Errorf("read %d bytes afterwards, %v", n, err)
	}
}

func TestALineThatStopsIsGivenUp(t *testing.T) {
	rows := map[string]struct {
		take int // bytes that OneDrive takes before it stops
		want time.Duration
	}{
		"before the first byte": {0, 30 * time.Second},
		"in the middle":         {1000, 30 * time.Second},
		"after the last byte":   {unit, 2 * time.Minute},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bare := roundTripper(func(r *http.Request) (*http.Response, error) {
					io.ReadFull(r.Body, make([]byte, row.take))
					<-r.Context().Done()
					return nil, r.Context().Err()
				})
				g, err := onedrive.New(onedrive.Config{Bare: &http.Client{Transport: bare}})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = g.Client(fixedToken).PutFragment(t.Context(), "https://api.onedrive.com/up", 0, 2*unit, make([]byte, unit))
				isOnly(t, err, onedrive.ErrUnavailable)
				if took := time.Since(began); took != row.want {
					t.Errorf("gave up after %v, want %v", took, row.want)
				}
			})
		})
	}
}

// A slow source is not a slow OneDrive: the source has limits of its own.
func TestASlowSourceIsNotTakenForAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		graph := roundTripper(func(r *http.Request) (*http.Response, error) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: 201, Body: io.NopCloser(strings.NewReader(`{"id":"1"}`)), Header: http.Header{}}, nil
		})
		g, err := onedrive.New(onedrive.Config{Graph: &http.Client{Transport: graph}})
		if err != nil {
			t.Fatal(err)
		}
		slow := readerFunc(func(p []byte) (int, error) { time.Sleep(50 * time.Second); p[0] = 'x'; return 1, nil })
		if _, err := g.Client(fixedToken).PutContent(t.Context(), onedrive.Ref{}, "x", "", "", 10, slow); err != nil {
			t.Error(err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestEveryCallHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		g, err := onedrive.New(onedrive.Config{Graph: &http.Client{Transport: silent}, Bare: &http.Client{Transport: silent}})
		if err != nil {
			t.Fatal(err)
		}
		c, ctx, u := g.Client(fixedToken), t.Context(), onedrive.SecretURL("https://api.onedrive.com/x")
		calls := map[string]func() error{
			"Drive":               func() error { _, err := c.Drive(ctx, ""); return err },
			"Item":                func() error { _, err := c.Item(ctx, onedrive.Ref{}); return err },
			"Child":               func() error { _, err := c.Child(ctx, onedrive.Ref{}, "x"); return err },
			"ChildrenPage":        func() error { _, _, err := c.ChildrenPage(ctx, onedrive.Ref{}, ""); return err },
			"SearchFolders":       func() error { _, err := c.SearchFolders(ctx, "x"); return err },
			"Special":             func() error { _, err := c.Special(ctx, "photos"); return err },
			"CreateFolder":        func() error { _, _, err := c.CreateFolder(ctx, onedrive.Ref{}, "x"); return err },
			"Delete":              func() error { return c.Delete(ctx, onedrive.Ref{ID: "1"}, "") },
			"Thumbnail":           func() error { _, err := c.Thumbnail(ctx, onedrive.Ref{ID: "1"}, "small"); return err },
			"CreateFromURL":       func() error { _, err := c.CreateFromURL(ctx, onedrive.Ref{}, "x", tabby, ""); return err },
			"MonitorStatus":       func() error { _, err := c.MonitorStatus(ctx, u); return err },
			"CreateUploadSession": func() error { _, err := c.CreateUploadSession(ctx, onedrive.Ref{}, "x", ""); return err },
			"UploadStatus":        func() error { _, err := c.UploadStatus(ctx, u); return err },
			"PutFragment":         func() error { _, err := c.PutFragment(ctx, u, 0, 1, []byte("x")); return err },
			"PutContent":          func() error { _, err := c.PutContent(ctx, onedrive.Ref{}, "x", "", "", 0, nil); return err },
			"CancelUpload":        func() error { return c.CancelUpload(ctx, u) },
		}
		for name, call := range calls {
			began := time.Now()
			err := call()
			if took := time.Since(began); !errors.Is(err, onedrive.ErrUnavailable) || took == 0 || took > 2*time.Minute {
				t.Errorf("%s ended after %v with %v", name, took, err)
			}
		}
	})
}
