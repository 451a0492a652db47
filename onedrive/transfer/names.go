package transfer

import (
	"mime"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"skylift/onedrive"
)

// fileName is the best safe name for a file: Content-Disposition, then the address, then the
// moment; its extension is added or mended from what the file really is.
func fileName(disposition string, u *url.URL, real kind, at time.Time) string {
	name := nameFromDisposition(disposition)
	if name == "" {
		name = nameFromURL(u)
	}
	if name == "" {
		name = real.word() + "-" + at.UTC().Format("20060102-150405")
	}
	return onedrive.SafeName(real.mend(name))
}

// nameFromAddress is the first name of a transfer, before anybody asked the source.
func nameFromAddress(source, contentType string) string {
	u, err := url.Parse(source)
	if err != nil {
		u = new(url.URL)
	}
	name := nameFromURL(u)
	if name == "" {
		name = "download"
	}
	return onedrive.SafeName(kindOfType(contentType).mend(name))
}

// nameFromDisposition reads the file name of a Content-Disposition header, both forms (RFC 6266);
// filename* wins. It takes what mime.ParseMediaType refuses too: servers send much.
func nameFromDisposition(header string) string {
	if header == "" || len(header) > 4096 {
		return ""
	}
	if _, params, err := mime.ParseMediaType(header); err == nil {
		if name := baseName(decodeName(params["filename"])); name != "" {
			return name
		}
	}
	plain, extended := "", ""
	for key, value := range looseParams(header) {
		switch key {
		case "filename":
			plain = cmpOr(plain, baseName(decodeName(value)))
		case "filename*":
			extended = cmpOr(extended, baseName(decodeExtended(value)))
		}
	}
	return cmpOr(extended, plain)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// looseParams are the parameters of a header whose writer knew no grammar: quotes may be missing,
// names may repeat, the last quote may be lost. The keys are in lower case.
func looseParams(header string) func(yield func(key, value string) bool) {
	return func(yield func(string, string) bool) {
		_, rest, _ := strings.Cut(header, ";")
		for rest != "" {
			var key, value string
			var found bool
			key, rest, found = strings.Cut(rest, "=")
			if !found {
				return
			}
			if i := strings.LastIndexByte(key, ';'); i >= 0 {
				key = key[i+1:]
			}
			value, rest = looseValue(strings.TrimLeft(rest, " \t"))
			if !yield(strings.ToLower(strings.TrimSpace(key)), value) {
				return
			}
		}
	}
}

func looseValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			_, rest, _ = strings.Cut(s[i+1:], ";")
			return b.String(), rest
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// decodeExtended reads charset'language'percent-encoded (RFC 8187).
func decodeExtended(s string) string {
	charset, rest, ok := strings.Cut(s, "'")
	_, value, ok2 := strings.Cut(rest, "'")
	if !ok || !ok2 {
		return decodeName(s)
	}
	value, err := url.PathUnescape(value)
	if err != nil {
		return ""
	}
	if strings.EqualFold(charset, "iso-8859-1") && !utf8.ValidString(value) {
		return fromLatin1(value)
	}
	return decodeName(value)
}

// decodeName turns the bytes of a plain filename into text: UTF-8 as it is, RFC 2047 words and
// percent codes as browsers do, anything else as Latin-1.
func decodeName(s string) string {
	if strings.Contains(s, "=?") {
		if text, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
			s = text
		}
	}
	if strings.Contains(s, "%") && !strings.Contains(s, " ") {
		if text, err := url.PathUnescape(s); err == nil && utf8.ValidString(text) {
			s = text
		}
	}
	if !utf8.ValidString(s) {
		return fromLatin1(s)
	}
	return s
}

func fromLatin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// baseName is the last segment of a name that may come as a path of any system; "" when there is none.
func baseName(s string) string {
	s = strings.TrimSpace(strings.ReplaceAll(s, `\`, "/"))
	if s = strings.TrimSpace(path.Base(s)); s == "." || s == "/" || s == ".." || strings.Trim(s, ". ") == "" {
		return ""
	}
	return s
}

// nameParams are the query parameters that name a file, most telling first.
var nameParams = []string{"filename", "file_name", "file", "fn", "download", "name", "attachment", "title", "url", "src", "image", "img"}

// nameFromURL is the last segment of the path, or a query parameter that looks like a file name
// when the segment is that of a program. "" when the address tells none.
func nameFromURL(u *url.URL) string {
	if u.Scheme == "data" || u.Opaque != "" {
		return ""
	}
	segment := baseName(u.Path)
	if ext := extension(segment); ext != "" && !slices.Contains(scriptExtensions, ext) {
		return segment
	}
	query := u.Query()
	if name := nameFromDisposition(cmpOr(query.Get("response-content-disposition"), query.Get("rscd"))); name != "" {
		return name
	}
	for _, key := range nameParams {
		value := query.Get(key)
		if inner, err := url.Parse(value); err == nil && inner.Path != "" {
			value = inner.Path
		}
		if value = baseName(value); extension(value) != "" && len(value) <= 255 {
			return value
		}
	}
	return segment
}

// scriptExtensions end the names of programs that make files, not of the files.
var scriptExtensions = []string{".php", ".asp", ".aspx", ".ashx", ".jsp", ".jspx", ".do", ".cgi", ".pl", ".cfm", ".axd", ".action", ".dll", ".html", ".htm"}

var extensionPattern = regexp.MustCompile(`^\.[a-z0-9]{1,9}$`)

// extension is the name's extension in lower case with its dot; "" for none and for what only looks like one.
func extension(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if !extensionPattern.MatchString(ext) || len(ext) == len(name) || strings.Trim(ext, ".0123456789") == "" && ext != ".7z" {
		return ""
	}
	return ext
}
