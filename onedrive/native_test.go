package onedrive_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"skylift/onedrive"
)

var tabby = &url.URL{Scheme: "https", Host: "images.example.net", Path: "/cats/tabby.jpg", RawQuery: "sig=secret"}

func TestCreateFromURLUnderstandsEveryAnswer(t *testing.T) {
	native := onedrive.ErrNativeUnavailable
	rows := map[string][]error{ // nil: a monitor
		"202-monitor":          nil,
		"202-without-location": {native, onedrive.ErrNoMonitor},
		"200-nothing":          {native, onedrive.ErrNoMonitor},
		"201-empty-item":       {native},
		"200-empty-item":       {native},
		"400-invalid-request":  {native, onedrive.ErrRefused},
		"400-not-supported":    {native, onedrive.ErrNotSupported},
		"403-not-allowed":      {native, onedrive.ErrNotSupported},
		"403-access-denied":    {native, onedrive.ErrAccessDenied},
		"404-item-not-found":   {native, onedrive.ErrNotFound},
		"405-html":             {native, onedrive.ErrNotSupported},
		"409-business":         {native, onedrive.ErrRefused},
		"410-gone":             {native, onedrive.ErrNotFound},
		"501-not-supported":    {native, onedrive.ErrNotSupported},
		"409-name-exists":      {onedrive.ErrNameExists},
		"400-path-too-long":    {onedrive.ErrBadName},
		"429-slow-down":        {onedrive.ErrThrottled},
		"503-html":             {onedrive.ErrUnavailable},
		"507-full":             {onedrive.ErrQuota},
	}
	for file, want := range rows {
		t.Run(file, func(t *testing.T) {
			p := play(t, "native/"+file)
			monitor, err := p.client.CreateFromURL(t.Context(), onedrive.Ref{ID: "A1!7"}, "tabby.jpg", tabby, onedrive.Rename)
			isOnly(t, err, want...)
			if (err == nil) != (want == nil) || (err == nil) != (monitor.Reveal() == "https://api.onedrive.com/v1.0/monitor/4sAmPl3opaque-long-token") {
				t.Errorf("monitor %q, error %v", monitor.Reveal(), err)
			}
			ignored, found := errors.AsType[*onedrive.IgnoredError](err)
			if found != strings.HasSuffix(file, "empty-item") || found && (ignored.Item.ID != "5B1E9F0A22C4D7E3!204" || ignored.Item.Size != 0) {
				t.Errorf("ignored = %+v, error %v", ignored, err)
			}
			if n := len(p.requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
	everyFileHasARow(t, "native", func(file string) bool { _, found := rows[file]; return found })
}

func TestCreateFromURLSendsWhatMicrosoftAsksFor(t *testing.T) {
	p := play(t, "native/202-monitor")
	if _, err := p.client.CreateFromURL(t.Context(), onedrive.Ref{DriveID: "5b1e", ID: "A1!7"}, "tabby.jpg", tabby, ""); err != nil {
		t.Fatal(err)
	}
	r := p.requests()[0]
	if r.method != "POST" || r.path != "/v1.0/drives/5b1e/items/A1%217/children" || r.header.Get("Prefer") != "respond-async" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("asked %s %s %v", r.method, r.path, r.header)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatal(err)
	}
	file, isObject := body["file"].(map[string]any)
	if body["@microsoft.graph.sourceUrl"] != tabby.String() || body["name"] != "tabby.jpg" || body["@microsoft.graph.conflictBehavior"] != "fail" || !isObject || len(file) != 0 || len(body) != 4 {
		t.Errorf("body = %s", r.body)
	}
}

func TestCreateFromURLIsNeverRepeated(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"the line breaks": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		"a redirect that asks for a POST": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1.0/again", http.StatusTemporaryRedirect)
		},
		"503": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) },
		"429": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(429) },
		"a truncated answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet { // warms the connection, which tempts a transport to retry
					w.Write([]byte(`{"id":"1"}`))
					return
				}
				answer(w, r)
			})
			if _, err := p.client.Item(t.Context(), onedrive.Ref{}); err != nil {
				t.Fatal(err)
			}
			if _, err := p.client.CreateFromURL(t.Context(), onedrive.Ref{}, "a.jpg", tabby, onedrive.Fail); err == nil {
				t.Error("no error")
			}
			if n := hits.Load(); n != 2 {
				t.Errorf("%d POSTs, want 1", n-1)
			}
		})
	}
}

func TestCreateFromURLRefusesWhatOneDriveCannotFetch(t *testing.T) {
	p, hits := serve(t, func(w http.ResponseWriter, r *http.Request) {})
	for _, source := range []string{"ftp://a.example/x", "file:///etc/passwd", "https://user:pw@a.example/x", "data:,x", "//a.example/x", "https:///x"} {
		u, err := url.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.client.CreateFromURL(t.Context(), onedrive.Ref{}, "x", u, onedrive.Fail); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v", source, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests", hits.Load())
	}
}
