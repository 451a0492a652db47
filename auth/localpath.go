package auth

import (
	"net/url"
	"strings"
)

const maxLocalPath = 2048

// LocalPath returns s if it is a path (with query) of this site that no browser can take for
// another origin, else "/". It is for the return address of a sign-in: the fragment is dropped.
//
// Browsers treat "\" as "/", skip tabs and line ends inside a URL, and resolve dot segments, so
// "/\evil", "/\t/evil" and "/x/..//evil" all leave the site in one of them or after a proxy.
func LocalPath(s string) string {
	if len(s) > maxLocalPath || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return "/"
	}
	for _, r := range s {
		if r <= ' ' || r == '\\' || r > '~' {
			return "/"
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	if !plainPath(u.Path) || !plainPath(u.EscapedPath()) {
		return "/"
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// plainPath reports whether a path holds nothing that a browser or proxy between might fold
// into another origin: no doubled slash, no dot segment, no backslash, no control character.
func plainPath(path string) bool {
	if strings.Contains(path, "//") || strings.Contains(path, `\`) {
		return false
	}
	for _, r := range path {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
