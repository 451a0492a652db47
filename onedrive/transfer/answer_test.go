package transfer

import (
	"bytes"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

// calls are the requests to Microsoft, in words, and what is done to the answers of those that carry bytes.
type calls struct {
	http.RoundTripper
	seen  []string
	spoil func(answer string) string
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	what := path.Base(r.URL.Path)
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/items/") && !strings.Contains(r.URL.Path, ":") {
		what = "item"
	}
	c.seen = append(c.seen, r.Method+" "+what)
	res, err := c.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPut || c.spoil == nil || res.StatusCode != http.StatusCreated {
		return res, err
	}
	answer, err := io.ReadAll(res.Body)
	answer = []byte(c.spoil(string(answer)))
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(answer)), int64(len(answer))
	return res, err
}

// What OneDrive answers to the last byte is its word for the file; it is asked again only when that
// answer lacks something or is not what was sent.
func TestTheAnswerToTheLastByteIsBelievedIfItFits(t *testing.T) {
	small := []string{"GET drive", "PUT content"}
	big := []string{"GET drive", "GET large.bin", "POST createUploadSession", "PUT uploadSession"}
	for _, row := range []struct {
		name  string
		path  string
		spoil func(string) string
		want  []string
	}{
		{"small", "/tabby.jpg", nil, small},
		{"large", "/large.bin", nil, big},
		{"another size", "/tabby.jpg", func(s string) string { return strings.Replace(s, `"size":`, `"size":1`, 1) }, append(small, "GET item")},
		{"another hash", "/tabby.jpg", func(s string) string {
			return strings.Replace(s, `"quickXorHash":"`, `"quickXorHash":"AAAA`, 1)
		}, append(small, "GET item")},
		{"no eTag", "/tabby.jpg", func(s string) string { return strings.Replace(s, `"eTag"`, `"x"`, 1) }, append(small, "GET item")},
		{"no file", "/large.bin", func(s string) string { return strings.Replace(s, `"file"`, `"x"`, 1) }, append(big, "GET item")},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newWire()
				l := net.listen()
				c := &calls{RoundTripper: net.transport(t), spoil: row.spoil}
				w := &world{wire: net, web: newWebOn(t, net.listen()), ms: onedrivetest.NewServerOn(t, l, c, fakegraph.Options{Fetch: net.transport(t), Empty: true})}
				w.furnish(t, nil)
				content := tabby
				if row.path == "/large.bin" {
					content = large
				}
				tr := w.drive(t, w.ask(t, alex, Request{SourceURL: row.path}))
				w.check(t, tr, path.Base(row.path), content)
				if got := slices.Compact(c.seen); !slices.Equal(got, row.want) {
					t.Errorf("asked %q; want %q", got, row.want)
				}
			})
		})
	}
}
