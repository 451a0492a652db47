package onedrive_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"skylift/onedrive"
)

func TestSecretURLsMayPointToMicrosoftOnly(t *testing.T) {
	rows := map[string]bool{
		"https://api.onedrive.com/v1.0/monitor/x":                      true,
		"https://onedrive.com/monitor/x":                               true,
		"https://sn3302.up.1drv.com/up/x":                              true,
		"https://contoso-my.sharepoint.com/_api/v2.0/monitor/x":        true,
		"https://CONTOSO.SharePoint.com:443/x":                         true,
		"https://my.microsoftpersonalcontent.com/personal/x":           true,
		"https://graph.example.net/monitor/x":                          true, // the Graph host
		"https://extra.example.net/x":                                  true, // by configuration
		"https://deep.below.example.org/x":                             true, // by suffix
		"http://127.0.0.1:18080/x":                                     true, // by host:port
		"http://api.onedrive.com/monitor/x":                            false,
		"https://api.onedrive.com:8443/monitor/x":                      false,
		"https://user@api.onedrive.com/x":                              false,
		"https://api.onedrive.com.evil.example/x":                      false,
		"https://evilsharepoint.com/x":                                 false,
		"https://sharepoint.com.evil.example/x":                        false,
		"https://evil.example/?.sharepoint.com":                        false,
		"https://evil.example/#.sharepoint.com":                        false,
		"https://evil.example\\.sharepoint.com/x":                      false,
		"https://below.example.org.evil.example/x":                     false,
		"https://sub.extra.example.net/x":                              false,
		"http://127.0.0.1:18081/x":                                     false,
		"http://localhost:18080/x":                                     false,
		"http://169.254.169.254/latest/meta-data":                      false,
		"https://[::1]/x":                                              false,
		"ftp://api.onedrive.com/x":                                     false,
		"file:///etc/passwd":                                           false,
		"javascript:alert(1)":                                          false,
		"":                                                             false,
		"https://contoso.sharepoint.com./x":                            false,
		"https://contoso-my.\u017fharepoint.com/x":                     false,
		"https://api.onedrive.com%2eevil.example/x":                    false,
		"https://my.microsoftpersonalcontent.com@evil.example/x":       false,
		"https://evil.example/https://my.microsoftpersonalcontent.com": false,
	}
	reached := false
	g, err := onedrive.New(onedrive.Config{
		GraphURL: "https://graph.example.net/v1.0",
		Hosts:    []string{"extra.example.net", "*.below.example.org", "127.0.0.1:18080"},
		Bare:     &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) { reached = true; return nil, errReached })},
	})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range rows {
		reached = false
		_, err := g.Client(fixedToken).MonitorStatus(t.Context(), onedrive.SecretURL(address))
		if reached != want || !want && !errors.Is(err, onedrive.ErrForeignHost) {
			t.Errorf("%q reached: %v, want %v (%v)", address, reached, want, err)
		}
	}
}

// On this machine Graph has more than one name; elsewhere, and at other ports, it has one.
func TestAGraphOnThisMachineIsItselfByAnyOfItsNames(t *testing.T) {
	for graph, rows := range map[string]map[string]bool{
		"http://localhost:18080": {"http://localhost:18080/x": true, "http://127.0.0.1:18080/x": true, "http://[::1]:18080/x": true, "http://127.0.0.1:18081/x": false, "http://127.0.0.2:18080/x": false, "http://[::ffff:7f00:1]:18080/x": false},
		"http://127.0.0.1:18080": {"http://localhost:18080/x": true, "http://127.0.0.1/x": false},
		"http://[::1]:18080":     {"http://127.0.0.1:18080/x": true},
		"http://a.example:18080": {"http://localhost:18080/x": false, "http://127.0.0.1:18080/x": false},
	} {
		var reached bool
		g, err := onedrive.New(onedrive.Config{GraphURL: graph + "/v1.0",
			Bare: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { reached = true; return nil, errReached })}})
		if err != nil {
			t.Fatal(err)
		}
		for address, want := range rows {
			reached = false
			_, err := g.Client(fixedToken).MonitorStatus(t.Context(), onedrive.SecretURL(address))
			if reached != want {
				t.Errorf("%s of %s reached: %v, want %v (%v)", address, graph, reached, want, err)
			}
		}
	}
}

var errReached = errors.New("reached")

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNewRefusesWhatIsNoHost(t *testing.T) {
	for _, entry := range []string{"", " ", ".", "https://a.example", "a.example/path", ":80", "a b"} {
		if _, err := onedrive.New(onedrive.Config{Hosts: []string{entry}}); err == nil {
			t.Errorf("%q passed as a host", entry)
		}
	}
	for _, base := range []string{"graph", "ftp://a.example", "https://", "https://u:p@a.example", "https://a.example?x"} {
		if _, err := onedrive.New(onedrive.Config{GraphURL: base}); err == nil {
			t.Errorf("%q passed as Graph's address", base)
		}
	}
}

// A name that passes the list and resolves to the inside must lead nowhere: the address is judged when it is dialled.
func TestAKnownNameThatLeadsInsideIsNotDialled(t *testing.T) {
	canary := newCanary(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(canary.URL, "https://"), ":")
	// localhost as a bare name is https on 443; the canary's own port needs an exempt entry, which must not open others.
	g, err := onedrive.New(onedrive.Config{Hosts: []string{"localhost", "127.0.0.1:1", "localhost:2"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"https://localhost/x", "https://localhost:" + port + "/x", "https://localhost:443/x"} {
		_, err := g.Client(fixedToken).MonitorStatus(t.Context(), onedrive.SecretURL(address))
		isOnly(t, err, onedrive.ErrForeignHost)
		if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("the error tells where the name leads: %v", err)
		}
	}
	if canary.hits.Load() != 0 {
		t.Errorf("%d connections to the inside", canary.hits.Load())
	}
}

// canary counts who comes where nobody may come.
type canary struct {
	*httptest.Server
	hits, tokens atomic.Int32
}

func newCanary(t *testing.T) *canary {
	c := &canary{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.hits.Add(1)
		if r.Header.Get("Authorization") != "" {
			c.tokens.Add(1)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// A Graph that lies: it redirects calls, and hands out monitors, upload URLs and next pages that lead inside.
func TestALyingGraphGetsNobodyInside(t *testing.T) {
	canary := newCanary(t)
	parent, session := onedrive.Ref{ID: "A1!7"}, `{"uploadUrl":"`+canary.URL+`/up","nextExpectedRanges":["0-"]}`
	lies := map[string]http.HandlerFunc{
		"it redirects, the method kept": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, canary.URL+"/stolen", http.StatusTemporaryRedirect)
		},
		"it redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, canary.URL+"/stolen", http.StatusFound)
		},
		"the monitor leads inside": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", canary.URL+"/monitor/1")
			w.WriteHeader(202)
		},
		"the upload URL leads inside": func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(session)) },
		"the next page leads inside": func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(`{"value":[],"@odata.nextLink":"` + canary.URL + `/v1.0/me/drive/root/children?$skiptoken=1"}`))
		},
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			p, _ := serve(t, lie)
			_, native := p.client.CreateFromURL(t.Context(), parent, "a.jpg", tabby, onedrive.Fail)
			_, upload := p.client.CreateUploadSession(t.Context(), parent, "a.jpg", onedrive.Fail)
			_, put := p.client.PutContent(t.Context(), parent, "a.jpg", onedrive.Fail, "", 1, strings.NewReader("x"))
			_, item := p.client.Item(t.Context(), parent)
			_, _, list := p.client.ChildrenPage(t.Context(), parent, "")
			_, find := p.client.SearchFolders(t.Context(), "x")
			for i, err := range []error{native, upload, put, item, list, find} {
				if err == nil {
					t.Errorf("call %d believed it", i)
				}
			}
			p2, _ := serve(t, lie)
			job, err := p2.client.MonitorStatus(t.Context(), p2.secret())
			if err == nil && job.State == completed && job.ItemID != "" {
				t.Errorf("monitor believed it: %+v", job)
			}
			if _, err := p2.client.UploadStatus(t.Context(), p2.secret()); strings.Contains(name, "redirects") && err == nil {
				t.Error("upload status believed it")
			}
		})
	}
	if canary.hits.Load() != 0 || canary.tokens.Load() != 0 {
		t.Errorf("%d requests and %d tokens got inside", canary.hits.Load(), canary.tokens.Load())
	}
}
