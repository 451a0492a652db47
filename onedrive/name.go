package onedrive

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of one name, in UTF-16 units as SharePoint counts them.
const (
	maxName      = 255
	safeName     = 200 // leaves room for " 2" and a longer folder path
	shortName    = 24  // for a folder whose path leaves hardly any of the 400 that a whole one may have
	maxExtension = 16
)

const forbidden = `"*:<>?/\|`

var (
	entity   = regexp.MustCompile(`&#?[0-9A-Za-z]{1,32};`)
	vti      = regexp.MustCompile(`(?i)vti_`)
	reserved = regexp.MustCompile(`(?i)^((con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?|\.lock|desktop\.ini|forms)$`)
)

// SafeName makes of any text a file name that every OneDrive takes; a name that is safe already
// stays as it is. It is never empty.
// https://support.microsoft.com/office/restrictions-and-limitations-in-onedrive-and-sharepoint-64883a5d-228e-48f5-b3d2-eb39e07630fa
func SafeName(name string) string {
	name = firstUnits(strings.ToValidUTF8(name, ""), 4*maxName)
	for { // what one step makes may be food for another
		next := norm.NFC.String(strings.Map(safeRune, decodeEntities(name)))
		if next == name {
			break
		}
		name = next
	}
	if vti.MatchString(name) {
		name = vti.ReplaceAllString(name, "vti-")
	}
	name = shorten(trim(name), safeName)
	switch {
	case name == "":
		return "untitled"
	case name[0] == '~', reserved.MatchString(name):
		return shorten("_"+name, safeName)
	}
	return name
}

// decodeEntities reads what names from web pages are full of: &amp;
func decodeEntities(name string) string {
	return entity.ReplaceAllStringFunc(name, func(e string) string {
		if decoded := html.UnescapeString(e); decoded != e {
			return decoded
		}
		return "_" + e[1:] // looks like one and is none: old services choke on it
	})
}

// safeRune maps what no name may hold: forbidden signs become _, control and direction signs go.
func safeRune(r rune) rune {
	switch {
	case strings.ContainsRune(forbidden, r):
		return '_'
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), isDirection(r), r == '\ufeff', r == utf8.RuneError:
		return -1
	}
	return r
}

// isDirection knows the signs that turn text around, with which photo‮gpj.exe looks like a picture.
func isDirection(r rune) bool {
	return r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

func trim(name string) string { return strings.TrimLeft(strings.TrimRight(name, " ."), " ") }

// split parts a name before its extension; a name without one has an empty extension.
func split(name string) (stem, extension string) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || trim(name[:dot]) == "" || units(name[dot:]) > maxExtension {
		return name, ""
	}
	return name[:dot], name[dot:]
}

// shorten cuts a name to that many units and keeps its extension.
func shorten(name string, limit int) string {
	if units(name) <= limit {
		return name
	}
	stem, extension := split(name)
	return trim(trim(firstUnits(stem, limit-units(extension))) + extension)
}

// ShortName cuts a safe name to what fits into all but the deepest folders. It keeps the extension.
func ShortName(name string) string { return shorten(name, shortName) }

// units counts as SharePoint does.
func units(s string) int { return len(utf16.Encode([]rune(s))) }

// firstUnits cuts a text to that many units, between runes.
func firstUnits(s string, limit int) string {
	for i, r := range s {
		if limit -= utf16.RuneLen(r); limit < 0 {
			return s[:i]
		}
	}
	return s
}

// NumberedName puts a number before the extension as OneDrive does itself: "tabby 2.jpg". Below 2 the name stays.
func NumberedName(name string, n int) string {
	if n < 2 {
		return name
	}
	stem, extension := split(name)
	number := " " + strconv.Itoa(n)
	return trim(firstUnits(stem, safeName-units(number+extension))) + number + extension
}

// CheckFolderName says (as an ErrBadName) why OneDrive would refuse a folder of that name.
func CheckFolderName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	switch {
	case trim(name) != name:
		return fmt.Errorf("%w: spaces at its ends or a dot at its end", ErrBadName)
	case name[0] == '~', reserved.MatchString(name) && !strings.EqualFold(name, "forms"), vti.MatchString(name):
		return fmt.Errorf("%w: reserved", ErrBadName)
	}
	return nil
}

// checkName refuses what can be no item's name anywhere, so that a name never becomes a path.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%w: empty", ErrBadName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: unreadable signs", ErrBadName)
	case strings.ContainsAny(name, forbidden):
		return fmt.Errorf("%w: one of %s", ErrBadName, forbidden)
	case units(name) > maxName:
		return fmt.Errorf("%w: longer than %d", ErrBadName, maxName)
	}
	return nil
}
