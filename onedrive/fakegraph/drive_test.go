package fakegraph_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"skylift/onedrive/fakegraph"
)

const (
	robin = "robin@demo.example"
	kim   = "kim@demo.example"
	alex  = "alex@work.example"
)

// microsoft is a stand-in on a local server, and a client that follows no redirects.
type microsoft struct {
	*fakegraph.Server
	t      testing.TB
	url    string // with the prefix
	client *http.Client
}

func startDrive(t testing.TB, o fakegraph.Options) *microsoft {
	t.Helper()
	o.Prefix = "/demo"
	s := fakegraph.New(o)
	server := httptest.NewServer(s)
	t.Cleanup(s.Close)
	t.Cleanup(server.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &microsoft{Server: s, t: t, url: server.URL + "/demo", client: client}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// json is the value at a path of keys in the body; nil when there is none.
func (a answer) json(keys ...any) any {
	var v any
	_ = json.Unmarshal(a.body, &v)
	for _, key := range keys {
		switch k := key.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			list, _ := v.([]any)
			if k >= len(list) {
				return nil
			}
			v = list[k]
		}
	}
	return v
}

func (a answer) text(keys ...any) string { s, _ := a.json(keys...).(string); return s }

// code is the code of Graph's error.
func (a answer) code() string { return a.text("error", "code") }

// ask sends a request as an account ("" for nobody). A path is taken below the prefix; headers
// are "Name: value" lines.
func (m *microsoft) ask(login, method, path string, body any, headers ...string) answer {
	m.t.Helper()
	var reader io.Reader
	media := ""
	switch b := body.(type) {
	case nil:
	case string:
		reader, media = strings.NewReader(b), "application/json"
	case []byte:
		reader, media = bytes.NewReader(b), "application/octet-stream"
	case io.Reader:
		reader, media = b, "application/octet-stream"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			m.t.Fatal(err)
		}
		reader, media = bytes.NewReader(raw), "application/json"
	}
	if !strings.HasPrefix(path, "http") {
		path = m.url + path
	}
	req, err := http.NewRequestWithContext(m.t.Context(), method, path, reader)
	if err != nil {
		m.t.Fatal(err)
	}
	if login != "" {
		req.Header.Set("Authorization", "Bearer "+m.Token(login))
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := m.client.Do(req)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	return answer{res.StatusCode, res.Header, raw}
}

// monitor polls until the job is over, without sleeping: the stand-in's own jobs are quick.
func (m *microsoft) monitor(address string) answer {
	m.t.Helper()
	for {
		a := m.ask("", "GET", address, nil)
		if status := a.text("status"); a.status != 202 && a.status != 200 || status == "completed" || status == "failed" {
			return a
		}
	}
}

func TestAFileGoesRound(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	drive := m.ask(robin, "GET", "/v1.0/me/drive", nil)
	if drive.status != 200 || drive.text("driveType") != "personal" {
		t.Fatalf("drive: %d %s", drive.status, drive.body)
	}
	made := m.ask(robin, "POST", "/v1.0/me/drive/root/children", map[string]any{"name": "Trip", "folder": map[string]any{}})
	if made.status != 201 {
		t.Fatalf("folder: %d %s", made.status, made.body)
	}
	put := m.ask(robin, "PUT", "/v1.0/me/drive/root:/Trip/100%25%20%231.txt:/content", []byte("hello"))
	if put.status != 201 || put.text("name") != "100% #1.txt" {
		t.Fatalf("put: %d %s", put.status, put.body)
	}
	got := m.ask("", "GET", put.text("@microsoft.graph.downloadUrl"), nil)
	if string(got.body) != "hello" {
		t.Errorf("download: %d %s", got.status, got.body)
	}
	job := m.ask(robin, "POST", "/v1.0/me/drive/items/"+made.text("id")+"/children", map[string]any{
		"@microsoft.graph.sourceUrl": m.url + "/samples/meadow.jpg", "name": "meadow.jpg", "file": map[string]any{},
	}, "Prefer: respond-async")
	if job.status != 202 || job.header.Get("Location") == "" {
		t.Fatalf("sourceUrl: %d %s", job.status, job.body)
	}
	first := m.ask("", "GET", job.header.Get("Location"), nil)
	if first.text("status") != "notStarted" {
		t.Errorf("first answer of the monitor: %d %s", first.status, first.body)
	}
	if last := m.monitor(job.header.Get("Location")); last.status != 303 {
		t.Errorf("last answer of the monitor: %d %s", last.status, last.body)
	}
	session := m.ask(robin, "POST", "/v1.0/me/drive/items/"+made.text("id")+":/big.bin:/createUploadSession", "{}")
	upload := session.text("uploadUrl")
	const unit = 320 << 10
	if a := m.ask("", "PUT", upload, bytes.Repeat([]byte{1}, unit), "Content-Range: bytes 0-327679/327690"); a.status != 202 {
		t.Errorf("first fragment: %d %s", a.status, a.body)
	}
	if a := m.ask("", "PUT", upload, bytes.Repeat([]byte{2}, 10), "Content-Range: bytes 327680-327689/327690"); a.status != 201 {
		t.Errorf("last fragment: %d %s", a.status, a.body)
	}
	list := m.ask(robin, "GET", "/v1.0/me/drive/items/"+made.text("id")+"/children?$select=id,name,size&$expand=thumbnails", nil)
	if n, _ := list.json("value").([]any); len(n) != 3 {
		t.Errorf("children: %d %s", list.status, list.body)
	}
	if thumb := m.ask("", "GET", list.text("value", 2, "thumbnails", 0, "large", "url"), nil); thumb.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("thumbnail: %d %s", thumb.status, list.body)
	}
}
