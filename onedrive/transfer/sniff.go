package transfer

import (
	"bytes"
	"image"
	_ "image/gif"  // DecodeConfig
	_ "image/jpeg" // DecodeConfig
	_ "image/png"  // DecodeConfig
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// kind is what a file is: its media type and the extensions that fit it, the usual one first.
// It chooses a name and tells pages from files; it never decides what a browser may run.
type kind struct {
	mime       string
	extensions []string // nil: no opinion
	sure       bool     // read from the bytes and unmistakable: a wrong extension is replaced
}

// kinds are the types whose files people save from the web, with every extension that fits.
var kinds = []kind{
	{"image/jpeg", []string{".jpg", ".jpeg", ".jpe", ".jfif"}, true},
	{"image/png", []string{".png", ".apng"}, true},
	{"image/vnd.mozilla.apng", []string{".png", ".apng"}, true},
	{"image/gif", []string{".gif"}, true},
	{"image/webp", []string{".webp"}, true},
	{"image/avif", []string{".avif"}, true},
	{"image/heic", []string{".heic", ".heif"}, true},
	{"image/heic-sequence", []string{".heic", ".heif"}, true},
	{"image/heif", []string{".heif", ".heic"}, true},
	{"image/jxl", []string{".jxl"}, true},
	{"image/jp2", []string{".jp2"}, true},
	{"image/tiff", []string{".tiff", ".tif", ".dng", ".nef", ".cr2", ".arw"}, false},
	{"image/bmp", []string{".bmp", ".dib"}, true},
	{"image/x-icon", []string{".ico", ".cur"}, true},
	{"image/vnd.microsoft.icon", []string{".ico", ".cur"}, true},
	{"image/svg+xml", []string{".svg", ".svgz"}, true},
	{"image/vnd.adobe.photoshop", []string{".psd", ".psb"}, true},
	{"application/pdf", []string{".pdf", ".ai"}, true},
	{"video/mp4", []string{".mp4", ".m4v", ".m4a", ".mov", ".3gp"}, false},
	{"video/quicktime", []string{".mov", ".qt", ".mp4"}, false},
	{"video/webm", []string{".webm", ".mkv"}, false},
	{"video/x-matroska", []string{".mkv", ".mka", ".webm"}, false},
	{"video/x-msvideo", []string{".avi"}, false},
	{"video/mpeg", []string{".mpg", ".mpeg"}, false},
	{"audio/mpeg", []string{".mp3", ".mp2"}, false},
	{"audio/mp4", []string{".m4a", ".mp4"}, false},
	{"audio/x-m4a", []string{".m4a", ".mp4"}, false},
	{"audio/aac", []string{".aac"}, false},
	{"audio/flac", []string{".flac"}, false},
	{"audio/wav", []string{".wav"}, false},
	{"audio/ogg", []string{".ogg", ".oga", ".opus"}, false},
	{"application/ogg", []string{".ogg", ".ogv", ".oga", ".opus"}, false},
	{"application/zip", []string{".zip"}, false},
	{"application/gzip", []string{".gz", ".tgz"}, false},
	{"application/x-7z-compressed", []string{".7z"}, false},
	{"application/x-rar-compressed", []string{".rar"}, false},
	{"application/x-tar", []string{".tar"}, false},
	{"application/json", []string{".json"}, false},
	{"application/epub+zip", []string{".epub"}, false},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", []string{".docx"}, false},
	{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", []string{".xlsx"}, false},
	{"application/vnd.openxmlformats-officedocument.presentationml.presentation", []string{".pptx"}, false},
	{"text/html", []string{".html", ".htm", ".xhtml", ".php", ".aspx", ".asp", ".jsp"}, false},
	{"application/xhtml+xml", []string{".xhtml", ".html", ".htm"}, false},
	{"text/csv", []string{".csv"}, false},
	{"text/plain", []string{".txt"}, false},
	{"font/woff2", []string{".woff2"}, false},
}

// kindOfType is the kind that a media type names, without having seen a byte.
func kindOfType(typ string) kind {
	for _, k := range kinds {
		if k.mime == typ {
			k.sure = false
			return k
		}
	}
	if typ == "image/jpg" || typ == "image/pjpeg" {
		return kindOfType("image/jpeg")
	}
	return kind{mime: typ}
}

// sniff is the kind of a file by its first bytes; contentType breaks the tie where bytes say
// nothing better than "text" or "data".
func sniff(head []byte, contentType string) kind {
	if isSVG(head) {
		return kind{"image/svg+xml", []string{".svg", ".svgz"}, true}
	}
	seen, _, _ := strings.Cut(mimetype.Detect(head).String(), ";")
	for _, k := range kinds {
		if k.mime == seen && seen != "text/plain" && seen != "application/zip" {
			return k
		}
	}
	if seen == "application/octet-stream" || seen == "text/plain" || seen == "application/zip" || seen == "text/xml" || seen == "application/xml" {
		if k := kindOfType(contentType); len(k.extensions) > 0 && (k.mime != "text/html" || seen == "text/plain") && !strings.HasPrefix(k.mime, "image/") {
			return k
		}
		if seen == "text/plain" || seen == "application/zip" {
			return kindOfType(seen)
		}
	}
	return kind{mime: seen}
}

// isSVG finds the <svg that mimetype misses without a prolog.
func isSVG(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	return bytes.HasPrefix(head, []byte("<svg")) && len(head) > 4 && strings.ContainsRune(" \t\r\n>", rune(head[4]))
}

func (k kind) image() bool { return strings.HasPrefix(k.mime, "image/") }

// page reports a web page, which is hardly ever what somebody wanted saved.
func (k kind) page() bool { return k.mime == "text/html" || k.mime == "application/xhtml+xml" }

// word begins the name of a file that has none.
func (k kind) word() string {
	switch class, _, _ := strings.Cut(k.mime, "/"); class {
	case "image", "video", "audio":
		return class
	}
	return "download"
}

// mend adds the extension that name lacks, replaces that of a program (.php), and replaces one that
// the bytes contradict when both are pictures.
func (k kind) mend(name string) string {
	ext := extension(name)
	if len(k.extensions) == 0 || slices.Contains(k.extensions, ext) {
		return name
	}
	switch {
	case ext == "":
		return strings.TrimRight(name, ". ") + k.extensions[0]
	case slices.Contains(scriptExtensions, ext), k.sure && isImageExtension(ext):
		return name[:len(name)-len(ext)] + k.extensions[0]
	}
	return name
}

// unsure reports a type, as announced, that leaves open what the extension of the name should be.
func (k kind) unsure(ext string) bool {
	if len(k.extensions) == 0 {
		return ext == "" || slices.Contains(scriptExtensions, ext)
	}
	return k.image() && isImageExtension(ext) && !slices.Contains(k.extensions, ext)
}

func isImageExtension(ext string) bool {
	return slices.ContainsFunc(kinds, func(k kind) bool { return k.image() && slices.Contains(k.extensions, ext) })
}

// pageWanted reports whether a web page would be what the person asked for: the name or the
// address says so, or the client announced one.
func pageWanted(t *Transfer, disposition string, u *url.URL) bool {
	if kindOfType(t.ContentType).page() {
		return true
	}
	names := []string{nameFromDisposition(disposition), path.Base(u.Path)}
	if t.NameGiven {
		names = append(names, t.Name)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.Contains([]string{".html", ".htm", ".xhtml", ".mhtml"}, extension(name))
	})
}

// placeholder is what hotlink guards redirect to.
var placeholder = regexp.MustCompile(`(?i)(hot-?_?link|leech|forbidden|denied|not-?_?allowed|no-?_?access|place-?_?holder|blocked|no-?_?image)`)

// standIn reports a picture that a server sends instead of the one asked for: the redirect's target
// says so, or it is a single dot of another type than the address promises.
func standIn(asked *url.URL, r *resource, k kind, head []byte) bool {
	if !k.image() {
		return false
	}
	if r.redirected && placeholder.MatchString(path.Base(r.url.Path)) && !placeholder.MatchString(path.Base(asked.Path)) {
		return true
	}
	ext := extension(path.Base(asked.Path))
	if !isImageExtension(ext) || slices.Contains(k.extensions, ext) {
		return false
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(head))
	return err == nil && c.Width <= 1 && c.Height <= 1
}
