package transfer

import (
	"bytes"
	"image"
	"image/gif"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"skylift/onedrive"
)

func TestNameFromDisposition(t *testing.T) {
	for in, want := range map[string]string{
		`attachment; filename=tabby.jpg`:                                   "tabby.jpg",
		`attachment; filename="tabby cat.jpg"`:                             "tabby cat.jpg",
		`attachment; filename=tabby cat.jpg`:                               "tabby cat.jpg",
		`attachment; filename="x.jpg"; filename*=UTF-8''K%C3%A4tzchen.jpg`: "Kätzchen.jpg",
		`attachment; filename*=utf-8'de'K%C3%A4tzchen.jpg; filename=x.jpg`: "Kätzchen.jpg",
		`attachment; filename*=iso-8859-1''K%E4tzchen.jpg`:                 "Kätzchen.jpg",
		"attachment; filename=\"K\xe4tzchen.jpg\"":                         "Kätzchen.jpg",
		`attachment; filename="Kätzchen.jpg"`:                              "Kätzchen.jpg",
		`attachment; filename="=?UTF-8?B?S8OkdHpjaGVuLmpwZw==?="`:          "Kätzchen.jpg",
		`attachment; filename="K%C3%A4tzchen.jpg"`:                         "Kätzchen.jpg",
		`attachment; filename="../../etc/passwd"`:                          "passwd",
		`attachment; filename="C:\fakepath\tabby.jpg"`:                     "tabby.jpg",
		`attachment; filename="a\"b.jpg"`:                                  `a"b.jpg`,
		`attachment; filename=a.jpg; filename=b.jpg`:                       "a.jpg",
		`attachment; filename="open.jpg`:                                   "open.jpg",
		`inline; FileName = "loud.jpg" ; size=3`:                           "loud.jpg",
		`attachment; filename="."`:                                         "",
		`attachment; filename=".."`:                                        "",
		`attachment`:                                                       "",
		`attachment; filename=`:                                            "",
		``:                                                                 "",
		strings.Repeat("a", 5000):                                          "",
	} {
		if got := nameFromDisposition(in); got != want {
			t.Errorf("nameFromDisposition(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestFileName(t *testing.T) {
	at := time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)
	jpeg, unknown := sniff(tabby, ""), kind{}
	for _, tt := range []struct {
		disposition, url string
		kind             kind
		want             string
	}{
		{"", "https://h.example/cats/tabby.jpg", jpeg, "tabby.jpg"},
		{"", "https://h.example/cats/tabby.jpeg?w=3", jpeg, "tabby.jpeg"},
		{"", "https://h.example/cats/my%20tabby%2B.jpg", jpeg, "my tabby+.jpg"},
		{"", "https://h.example/image.php?file=tabby.jpg", jpeg, "tabby.jpg"},
		{"", "https://h.example/image.php?id=4", jpeg, "image.jpg"},
		{"", "https://h.example/proxy?url=https%3A%2F%2Fo.example%2Fa%2Fcat.png%3Fx", unknown, "cat.png"},
		{"", "https://h.example/o?response-content-disposition=attachment%3B%20filename%3Dsigned.pdf", unknown, "signed.pdf"},
		{"", "https://h.example/photo-1518791841217", jpeg, "photo-1518791841217.jpg"},
		{"", "https://h.example/v1.2.3", jpeg, "v1.2.3.jpg"},
		{"", "https://h.example/picture.png", jpeg, "picture.jpg"},
		{"", "https://h.example/report.pdf", jpeg, "report.pdf"},
		{"", "https://h.example/", jpeg, "image-20260504-093000.jpg"},
		{"", "https://h.example/..", jpeg, "image-20260504-093000.jpg"},
		{`attachment; filename="con.jpg"`, "https://h.example/x", jpeg, "_con.jpg"},
		{`attachment; filename="a:b?.jpg"`, "https://h.example/x", jpeg, "a_b_.jpg"},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := fileName(tt.disposition, u, tt.kind, at); got != tt.want {
			t.Errorf("fileName(%q, %q, %s) = %q; want %q", tt.disposition, tt.url, tt.kind.mime, got, tt.want)
		}
	}
}

// fileNameIsSafe holds for every name that comes from outside.
func fileNameIsSafe(t *testing.T, name string) {
	t.Helper()
	if name == "" || strings.ContainsAny(name, `/\:*?"<>|`) || !utf8.ValidString(name) || onedrive.SafeName(name) != name || name == "." || name == ".." {
		t.Errorf("unsafe name %q", name)
	}
}

func FuzzContentDisposition(f *testing.F) {
	f.Add(`attachment; filename="x.jpg"; filename*=UTF-8''K%C3%A4tzchen.jpg`)
	f.Add(`attachment; filename=../../a b.png; filename`)
	f.Add("x;filename*=iso-8859-1'%E4';=\"\\")
	u := &url.URL{Scheme: "https", Host: "h.example", Path: "/a.jpg"}
	f.Fuzz(func(t *testing.T, header string) {
		fileNameIsSafe(t, fileName(header, u, sniff(tabby, ""), time.Time{}))
	})
}

func FuzzNameFromURL(f *testing.F) {
	f.Add("https://h.example/a%2fb.jpg?file=..%2f..%2fetc")
	f.Add("https://h.example/%2e%2e/~x?name=con")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := ParseSourceURL(s); err == nil {
			fileNameIsSafe(t, fileName("", u, kind{}, time.Time{}))
			fileNameIsSafe(t, nameFromAddress(s, "image/png"))
		}
	})
}

func TestSniff(t *testing.T) {
	for _, tt := range []struct {
		what string
		head []byte
		typ  string
		want string
	}{
		{"a JPEG that says PNG", tabby, "image/png", "image/jpeg"},
		{"a page that says JPEG", page, "image/jpeg", "text/html"},
		{"an SVG without prolog", []byte("<svg onload=x></svg>"), "image/svg+xml", "image/svg+xml"},
		{"a page that says nothing", []byte("\n<!doctype HTML>\n<p>hello"), "", "text/html"},
		{"a CSV", []byte("a,b\n1,2\n3,4\n"), "text/csv", "text/csv"},
		{"noise", noise(4, 3000), "application/octet-stream", "application/octet-stream"},
	} {
		if got := sniff(tt.head, tt.typ).mime; got != tt.want {
			t.Errorf("%s: %s; want %s", tt.what, got, tt.want)
		}
	}
}

func TestStandIn(t *testing.T) {
	var dot bytes.Buffer
	gif.Encode(&dot, image.NewRGBA(image.Rect(0, 0, 1, 1)), nil)
	asked, _ := url.Parse("https://h.example/cats/tabby.jpg")
	asGIF, _ := url.Parse("https://h.example/pixel.gif")
	to := func(s string) *resource {
		u, _ := url.Parse(s)
		return &resource{url: u, redirected: u.Path != asked.Path}
	}
	for _, tt := range []struct {
		what  string
		asked *url.URL
		res   *resource
		head  []byte
		want  bool
	}{
		{"the picture", asked, to("https://h.example/cats/tabby.jpg"), tabby, false},
		{"moved elsewhere", asked, to("https://cdn.example/1/tabby.jpg"), tabby, false},
		{"sent to a hotlink picture", asked, to("https://h.example/hotlink-forbidden.png"), whisker, true},
		{"a dot instead of a photo", asked, to("https://h.example/cats/tabby.jpg"), dot.Bytes(), true},
		{"a dot that was asked for", asGIF, to("https://h.example/pixel.gif"), dot.Bytes(), false},
	} {
		if got := standIn(tt.asked, tt.res, sniff(tt.head, ""), tt.head); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.what, got, tt.want)
		}
	}
}

func TestPlan(t *testing.T) {
	ok := facts{mode: "auto", personal: true, size: 1000}
	for _, tt := range []struct {
		what   string
		change func(*facts)
		route  Route
		why    string
	}{
		{"a public picture for a personal drive", func(*facts) {}, Native, ""},
		{"a size that is not known yet", func(f *facts) { f.size = -1 }, Native, ""},
		{"a size that nobody knows", func(f *facts) { f.size, f.asked = -1, true }, Relay, reasonUnsized},
		{"a size that nobody knows, but always", func(f *facts) { f.size, f.asked, f.mode = -1, true, "always" }, Native, ""},
		{"50 MiB", func(f *facts) { f.size = maxNative }, Native, ""},
		{"more", func(f *facts) { f.size = maxNative + 1 }, Relay, reasonLarge},
		{"more, but always", func(f *facts) { f.size, f.mode = maxNative+1, "always" }, Native, ""},
		{"a work drive", func(f *facts) { f.personal = false }, Relay, reasonWork},
		{"a work drive, even with always", func(f *facts) { f.personal, f.mode = false, "always" }, Relay, reasonWork},
		{"never", func(f *facts) { f.mode = "never" }, Relay, reasonNever},
		{"refused lately", func(f *facts) { f.refused = true }, Relay, reasonRefused},
		{"refused lately, but always", func(f *facts) { f.refused, f.mode = true, "always" }, Native, ""},
		{"tried before", func(f *facts) { f.failed, f.mode = true, "always" }, Relay, reasonFailed},
		{"a host that OneDrive cannot reach", func(f *facts) { f.badHost = true }, Relay, reasonHost},
		{"a source that wants a Referer", func(f *facts) { f.needsPage = true }, Relay, reasonReferer},
		{"what looks like a page", func(f *facts) { f.page = true }, Relay, reasonPage},
		{"a data: URL", func(f *facts) { f.inline = true }, Relay, reasonInline},
	} {
		f := ok
		tt.change(&f)
		if route, why := plan(f); route != tt.route || why != tt.why {
			t.Errorf("%s: %s (%s); want %s (%s)", tt.what, route, why, tt.route, tt.why)
		}
	}
}

func TestPeek(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]Peeked{
		"/image.php": {Name: "image.png", ContentType: "image/png"}, "/tabby.jpg": {Name: "tabby.jpg", ContentType: "image/jpeg"},
		"/login.jpg": {Name: "login.jpg", ContentType: "text/html", Page: true}, "/nohead.jpg": {Name: "nohead.jpg", ContentType: "image/jpeg"},
	} {
		got, err := w.saver.Peek(t.Context(), "robin", w.web.URL+path)
		if err != nil || got.Name != want.Name || got.ContentType != want.ContentType || got.Page != want.Page || got.Size == nil {
			t.Errorf("Peek(%s) = %+v, %v; want %+v", path, got, err, want)
		}
	}
	if _, err := w.saver.Peek(t.Context(), "robin", "http://169.254.169.254/"); codeOf(err) != codeSourceRefused {
		t.Errorf("Peek inside: %v", err)
	}
}

// One who asks a lot keeps nobody else waiting.
func TestPeeksAreCountedByTheirOwner(t *testing.T) {
	w := newWorld(t, func(_ *SaverOptions, o *SourceOptions) { o.PerUser = 1 })
	for _, busy := range []string{"", "robin"} {
		leave, err := w.saver.opt.Source.users.enter(t.Context(), busy)
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	if _, err := w.saver.Peek(t.Context(), "kim", w.web.URL+"/tabby.jpg"); err != nil {
		t.Errorf("kim waits for robin: %v", err)
	}
}
