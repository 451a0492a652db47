package transfer

import (
	"errors"
	"strings"
	"testing"

	"skylift/onedrive"
)

func TestParseSourceURL(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"https://images.example/cats/tabby.jpg", "https://images.example/cats/tabby.jpg"},
		{"HTTPS://Images.Example/a", "https://images.example/a"},
		{"http://images.example:8080/a?b=c#d", "http://images.example:8080/a?b=c"},
		{"http://my_bucket.s3.example/a b.jpg", "http://my_bucket.s3.example/a%20b.jpg"},
		{"https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"},
		{"http://93.184.216.34/x", "http://93.184.216.34/x"},
		{"http://[2001:DB8::0:1]/x", "http://[2001:db8::1]/x"},
		{"http://images.example", "http://images.example"},
	} {
		u, err := ParseSourceURL(tt.in)
		if err != nil || u.String() != tt.want {
			t.Errorf("ParseSourceURL(%q) = %v, %v; want %s", tt.in, u, err, tt.want)
		}
	}
}

// What a parser must not agree to: other schemes, user information, and hosts that different
// programs read differently.
var refusedURLs = []string{
	"", " ", "tabby.jpg", "/etc/passwd", "//host/x", "http:", "http://", "http:///x", "https://?x", "http:host/x",
	"file:///etc/passwd", "javascript:alert(1)", "gopher://h/x", "ftp://h/x", "data:text/plain,x", "blob:https://a/b", "about:blank",
	"http://user:pw@host.example/", "http://user@host.example/", "http://@host.example/", "https://:@host.example/",
	"http://host.example\\@evil.example/", "http:\\\\host.example\\x", "http://host.example\t/x", "http://host.example/\nx", "http://host.example/\x00",
	"http://host.example:/x", "http://host.example:0/x", "http://host.example:65536/x", "http://host.example:080/x", "http://host.example:http/x",
	"http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/", "http://1.2.3/", "http://1.2.3.4.5/", "http://1.2.3.4./",
	"http://①②⑦.⓪.⓪.①/", "http://１２７.0.0.1/", "http://127。0。0。1/",
	"http://[fe80::1%25lo]/", "http://[::1", "http://::1/", "http://[1.2.3.4]/", "http://[::ffff:1.2.3.4%25x]/",
	"http://ho st.example/", "http://host..example/", "http://.example/", "http://host.example%2f@x/", "http://host%00.example/", "http://a<b>.example/",
	"http://\u202ehost.example/", "http://host.example/\u202egpj.exe", "http://host.example/\xff",
	"http://host.example/" + strings.Repeat("a", 3000),
}

func TestParseSourceURLRefuses(t *testing.T) {
	for _, in := range refusedURLs {
		u, err := ParseSourceURL(in)
		var bad *RequestError
		if !errors.As(err, &bad) || bad.Code != codeSourceRefused || bad.Field != "sourceUrl" {
			t.Errorf("ParseSourceURL(%q) = %v, %v; want sourceRefused", in, u, err)
		}
	}
}

func FuzzParseSourceURL(f *testing.F) {
	for _, s := range refusedURLs {
		f.Add(s)
	}
	f.Add("https://images.example/cats/tabby.jpg?a=b#c")
	f.Add("http://[2001:db8::1]:8080/%2e%2e/;x")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseSourceURL(s)
		if err != nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
			t.Fatalf("%q parsed to %#v", s, u)
		}
		again, err := ParseSourceURL(u.String())
		if err != nil || again.String() != u.String() || again.Host != u.Host {
			t.Fatalf("%q prints as %q, which parses to %v, %v", s, u, again, err)
		}
	})
}

func TestValidate(t *testing.T) {
	size := func(n int64) *int64 { return &n }
	const ok = "https://images.example/tabby.jpg"
	for _, tt := range []struct {
		what        string
		in          Request
		field, code string
	}{
		{"a plain address", Request{SourceURL: ok}, "", ""},
		{"an address with spaces around it", Request{SourceURL: "  " + ok + "\n"}, "", ""},
		{"an upload without address", Request{Route: Upload, Name: "x.png", Size: size(3)}, "", ""},
		{"an upload from a blob", Request{Route: Upload, SourceURL: "blob:https://a/b"}, "", ""},
		{"a data URL", Request{SourceURL: "data:image/png;base64,aGVsbG8="}, "", ""},
		{"an empty data URL", Request{SourceURL: "data:,"}, "sourceUrl", codeEmptyFile},
		{"a broken data URL", Request{SourceURL: "data:image/png;base64,%%"}, "sourceUrl", codeSourceRefused},
		{"a huge data URL", Request{SourceURL: "data:," + strings.Repeat("a", MaxInline+1)}, "sourceUrl", codeSourceTooLarge},
		{"nothing", Request{}, "sourceUrl", codeSourceRefused},
		{"file:", Request{SourceURL: "file:///etc/passwd"}, "sourceUrl", codeSourceRefused},
		{"a route of ours", Request{SourceURL: ok, Route: Native}, "route", codeInvalidRequest},
		{"an unknown behaviour", Request{SourceURL: ok, ConflictBehavior: "overwrite"}, "conflictBehavior", codeInvalidRequest},
		{"a folder id with a slash", Request{SourceURL: ok, FolderID: "a/../b"}, "folderId", codeInvalidRequest},
		{"a drive id with a colon", Request{SourceURL: ok, DriveID: "a:b"}, "driveId", codeInvalidRequest},
		{"a negative size", Request{SourceURL: ok, Size: size(-1)}, "size", codeInvalidRequest},
		{"an empty upload", Request{Route: Upload, Size: size(0)}, "size", codeEmptyFile},
		{"a size beyond OneDrive's", Request{Route: Upload, Size: size(maxSize + 1)}, "size", codeSourceTooLarge},
		{"a name of two kilobytes", Request{SourceURL: ok, Name: strings.Repeat("n", 2000)}, "name", codeInvalidRequest},
		{"a bad page", Request{SourceURL: ok, PageURL: "about:blank"}, "", ""},
	} {
		err := tt.in.Validate()
		var bad *RequestError
		if errors.As(err, &bad); tt.code == "" && err != nil || tt.code != "" && (bad == nil || bad.Field != tt.field || bad.Code != tt.code) {
			t.Errorf("%s: %v; want %s %s", tt.what, err, tt.field, tt.code)
		}
		if err == nil && tt.in.ConflictBehavior != onedrive.Rename {
			t.Errorf("%s: conflictBehavior %q; want rename by default", tt.what, tt.in.ConflictBehavior)
		}
	}
}

func TestDataURLMovesIntoWork(t *testing.T) {
	r := Request{SourceURL: "data:text/plain;charset=utf-8,hello%20there"}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	got := r.NewTransfer("robin")
	if got.SourceURL != "data:text/plain" || string(got.Work.Inline) != "hello there" || *got.Size != 11 || got.ContentType != "text/plain" {
		t.Errorf("NewTransfer = %+v", got)
	}
}
