package transfer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ill are web servers with all that can be wrong, one to a name; the resolver knows what is where.
type ill struct {
	w             *world
	plain, secure *httptest.Server
}

func newIll(t *testing.T, client func(*tls.Config)) *ill {
	answer := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var status int
		switch _, _ = fmt.Sscanf(r.URL.Path, "/%d", &status); {
		case r.URL.Path == "/hangs-up":
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/round":
			http.Redirect(rw, r, r.URL.Path, http.StatusFound)
		case r.URL.Query().Get("to") != "":
			http.Redirect(rw, r, r.URL.Query().Get("to"), http.StatusFound)
		case r.URL.Path == "/silent":
			<-r.Context().Done()
		case r.URL.Path == "/half.jpg":
			rw.Header().Set("Content-Length", fmt.Sprint(2*len(tabby)))
			rw.Write(tabby)
		case r.URL.Path == "/page.jpg":
			rw.Write(page)
		case r.URL.Path == "/hotlink-forbidden.png":
			rw.Write(whisker)
		case status != 0:
			rw.WriteHeader(status)
		default:
			rw.Write(tabby)
		}
	})
	i := &ill{plain: httptest.NewServer(answer), secure: httptest.NewUnstartedServer(answer)}
	i.secure.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	i.secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of each client that turns away
	i.secure.StartTLS()
	t.Cleanup(i.plain.Close)
	t.Cleanup(i.secure.Close)
	i.w = newWorld(t, func(_ *SaverOptions, o *SourceOptions) {
		o.Header = 100 * time.Millisecond
		o.Allow = []string{host(i.plain), host(i.secure), "127.0.0.1:2", "other.example:" + portOf(i.secure)}
		o.Resolver = newResolver(t, func(name string) []netip.Addr {
			switch name {
			case "inside.example":
				return []netip.Addr{netip.MustParseAddr("10.0.0.1")}
			case "other.example":
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
			}
			return nil
		})
	})
	trust := i.secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	if client != nil {
		client(trust)
	}
	i.transport().TLSClientConfig = trust
	return i
}

func host(s *httptest.Server) string { return s.Listener.Addr().String() }

func portOf(s *httptest.Server) string {
	_, n, _ := net.SplitHostPort(host(s))
	return n
}

func (i *ill) transport() *http.Transport {
	return i.w.saver.opt.Source.http.Transport.(*http.Transport)
}

// What can be wrong with a source, each with the code that it ends as and how often it was looked for.
// The words for the codes are handlers' to test.
func TestEveryWayInWhichASourceFails(t *testing.T) {
	const often = 1 + maxSourceErrors
	for _, tt := range []struct {
		what, url string
		code      string
		dials     int // each request has one of its own
		client    func(*tls.Config)
	}{
		{"no such name", "http://absent.example/", codeSourceUnreachable, 2, nil},
		{"a name without an address", "http://bare.example/", codeSourceUnreachable, 2, nil},
		{"a name that leads inside", "http://inside.example/", codeSourceUnreachable, 2, nil},
		{"nobody listens", "http://127.0.0.1:2/", codeSourceUnreachable, 2, nil},
		{"the resolver is in trouble", "http://faint.example/", codeSourceUnavailable, often, nil},
		{"hangs up", "PLAIN/hangs-up", codeSourceUnavailable, often, nil},
		{"says nothing", "PLAIN/silent", codeSourceUnavailable, often, nil},
		{"a certificate that nobody vouches for", "SECURE/", codeSourceInsecure, 1, func(c *tls.Config) { c.RootCAs = nil }},
		{"a certificate that has run out", "SECURE/", codeSourceInsecure, 1, func(c *tls.Config) { c.Time = func() time.Time { return time.Now().AddDate(200, 0, 0) } }},
		{"another site's certificate", "https://other.example:PORT/", codeSourceInsecure, 1, nil},
		{"no TLS that we speak", "SECURE/", codeSourceInsecure, 2, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"no TLS at all", "https://PLAINHOST/", codeSourceInsecure, 2, nil},
		{"redirects in a circle", "PLAIN/round", codeSourceTooManyRedirects, 1 + maxRedirects, nil},
		{"a redirect inside", "PLAIN/?to=http://10.0.0.1/", codeSourceRefused, 1, nil},
		{"a redirect out of TLS", "SECURE/?to=PLAIN/tabby.jpg", codeSourceRefused, 1, nil},
		{"a redirect into TLS", "PLAIN/?to=SECURE/tabby.jpg", "", 2, nil},
		{"a redirect to a name that is none", "PLAIN/?to=http://absent.example/", codeSourceUnreachable, 4, nil},
		{"400", "PLAIN/400", codeSourceUnavailable, 1, nil},
		{"401", "PLAIN/401", codeSourceUnauthorized, 1, nil},
		{"403", "PLAIN/403", codeSourceUnauthorized, 1, nil},
		{"404", "PLAIN/404", codeSourceNotFound, 1, nil},
		{"410", "PLAIN/410", codeSourceNotFound, 1, nil},
		{"429", "PLAIN/429", codeSourceTooManyRequests, often, nil},
		{"451", "PLAIN/451", codeSourceUnauthorized, 1, nil},
		{"500", "PLAIN/500", codeSourceUnavailable, often, nil},
		{"503", "PLAIN/503", codeSourceUnavailable, often, nil},
		{"no content", "PLAIN/204", codeEmptyFile, 1, nil},
		{"a page under a picture's name", "PLAIN/page.jpg", codeSourceNotAFile, 1, nil},
		{"another picture", "PLAIN/photo.jpg?to=/hotlink-forbidden.png", codeSourceHotlinkRefused, 2, nil},
		{"half a picture", "PLAIN/half.jpg", codeSourceIncomplete, often, nil},
	} {
		t.Run(tt.what, func(t *testing.T) {
			i := newIll(t, tt.client)
			var dials atomic.Int64
			way := i.transport()
			way.DisableKeepAlives = true
			dial := way.DialContext
			way.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				dials.Add(1)
				return dial(ctx, network, address)
			}
			url := strings.NewReplacer("PLAINHOST", host(i.plain), "PLAIN", i.plain.URL, "SECURE", i.secure.URL, "PORT", portOf(i.secure)).Replace(tt.url)
			tr := i.w.drive(t, i.w.ask(t, alex, Request{SourceURL: url}))
			if tt.code == "" {
				i.w.check(t, tr, "", tabby)
			} else if tr.State != Failed || tr.Failure.Code != tt.code {
				t.Errorf("%s %+v; want %s", tr.State, tr.Failure, tt.code)
			}
			if got := int(dials.Load()); got != tt.dials {
				t.Errorf("dialled %d times; want %d", got, tt.dials)
			}
		})
	}
}

// A source that breaks off is asked again a few times, for the rest where it can be told that the rest
// is of the same file, and what it ends as says that it was the source.
func TestWhatBreaksOffIsAskedForAgain(t *testing.T) {
	const most = 1 << 20 // that one answer gives
	for _, tt := range []struct {
		what, eTag string
		content    []byte
		upTo       int // the source gives nothing from here on
		code       string
		asked      int
		resumed    bool
	}{
		{"a MiB at a time", `"v1"`, large, len(large), "", 6, true},
		{"a MiB and no more", `"v1"`, large, most, codeSourceIncomplete, 1 + maxSourceErrors, true},
		{"a MiB at a time, with a weak validator", `W/"v1"`, large, len(large), codeSourceIncomplete, 1 + maxSourceErrors, false},
		{"a MiB at a time, with none", "", large, len(large), codeSourceIncomplete, 1 + maxSourceErrors, false},
		{"half of a picture", "", tabby, len(tabby) / 2, codeSourceIncomplete, 1 + maxSourceErrors, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
				var mu sync.Mutex
				var asked []http.Header
				w.web.mux.HandleFunc("/breaks", func(rw http.ResponseWriter, r *http.Request) {
					mu.Lock()
					asked = append(asked, r.Header)
					mu.Unlock()
					if tt.eTag != "" {
						rw.Header().Set("ETag", tt.eTag)
					}
					from, status := 0, http.StatusOK
					if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 1 {
						status = http.StatusPartialContent
						rw.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(tt.content)-1, len(tt.content)))
					}
					rw.Header().Set("Content-Length", fmt.Sprint(len(tt.content)-from))
					rw.WriteHeader(status)
					rw.Write(tt.content[from:max(from, min(from+most, tt.upTo))])
					http.NewResponseController(rw).Flush()
					panic(http.ErrAbortHandler)
				})
				tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/breaks"}))
				if tt.code == "" {
					w.check(t, tr, "", tt.content)
				} else if tr.State != Failed || tr.Failure.Code != tt.code {
					t.Errorf("%s %+v; want %s", tr.State, tr.Failure, tt.code)
				}
				if len(asked) != tt.asked {
					t.Errorf("asked %d times; want %d", len(asked), tt.asked)
				}
				for _, h := range asked[1:] {
					if resumed := h.Get("Range") != ""; resumed != tt.resumed || resumed && h.Get("If-Range") != tt.eTag {
						t.Errorf("asked again with Range %q, If-Range %q", h.Get("Range"), h.Get("If-Range"))
					}
				}
				if n := w.ms.Uploads(alex); n > 0 || tt.code != "" && len(w.ms.Files(alex)) > 0 {
					t.Errorf("%d upload sessions and %v are left", n, w.ms.Files(alex))
				}
			})
		})
	}
}

// A source that is fast enough at each moment, and would still take for ever, is the one that is too slow.
func TestASourceHasNotAllTheTimeInTheWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil)
		w.web.mux.HandleFunc("/drizzle", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", fmt.Sprint(len(larger)))
			for rest := larger; len(rest) > 0 && r.Context().Err() == nil; rest = rest[min(10<<10, len(rest)):] {
				rw.Write(rest[:min(10<<10, len(rest))])
				http.NewResponseController(rw).Flush()
				time.Sleep(time.Second)
			}
		})
		if tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/drizzle"})); tr.State != Failed || tr.Failure.Code != codeSourceTooSlow {
			t.Errorf("%s %+v", tr.State, tr.Failure)
		}
	})
}
