package onedrive_test

import (
	"bufio"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"skylift/onedrive"
)

// player answers with the documented answers of testdata, in order, the last one for ever, and
// keeps what it was asked.
type player struct {
	*httptest.Server
	client *onedrive.Client

	mu    sync.Mutex
	asked []request
}

type request struct {
	method, path, query string
	header              http.Header
	length              int64
	body                string
}

// play starts a player and a client of it whose Graph is below /v1.0.
func play(t *testing.T, files ...string) *player {
	t.Helper()
	p := &player{}
	var answers []*answerFile
	for _, file := range files {
		answers = append(answers, readAnswer(t, file))
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.asked = append(p.asked, request{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Clone(), r.ContentLength, string(body)})
		a := answers[min(len(p.asked), len(answers))-1]
		p.mu.Unlock()
		a.write(w, p.URL)
	}))
	t.Cleanup(p.Close)
	g, err := onedrive.New(onedrive.Config{GraphURL: p.URL + "/v1.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.CloseIdleConnections)
	p.client = g.Client(fixedToken)
	return p
}

func fixedToken(context.Context, string) (string, error) { return "the-token", nil }

// secret is an address on the player, as a monitor or upload URL.
func (p *player) secret() onedrive.SecretURL { return onedrive.SecretURL(p.URL + "/monitor/opaque") }

func (p *player) requests() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// answerFile is one documented answer: the text of an HTTP response.
type answerFile struct {
	status int
	header http.Header
	body   string
}

func readAnswer(t *testing.T, file string) *answerFile {
	t.Helper()
	f, err := os.Open(path.Join("testdata", file+".http"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	response, err := http.ReadResponse(bufio.NewReader(f), nil)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if response.Header.Get("X-Source") == "" {
		t.Fatalf("%s names no source", file)
	}
	response.Header.Del("X-Source")
	return &answerFile{response.StatusCode, response.Header, strings.TrimSuffix(string(body), "\n")}
}

// write sends the answer. Addresses of an upload session move to the player itself.
func (a *answerFile) write(w http.ResponseWriter, origin string) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.body == "" {
		w.Header()["Content-Type"] = nil
	}
	w.WriteHeader(a.status)
	io.WriteString(w, strings.ReplaceAll(a.body, "https://my.microsoftpersonalcontent.com/personal/", origin+"/personal/"))
}

// everyFileHasARow fails for a documented answer in the folder that no row of the table plays.
func everyFileHasARow(t *testing.T, folder string, played func(file string) bool) {
	t.Helper()
	files, err := fs.Glob(os.DirFS("testdata"), folder+"/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no answers in testdata/%s: %v", folder, err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(path.Base(file), ".http"); !played(name) {
			t.Errorf("testdata/%s is played by no row", file)
		}
	}
}

// serve is play with a handler instead of files. The counter says how many requests came.
func serve(t *testing.T, handler http.HandlerFunc) (*player, *atomic.Int32) {
	t.Helper()
	p, hits := &player{}, new(atomic.Int32)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		handler(w, r)
	}))
	t.Cleanup(p.Close)
	g, err := onedrive.New(onedrive.Config{GraphURL: p.URL + "/v1.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.CloseIdleConnections)
	p.client = g.Client(fixedToken)
	return p, hits
}
