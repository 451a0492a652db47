package e2e

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// signature is the secret part of a source's address, as in signed links of photo services.
const signature = "marked-signature-9d41"

// Marked secrets go through a whole round with everything that can go wrong on the way. Afterwards
// they are looked for in all that Skylift printed, showed, measured and stored.
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	m := newMicrosoft(t)
	metrics := freeAddress(t)
	a := m.live(t, "SKYLIFT_METRICS="+metrics)
	p := m.open(t, "")
	p.Allow("status of 40[0-9]")
	signed := "?sig=" + signature
	seen := map[string]string{}
	look := func(where, text string) { seen[where] = text }
	for _, login := range []string{robin, alex} {
		p.SignIn(a, login)
		p.Save(m.sample("meadow.jpg")+signed, m.sample("missing.jpg")+signed, m.sample("big.bin?bytes=9000000&sig=")+signature)
		p.WaitFinal("missing.jpg", "failed")
		p.WaitFinal("meadow.jpg", "completed")
		p.WaitFinal("big.bin", "completed")
		link := beginSignIn(p, a, login)
		p.Open(link)
		p.Open(link) // a replay
		look("the page of a replay", p.html())
		m.ExpireTokens(login)
		key := p.makeKey(a, "script")
		look("the settings", strings.ReplaceAll(p.html(), key, ""))
		m.mu.Lock()
		m.secrets[key] = "a device key"
		m.mu.Unlock()
		for _, path := range []string{"/", "/transfers", "/settings", "/folders", "/extension", "/nowhere"} {
			p.Open(a.URL + path)
			look(login+" "+path, p.html())
		}
		m.RevokeGrants(login)
		m.ExpireTokens(login)
		p.Open(a.URL)
		p.Save(m.sample("tiles.png") + signed)
		p.WaitCSS(`[data-testid="transfer"][data-say^="tiles.png"]`)
		look(login+" without Microsoft's consent", p.html())
		p.Open("about:blank") // no page of ours waits for the server when it ends
	}
	look("the metrics", string(fetch(t, "http://"+metrics+"/metrics")))
	look("the log", a.Log())
	a.Stop()
	look("the log of the end", a.Log())
	err := filepath.WalkDir(a.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		look("the file "+strings.TrimPrefix(path, a.dir), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	secrets := m.Secrets()
	kinds := map[string]bool{}
	for _, what := range secrets {
		kinds[what] = true
	}
	for _, want := range []string{"the client secret", "the access_token", "the refresh_token", "the id_token", "an authorization code", "a monitor URL", "an upload URL"} {
		if !kinds[want] {
			t.Errorf("the round gave out no such thing as %s, so it tests nothing", want)
		}
	}
	secrets[signature] = "a source's signature"
	for where, text := range seen {
		for secret, what := range secrets {
			if strings.Contains(text, secret) && len(secret) > 8 {
				t.Errorf("%s shows %s: …%s…", where, what, around(text, secret))
			}
		}
	}
}

// around is what stands before a secret.
func around(text, secret string) string {
	at := strings.Index(text, secret)
	before := text[max(0, at-120):at]
	return string(bytes.ToValidUTF8([]byte(before), []byte("?")))
}

// beginSignIn begins a sign-in and returns the address that Microsoft would answer to.
func beginSignIn(p *Page, a *app, login string) string {
	p.t.Helper()
	p.Open(a.URL + "/auth/login")
	p.WaitVisible("accounts-page")
	return callback(p, login)
}

// freeAddress is a local address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
