package onedrive_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"skylift/onedrive"
)

func TestAShortNameKeepsItsExtension(t *testing.T) {
	for name, want := range map[string]string{
		"tabby.jpg":                             "tabby.jpg",
		"a-very-long-name-of-a-cat.jpg":         "a-very-long-name-of-.jpg",
		"what is cut at its space is cut there": "what is cut at its space",
		strings.Repeat("🐈", 20) + ".jpeg":       strings.Repeat("🐈", 9) + ".jpeg",
	} {
		if got := onedrive.ShortName(name); got != want {
			t.Errorf("ShortName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestSafeName(t *testing.T) {
	rows := []struct{ what, name, want string }{
		{"a good name stays", "tabby.jpg", "tabby.jpg"},
		{"letters of the world stay", "猫 Käse 🐈‍⬛.png", "猫 Käse 🐈‍⬛.png"},
		{"forbidden signs", `a"b*c:d<e>f?g/h\i|j.jpg`, "a_b_c_d_e_f_g_h_i_j.jpg"},
		{"signs that need escaping only", "50% #1+&~.jpg", "50% #1+&~.jpg"},
		{"spaces and dots at the ends", "  .a. .", ".a"},
		{"every kind of space", "a\u00a0b\tc\u3000d\ne", "a b c d e"},
		{"control and direction signs", "photo\u202egpj\x00.exe\u2066", "photogpj.exe"},
		{"decomposed letters", "Ka\u0308se.jpg", "K\u00e4se.jpg"},
		{"bytes that are no text", "a\xff\xfeb.jpg", "ab.jpg"},
		{"entities of a page", "Tom &amp; Jerry &#39;1&#39;.jpg", "Tom & Jerry '1'.jpg"},
		{"entities that hide a path", "..&#47;..&sol;etc", ".._.._etc"},
		{"entities in entities", "a&amp;amp;lt;b", "a_b"},
		{"what only looks like an entity", "a&nosuchthing;b", "a_nosuchthing;b"},
		{"an ampersand", "R&D more", "R&D more"},
		{"a control sign in an entity", "a&a\x00mp;b", "a&b"},
		{"a Greek question mark is a semicolon", "a&amp\u037eb", "a&b"},
		{"devices", "con", "_con"},
		{"devices with an extension", "Con.tar.jpg", "_Con.tar.jpg"},
		{"a device's name inside another", "console.jpg", "console.jpg"},
		{"COM10 is none", "com10.txt", "com10.txt"},
		{"desktop.ini", "Desktop.INI", "_Desktop.INI"},
		{".lock", ".lock", "_.lock"},
		{"forms", "Forms", "_Forms"},
		{"a tilde in front", "~$report.docx", "_~$report.docx"},
		{"_vti_", "a_vti_b", "a_vti-b"},
		{"vti_ in front", "VTI_x", "vti-x"},
		{"nothing", "", "untitled"},
		{"nothing but dots", " ... ", "untitled"},
		{"dot dot slash", "../../etc/passwd", ".._.._etc_passwd"},
		{"too long, the extension stays", strings.Repeat("x", 300) + ".jpeg", strings.Repeat("x", 195) + ".jpeg"},
		{"too long, cut at a space", strings.Repeat("x", 194) + " " + strings.Repeat("y", 100) + ".jpg", strings.Repeat("x", 194) + " y.jpg"},
		{"too long, no extension", strings.Repeat("x", 300), strings.Repeat("x", 200)},
		{"too long, outside the first plane", strings.Repeat("🐈", 150), strings.Repeat("🐈", 100)},
	}
	for _, row := range rows {
		if got := onedrive.SafeName(row.name); got != row.want {
			t.Errorf("%s: SafeName(%q) = %q, want %q", row.what, row.name, got, row.want)
		}
	}
}

// problem says why a name is not safe, by rules that are written down here a second time.
func problem(name string) string {
	lower := strings.ToLower(name)
	stem, _, _ := strings.Cut(lower, ".")
	switch {
	case name == "":
		return "empty"
	case !utf8.ValidString(name):
		return "not UTF-8"
	case strings.ContainsAny(name, "\"*:<>?/\\|\x00\r\n\t\x7f\u202e\u2028\ufeff"):
		return "forbidden sign"
	case strings.HasPrefix(name, " "), strings.HasSuffix(name, " "), strings.HasSuffix(name, "."):
		return "end"
	case strings.HasPrefix(name, "~"), strings.Contains(lower, "_vti_"), strings.HasPrefix(lower, "vti_"):
		return "SharePoint's own"
	case lower == ".lock" || lower == "desktop.ini" || lower == "forms":
		return "reserved"
	case stem == "con" || stem == "prn" || stem == "aux" || stem == "nul" || len(stem) == 4 && (stem[:3] == "com" || stem[:3] == "lpt") && stem[3] >= '0' && stem[3] <= '9':
		return "device"
	case len(utf16.Encode([]rune(name))) > 200:
		return "too long"
	}
	return ""
}

// names are texts that lie near the rules.
var names = rapid.OneOf(
	rapid.String(),
	rapid.StringOfN(rapid.SampledFrom([]rune("aA .~_&;#/\\:con1vti_\u202e\u0308é🐈\x00")), 0, 40, -1),
	rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"con", ".", " ", "~", "vti_", "_vti_", "&amp;", "&#47;", "&lt;", "amp;", "lpt1", "desktop.ini", "forms", ".lock", "x", strings.Repeat("y", 197), "🐈", "\u0308", "\xff"}), 0, 8),
		func(parts []string) string { return strings.Join(parts, "") }),
)

func TestSafeNameIsAlwaysSafeAndStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkSafeName(t, names.Draw(t, "name"))
	})
}

func checkSafeName(t interface{ Fatalf(string, ...any) }, name string) {
	safe := onedrive.SafeName(name)
	if p := problem(safe); p != "" {
		t.Fatalf("SafeName(%q) = %q: %s", name, safe, p)
	}
	if again := onedrive.SafeName(safe); again != safe {
		t.Fatalf("SafeName(%q) = %q, and of that %q", name, safe, again)
	}
	if err := onedrive.CheckFolderName(safe); err != nil {
		t.Fatalf("CheckFolderName(%q) = %v", safe, err)
	}
	for _, n := range []int{2, 10, 1000} {
		numbered := onedrive.NumberedName(safe, n)
		if p := problem(numbered); p != "" || numbered == safe {
			t.Fatalf("NumberedName(%q, %d) = %q: %s", safe, n, numbered, p)
		}
	}
}

func TestNumberedName(t *testing.T) {
	rows := []struct {
		name string
		n    int
		want string
	}{
		{"tabby.jpg", 1, "tabby.jpg"},
		{"tabby.jpg", 2, "tabby 2.jpg"},
		{"tabby", 3, "tabby 3"},
		{".profile", 2, ".profile 2"},
		{"..lock", 2, "..lock 2"},
		{"a.tar.gz", 2, "a.tar 2.gz"},
		{strings.Repeat("x", 196) + ".jpg", 12, strings.Repeat("x", 193) + " 12.jpg"},
	}
	for _, row := range rows {
		if got := onedrive.NumberedName(row.name, row.n); got != row.want {
			t.Errorf("NumberedName(%q, %d) = %q, want %q", row.name, row.n, got, row.want)
		}
	}
}

func TestCheckFolderName(t *testing.T) {
	for _, good := range []string{"Clippings", "a b", "50 % #1", ".hidden", "Forms", "猫", strings.Repeat("x", 255)} {
		if err := onedrive.CheckFolderName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", " a", "a ", "a.", "a/b", `a\b`, "a:b", "a?b", "a|b", "a\nb", "a\xff", "~a", "CON", "lpt1.x", "a_vti_b", "desktop.ini", strings.Repeat("x", 256)} {
		if err := onedrive.CheckFolderName(bad); !errors.Is(err, onedrive.ErrBadName) {
			t.Errorf("%q: %v, want ErrBadName", bad, err)
		}
	}
}
