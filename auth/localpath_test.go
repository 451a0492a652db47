package auth

import (
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLocalPathKeepsOurOwn(t *testing.T) {
	for _, path := range []string{
		"/", "/folders?id=ABC!123", "/save?url=https%3A%2F%2Fimages.example%2Fcats%2Ftabby.jpg&title=A+b",
		"/save?url=https://images.example/a.jpg", "/settings", "/panel?c=x-y_z", "/a/b/c/", "/a%20b", "/transfers/01J?x=1&x=2",
	} {
		if got := LocalPath(path); got != path {
			t.Errorf("LocalPath(%q) = %q", path, got)
		}
	}
	if got := LocalPath("/folders#top"); got != "/folders" {
		t.Errorf("fragment: %q", got)
	}
}

// openRedirects builds the corpus: every way that browsers, proxies and URL parsers have been
// led off a site, crossed with each other.
func openRedirects() []string {
	starts := []string{
		"//", "///", "////", `/\`, `\/`, `\\`, `/\/`, `//\`, `/\\`, "/\t/", "/\n/", "/\r/", "/\r\n/", "\t//", " //", "/ /", "/\x00/", "/\x0b/",
		"/%09/", "/%0a/", "/%0d%0a/", "/%00/", "/%5c", "/%5C/", "/%2f/", "/%2F", "/%2f%2f", "/.//", "/..//", "/./../", "/%2e//", "/%2e%2e//", "/x/..//", "/x/../\\",
		"/.\\", "/;//", "/;@", "http://", "https://", "HTTPS:", "https:", "https:/", "http:///", `https:\\`, "hTTp:%2f%2f", "javascript:", "JaVaScRiPt://", "java\tscript:",
		"data:text/html,", "vbscript:", "file:///", "//user@", "//user:pw@", "/\u3000/", "/\u2028/", "/\u00a0/", "\u3000//", "/\u2215", "/\u2044", "/\uff0f", "\uff0f\uff0f", "/\uff3c", "\ufeff//",
		"//%0d", "//;@", "//[::1]@", "?//", "#//", "@", ".", "..//", "/..%2f/", "/%2e%2e%2f/", "/a/%2e%2e//", "/a/..%5c", "/~//", "/\u200b/", "/\x7f/", "/%7f/",
	}
	ends := []string{"evil.example", "evil.example/", "evil.example/%2f..", "evil.example?x=/", "evil.example#/ok", "127.0.0.1", "[::1]", "2130706433", "evil\u3002example", "xn--e1a.example"}
	var corpus []string
	for _, start := range starts {
		for _, end := range ends {
			corpus = append(corpus, start+end)
		}
	}
	return corpus
}

func TestLocalPathCorpus(t *testing.T) {
	corpus := openRedirects()
	if len(corpus) < 500 {
		t.Fatalf("corpus of %d", len(corpus))
	}
	for _, s := range corpus {
		assertLocal(t, s)
	}
	for _, s := range []string{"", "evil.example", "/" + strings.Repeat("a", 3000), "//", `/\`, "/%", "/%zz", "/a\x80b"} {
		if got := LocalPath(s); got != "/" {
			t.Errorf("LocalPath(%q) = %q", s, got)
		}
	}
}

// assertLocal follows the result as three kinds of reader would: the URL standard's parser (a
// browser), Go's resolver, and a proxy that decodes the path once and folds dots and slashes.
func assertLocal(t interface {
	Helper()
	Errorf(string, ...any)
}, s string) {
	t.Helper()
	got := LocalPath(s)
	if LocalPath(got) != got {
		t.Errorf("LocalPath(%q) = %q, which it does not accept itself", s, got)
	}
	browser := strings.Map(func(r rune) rune {
		switch r {
		case '\t', '\n', '\r':
			return -1
		case '\\':
			return '/'
		}
		return r
	}, strings.TrimFunc(got, func(r rune) bool { return r <= ' ' }))
	if !strings.HasPrefix(browser, "/") || strings.HasPrefix(browser, "//") {
		t.Errorf("LocalPath(%q) = %q leaves the origin in a browser", s, got)
	}
	base, _ := url.Parse("https://skylift.example/auth/callback")
	target, err := base.Parse(got)
	if err != nil || target.Scheme != "https" || target.Host != "skylift.example" || target.User != nil {
		t.Errorf("LocalPath(%q) = %q resolves to %v, %v", s, got, target, err)
		return
	}
	folded, err := url.PathUnescape(target.EscapedPath())
	if err != nil || strings.Contains(strings.ReplaceAll(folded, `\`, "/"), "//") || strings.ContainsAny(folded, "\r\n\t\x00") {
		t.Errorf("LocalPath(%q) = %q is %q to a proxy", s, got, folded)
	}
	if strings.ContainsAny(got, "\r\n") {
		t.Errorf("LocalPath(%q) = %q splits a header", s, got)
	}
}

func TestLocalPathNeverLeaves(t *testing.T) {
	piece := rapid.SampledFrom([]string{"/", "//", `\`, ".", "..", "%2f", "%5c", "%2e", "%09", "\t", "\n", " ", "@", ":", "?", "#", ";", "evil.example", "a", "http", "//x", "\u3000", "%"})
	rapid.Check(t, func(rt *rapid.T) {
		assertLocal(rt, "/"+strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(rt, "pieces"), ""))
	})
}

func FuzzLocalPath(f *testing.F) {
	f.Add("/folders?id=1")
	for _, s := range openRedirects()[:50] {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { assertLocal(t, s) })
}
