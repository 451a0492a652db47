package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// authority is a certificate authority of one test, which only that test's browsers trust.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := need(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Skylift tests"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der := need(x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key))(t)
	return &authority{t, need(x509.ParseCertificate(der))(t), key}
}

func need[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Serve serves https for a host name and returns the origin: https://name:port.
func (a *authority) Serve(name string, handler http.Handler) string {
	a.t.Helper()
	key := need(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(a.t)
	cert := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der := need(x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key))(a.t)
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Config.ErrorLog = nil
	s.StartTLS()
	a.t.Cleanup(s.CloseClientConnections)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "https://" + name + ":" + port
}

// Trusted is a home folder whose browsers trust the authority.
func (a *authority) Trusted() string {
	a.t.Helper()
	home := newProfile(a.t)
	store := filepath.Join(home, ".pki/nssdb")
	if err := os.MkdirAll(store, 0o700); err != nil {
		a.t.Fatal(err)
	}
	a.trustIn(store)
	return home
}

// trustedByFirefox puts the authority into a profile of Firefox.
func (a *authority) trustedByFirefox(profile string) string {
	a.t.Helper()
	a.trustIn(profile)
	return ""
}

// findsTestHosts are Firefox's settings that find the tests' host names on this machine.
func findsTestHosts(string) string {
	return `user_pref("network.dns.localDomains", "app.test,embed.test,evil.test,shop.test");` + "\n"
}

func (a *authority) trustIn(store string) {
	a.t.Helper()
	file := filepath.Join(store, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	for _, args := range [][]string{{"-N", "-d", "sql:" + store, "--empty-password"}, {"-A", "-d", "sql:" + store, "-n", "tests", "-t", "C,,", "-i", file}} {
		if out, err := exec.Command("certutil", args...).CombinedOutput(); err != nil {
			a.t.Fatalf("certutil %v: %v\n%s", args, err, out)
		}
	}
}

// thirdParty says what a browser does with cookies of framed sites.
type thirdParty int

const (
	cookiesBlocked thirdParty = iota
	cookiesAllowed
)

// ownBrowser starts a Chromium of its own that trusts the authority and finds *.test on this machine.
func (a *authority) ownBrowser(cookies thirdParty, options ...chromedp.ExecAllocatorOption) context.Context {
	a.t.Helper()
	profile := newProfile(a.t)
	mode := `{"profile":{"cookie_controls_mode":1}}`
	if cookies == cookiesAllowed {
		mode = `{"profile":{"cookie_controls_mode":0}}`
	}
	if err := os.MkdirAll(profile+"/Default", 0o700); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(profile+"/Default/Preferences", []byte(mode), 0o600); err != nil {
		a.t.Fatal(err)
	}
	options = append([]chromedp.ExecAllocatorOption{chromedp.Env("HOME=" + a.Trusted()), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1")}, options...)
	allocator, stopAllocator := chromedp.NewExecAllocator(suite, chromiumOptions(profile, options...)...)
	a.t.Cleanup(stopAllocator)
	ctx, stop := chromedp.NewContext(allocator)
	a.t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil { // starts it: no deadline
		a.t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// waitTarget attaches to the first target of a kind (page, iframe) whose address contains part.
func waitTarget(t testing.TB, browser context.Context, kind, part string) *Page {
	t.Helper()
	var id target.ID
	eventually(t, kind+" "+part, func() bool {
		for _, info := range targets(t, browser) {
			if info.Type == kind && strings.Contains(info.URL, part) {
				id = info.TargetID
				return true
			}
		}
		return false
	})
	return attach(t, browser, &Page{id: id}, chromedp.WithTargetID(id))
}

// WaitClosed waits until a window that waitTarget found is gone.
func (p *Page) WaitClosed(browser context.Context) {
	p.t.Helper()
	eventually(p.t, "the window to close", func() bool {
		return !slices.ContainsFunc(targets(p.t, browser), func(info *target.Info) bool { return info.TargetID == p.id })
	})
}

// waitNoTarget waits until no page's address contains part. A page on its way somewhere has no
// address for a moment and may come to it yet.
func waitNoTarget(t testing.TB, browser context.Context, part string) {
	t.Helper()
	eventually(t, "no window at "+part, func() bool {
		for _, info := range targets(t, browser) {
			if info.Type == "page" && (info.URL == "" || strings.Contains(info.URL, part)) {
				return false
			}
		}
		return true
	})
}

func targets(t testing.TB, browser context.Context) []*target.Info {
	t.Helper()
	ctx, cancel := context.WithTimeout(browser, patience)
	defer cancel()
	got, err := chromedp.CallBrowser(ctx, target.GetTargets, target.GetTargetsParams{Filter: target.Filter{{}}})
	if err != nil {
		t.Fatalf("list targets: %v", err)
	}
	return got.TargetInfos
}

// Close closes a page as a person closes a window.
func (p *Page) Close() {
	p.t.Helper()
	p.mu.Lock()
	p.problems = nil
	p.mu.Unlock()
	_ = chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](`setTimeout(() => window.close(), 10); undefined`))
}

// htmlPage serves one page at every path.
func htmlPage(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/favicon.ico" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, body)
	})
}

// proxyTo passes requests on to an address that is known later; change may alter answers.
func proxyTo(address func() string, change func(*http.Response)) http.Handler {
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			u, _ := url.Parse(address())
			r.SetURL(u)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if change != nil {
				change(r)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
}
