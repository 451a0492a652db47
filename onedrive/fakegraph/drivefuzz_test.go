package fakegraph_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"skylift/onedrive/fakegraph"
)

// mark stands in everything that is Kim's; nothing that Robin asks may give it.
const mark = "kims-own-secret"

// fuzzed is a stand-in with something secret in another account's drive.
func fuzzed() (s *fakegraph.Server, token string) {
	s = fakegraph.New(fakegraph.Options{Empty: true})
	s.PutFile(kim, "/"+mark+"/"+mark+".txt", []byte(mark))
	s.PutFile(robin, "/Pictures/a b.txt", []byte("robin's"))
	return s, s.Token(robin)
}

// serve sends a request straight to the handler and looks for what must not be there.
func serve(t *testing.T, s *fakegraph.Server, r *http.Request, token string) *httptest.ResponseRecorder {
	t.Helper()
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code < 200 || w.Code == 500 || w.Code > 599 {
		t.Errorf("%s %s = %d %s", r.Method, r.URL, w.Code, w.Body)
	}
	if bytes.Contains(w.Body.Bytes(), []byte(mark)) && !strings.Contains(r.URL.String(), mark) {
		t.Errorf("%s %s gives another's data: %s", r.Method, r.URL, w.Body)
	}
	return w
}

func FuzzPath(f *testing.F) {
	s, token := fuzzed()
	for _, a := range s.Entries(kim) {
		f.Add("GET", "/v1.0/me/drive/items/"+a.ID, "")
	}
	for _, path := range []string{
		"/v1.0/me/drive/root:/a%20b/c:/children", "/v1.0/drives/b!x/items/1!2:/x:/content", "/v1.0/me/drive/root/search(q='a''b')", "/v1.0/me/drive/root:/../x",
		"/v1.0/users/kim@demo.example/drive/root/children", "/v1.0/drives('x')/items('y')/thumbnails/0/c10x10/content", "/v1.0/me/drive/root/delta(token='x')",
		"/v1.0/me/drive/items/root%3A%2Fa%3A/children", "/download/abc", "/thumbnail/abc", "/monitor/abc", "/samples/x", "/drive", "/v1.0/me/drive/special/photos:/x",
	} {
		f.Add("GET", path, "$top=1&$skiptoken=cA")
	}
	f.Add("DELETE", "/v1.0/me/drive/root:/Pictures", "")
	f.Add("PUT", "/v1.0/me/drive/root:/x:/content", "@microsoft.graph.conflictBehavior=rename")
	f.Fuzz(func(t *testing.T, method, path, query string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" {
			return
		}
		u.RawQuery = query
		r, err := http.NewRequestWithContext(t.Context(), method, "http://fake.example/", strings.NewReader("{}"))
		if err != nil {
			return
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		r.Header.Set("Content-Type", "application/json")
		serve(t, s, r, token)
	})
}

func FuzzContentRange(f *testing.F) {
	s, token := fuzzed()
	for _, text := range []string{"bytes 0-9/10", "bytes 0-327679/327680", "bytes 5-1/3", "bytes */10", "bytes 0-9/*", "bytes 0-0/9223372036854775807", "bytes -1-2/3", ""} {
		f.Add(text, []byte("0123456789"))
	}
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		open := httptest.NewRequest("POST", "http://fake.example/v1.0/me/drive/root:/f.bin:/createUploadSession", strings.NewReader(`{"item":{"@microsoft.graph.conflictBehavior":"replace"}}`))
		open.Header.Set("Content-Type", "application/json")
		var made struct{ UploadURL string }
		if err := json.Unmarshal(serve(t, s, open, token).Body.Bytes(), &made); err != nil {
			t.Fatal(err)
		}
		put := httptest.NewRequest("PUT", made.UploadURL, bytes.NewReader(body))
		put.Header.Set("Content-Range", text)
		if w := serve(t, s, put, ""); w.Code == 201 || w.Code == 200 {
			got, _ := s.Content(robin, "/f.bin")
			if !bytes.Equal(got, body) {
				t.Errorf("%q: %q was stored as %q", text, body, got)
			}
		}
		serve(t, s, httptest.NewRequest("DELETE", made.UploadURL, nil), "")
	})
}

func FuzzJSON(f *testing.F) {
	s, token := fuzzed()
	for _, body := range []string{
		`{"name":"a","folder":{}}`, `{"name":"a","file":{},"@microsoft.graph.sourceUrl":"http://10.0.0.1/x"}`, `{"name":"a","remoteItem":{"id":"1","parentReference":{"driveId":"2"}}}`,
		`{"parentReference":{"path":"/drive/root:/Pictures"},"name":"b"}`, `{"requests":[{"id":"1","method":"GET","url":"/me/drive"}]}`, `{"item":{"fileSize":-1,"name":null}}`, `[]`, `null`, `{"name":7}`,
	} {
		f.Add(body)
	}
	calls := []string{
		"POST /v1.0/me/drive/root/children", "PATCH /v1.0/me/drive/root:/Pictures", "POST /v1.0/me/drive/root:/Pictures:/copy", "POST /v1.0/$batch",
		"POST /v1.0/me/drive/root:/x:/createUploadSession", "POST /v1.0/me/drive/root:/Pictures:/createLink", "PUT /v1.0/me/drive/root:/Pictures",
	}
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Contains(body, mark) {
			return
		}
		for _, call := range calls {
			method, path, _ := strings.Cut(call, " ")
			r := httptest.NewRequest(method, "http://fake.example"+path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Prefer", "respond-async")
			serve(t, s, r, token)
		}
	})
}
