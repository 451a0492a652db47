package fakegraph

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// Limits of names and paths, microsoft.md §3.8.
const (
	maxName = 255 // UTF-16 units of one name
	maxPath = 400 // UTF-16 units of the whole decoded path
)

// checkName refuses what OneDrive refuses as the name of a file or folder (microsoft.md §3.8).
func (d *drive) checkName(parent *item, name string) *wireError {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return refuse(400, "invalidRequest", "The name is missing.", "invalidName")
	case !utf8.ValidString(name):
		return refuse(400, "invalidRequest", "The name is not valid UTF-8.", "invalidName")
	case strings.ContainsAny(name, `"*:<>?/\|`):
		return refuse(400, "invalidRequest", "The provided name contains characters that are not allowed.", "invalidName")
	case strings.ContainsFunc(name, isControl):
		return refuse(400, "invalidRequest", "The provided name contains control characters.", "invalidName")
	case strings.Trim(name, " \t") != name || strings.HasSuffix(name, "."):
		return refuse(400, "invalidRequest", "The provided name begins or ends with a space or ends with a period.", "invalidName")
	case strings.HasPrefix(name, "~$") || d.kind == business && strings.HasPrefix(name, "~"):
		return refuse(400, "invalidRequest", "The provided name begins with a tilde.", "invalidName")
	case reservedName(lower):
		return refuse(400, "invalidRequest", "The provided name is reserved.", "invalidName")
	case strings.HasPrefix(lower, "vti_"):
		return refuse(403, "accessDenied", "The provided name is reserved.", "invalidName")
	case strings.Contains(lower, "_vti_"):
		return refuse(400, "invalidRequest", "The provided name is reserved.", "invalidName")
	case lower == "forms" && parent != nil && parent == d.root && d.kind == business:
		return refuse(400, "invalidRequest", "The provided name is reserved at the root of a library.", "invalidName")
	case utf16Length(name) > maxName:
		return refuse(400, "invalidRequest", "The provided name is too long.", "pathIsTooLong")
	case parent != nil && utf16Length(d.library()+parent.path())+1+utf16Length(name) > maxPath+1:
		return refuse(400, "invalidRequest", "The path is too long.", "pathIsTooLong")
	}
	return nil
}

// library is what comes before the path of an item and counts to its length: on work drives the owner's site
// and the library in it.
func (d *drive) library() string {
	if d.kind != business {
		return ""
	}
	return "/personal/" + strings.NewReplacer("@", "_", ".", "_").Replace(strings.ToLower(d.owner().Login)) + "/Documents"
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// reservedName knows the names of old devices, with and without an extension.
func reservedName(lower string) bool {
	if lower == ".lock" || lower == "desktop.ini" {
		return true
	}
	device, _, _ := strings.Cut(lower, ".")
	switch device {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(device) == 4 && (strings.HasPrefix(device, "com") || strings.HasPrefix(device, "lpt")) && device[3] >= '0' && device[3] <= '9'
}

func utf16Length(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// nameKey is what makes two names the same: OneDrive ignores case (microsoft.md §3.8).
func nameKey(name string) string { return strings.ToLower(name) }

// numbered is the service's own way of renaming: " 1" before the extension (microsoft.md §1.4).
func numbered(name string, n int) string {
	ext := path.Ext(name)
	return fmt.Sprintf("%s %d%s", strings.TrimSuffix(name, ext), n, ext)
}
