package transfer

import (
	"net/url"
	"path"
	"strings"
)

// nameFromAddress is the best name that an address alone gives: the last segment of its path.
func nameFromAddress(source, contentType string) string {
	u, err := url.Parse(source)
	if err != nil {
		return "download"
	}
	if name := strings.TrimSpace(path.Base(u.Path)); name != "" && name != "." && name != "/" {
		return name
	}
	return "download"
}
