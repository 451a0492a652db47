package transfer

import (
	"mime"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"skylift/onedrive"
)

// The bounds of a Request. Longer page titles and alternative texts are cut, everything else is refused.
const (
	MaxURL    = 2048              // characters of a source URL
	MaxInline = 384 << 10         // bytes that a data: URL may hold; they travel in the transfer's record
	maxName   = 1024              // bytes of a name before it is made safe
	maxText   = 500               // runes of a page title or an alternative text
	maxSize   = 250 << 30         // bytes: OneDrive's largest file
	maxDataIn = 3*MaxInline + 256 // characters of a data: URL, every byte percent-encoded
)

// Request is what somebody asks to be saved: the transfer request of the JSON API.
type Request struct {
	SourceURL        string                    `json:"sourceUrl"`
	Name             string                    `json:"name"`
	FolderID         string                    `json:"folderId"`
	DriveID          string                    `json:"driveId"`
	ConflictBehavior onedrive.ConflictBehavior `json:"conflictBehavior"`
	Route            Route                     `json:"route"` // Upload or empty
	Size             *int64                    `json:"size"`
	ContentType      string                    `json:"contentType"`
	PageURL          string                    `json:"pageUrl"`
	PageTitle        string                    `json:"pageTitle"`
	AltText          string                    `json:"altText"`

	// Folder is the target as people know it; the handler fills it in when it has looked the
	// folder up. Without it FolderID and DriveID are the target.
	Folder Folder `json:"-"`
	// FindFolder says that Folder could not be looked up now: the transfer does it before anything else.
	FindFolder bool `json:"-"`
	// SameSource says that SourceURL is that of a transfer which begins anew, and was judged when that was
	// accepted. Of a data: URL it is no more than the type.
	SameSource bool `json:"-"`
}

// RequestError says which field of a Request cannot be taken. Code is one of the API's.
type RequestError struct {
	Field string // JSON name of the field
	Code  string // sourceRefused, sourceTooLarge, emptyFile or invalidRequest
}

func (e *RequestError) Error() string { return "transfer: " + e.Field + ": " + e.Code }

// The codes of the API that a transfer can fail with when Graph gave none itself.
const (
	codeSourceRefused          = "sourceRefused"
	codeSourceUnreachable      = "sourceUnreachable" // nobody is there to connect to
	codeSourceInsecure         = "sourceInsecure"    // its certificate or its TLS
	codeSourceTooManyRedirects = "sourceTooManyRedirects"
	codeSourceTooManyRequests  = "sourceTooManyRequests" // of ours, it says
	codeSourceHotlinkRefused   = "sourceHotlinkRefused"  // another picture came
	codeSourceNotFound         = "sourceNotFound"
	codeSourceUnauthorized     = "sourceUnauthorized"
	codeSourceUnavailable      = "sourceUnavailable"
	codeSourceTooSlow          = "sourceTooSlow"
	codeSourceTooLarge         = "sourceTooLarge"
	codeSourceNotAFile         = "sourceNotAFile"
	codeSourceIncomplete       = "sourceIncomplete" // it broke off
	codeEmptyFile              = "emptyFile"
	codeSizeMismatch           = "sizeMismatch"
	codeTimedOut               = "timedOut"
	codeClientBytesMissing     = "clientBytesMissing"
	codeSignInRequired         = "signInRequired"
	codeInvalidRequest         = "invalidRequest"
	codeInternal               = "internal"
	codeOneDriveFault          = "generalException" // Graph's own word for what it has no word for
)

// Validate makes r complete (trimmed, defaults filled in) or says which field is wrong with a
// *RequestError. It looks at the form only; Source.Check judges where the URL points.
func (r *Request) Validate() error {
	r.SourceURL = strings.TrimSpace(r.SourceURL)
	r.Name = strings.TrimSpace(r.Name)
	r.PageTitle, r.AltText = cutText(r.PageTitle), cutText(r.AltText)
	r.PageURL = pageURL(r.PageURL)
	r.ContentType = mediaType(r.ContentType)
	if r.ConflictBehavior == "" {
		r.ConflictBehavior = onedrive.Rename
	}
	if err := r.validateSource(); err != nil {
		return err
	}
	switch r.ConflictBehavior {
	case onedrive.Fail, onedrive.Replace, onedrive.Rename:
	default:
		return &RequestError{"conflictBehavior", codeInvalidRequest}
	}
	for _, f := range []struct {
		name string
		ok   bool
	}{
		{"name", len(r.Name) <= maxName && utf8.ValidString(r.Name)},
		{"folderId", r.FolderID == "" || graphID.MatchString(r.FolderID)},
		{"driveId", r.DriveID == "" || graphID.MatchString(r.DriveID)},
		{"size", r.Size == nil || *r.Size >= 0},
	} {
		if !f.ok {
			return &RequestError{f.name, codeInvalidRequest}
		}
	}
	switch {
	case r.Size == nil:
	case *r.Size > maxSize:
		return &RequestError{"size", codeSourceTooLarge}
	case *r.Size == 0 && r.Route == Upload:
		return &RequestError{"size", codeEmptyFile}
	}
	return nil
}

// graphID is what a drive or item id may look like: ids end up in the paths of Graph requests.
var graphID = regexp.MustCompile(`^[A-Za-z0-9!._-]{1,128}$`)

func (r *Request) validateSource() error {
	if r.SameSource {
		return nil
	}
	switch r.Route {
	case Upload:
		// The bytes come from the client: blob:, data: and addresses behind a login only say where from.
		u, err := ParseSourceURL(r.SourceURL)
		if err != nil {
			r.SourceURL = ""
			return nil
		}
		r.SourceURL = u.String()
		return nil
	case "":
	default:
		return &RequestError{"route", codeInvalidRequest}
	}
	if isDataURL(r.SourceURL) {
		_, data, err := decodeDataURL(r.SourceURL)
		switch {
		case err != nil:
			return err
		case len(data) == 0:
			return &RequestError{"sourceUrl", codeEmptyFile}
		}
		return nil
	}
	u, err := ParseSourceURL(r.SourceURL)
	if err != nil {
		return err
	}
	r.SourceURL = u.String()
	return nil
}

// NewTransfer is the record that a valid request of owner becomes; id, times and revision are the store's.
// The bytes of a data: URL move into Work, so that no list or event carries them.
func (r Request) NewTransfer(owner string) Transfer {
	t := Transfer{
		Owner: owner, State: NotStarted, Route: r.Route,
		SourceURL: r.SourceURL, PageURL: r.PageURL, PageTitle: r.PageTitle, AltText: r.AltText,
		Name: r.Name, NameGiven: r.Name != "", Folder: r.Folder,
		ConflictBehavior: r.ConflictBehavior, ContentType: r.ContentType, Size: r.Size,
	}
	if t.Folder.ID == "" {
		t.Folder.ID, t.Folder.DriveID = r.FolderID, r.DriveID
	}
	t.Work.FindFolder = r.FindFolder
	if r.Route != Upload && isDataURL(r.SourceURL) {
		if typ, data, err := decodeDataURL(r.SourceURL); err == nil {
			size := int64(len(data))
			t.SourceURL, t.ContentType, t.Size = "data:"+typ, typ, &size
			t.Work.Inline = data
		}
	}
	if t.Name == "" {
		t.Name = nameFromAddress(t.SourceURL, t.ContentType)
	}
	return t
}

// ParseSourceURL parses the address of something to save, or refuses it with a *RequestError:
// http and https only, no user information, at most MaxURL characters, a host that means the same
// to everybody. It rejects and never repairs; what it returns prints to an address that parses to
// the same value. Where the host points is not its business: that is judged when it is dialled.
func ParseSourceURL(s string) (*url.URL, error) {
	refused := &RequestError{"sourceUrl", codeSourceRefused}
	if s == "" || len(s) > MaxURL || !utf8.ValidString(s) || strings.ContainsFunc(s, oddInURL) {
		return nil, refused
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, refused
	}
	host, ok := sourceHost(u.Hostname())
	if !ok {
		return nil, refused
	}
	port := u.Port()
	if port == "" && strings.HasSuffix(u.Host, ":") {
		return nil, refused
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return nil, refused
		}
		host += ":" + port
	}
	u.Host, u.Fragment, u.RawFragment = host, "", ""
	if again, err := url.Parse(u.String()); err != nil || len(u.String()) > MaxURL || again.String() != u.String() {
		return nil, refused
	}
	return u, nil
}

// oddInURL reports characters that parsers disagree about, or that hide what a URL is.
func oddInURL(r rune) bool {
	return r == '\\' || r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) ||
		r != ' ' && unicode.IsSpace(r)
}

// sourceHost is host in ASCII as a resolver takes it, IPv6 in brackets. Zones, short, octal and
// hexadecimal spellings of addresses and names that no resolver should see are not ok.
func sourceHost(host string) (string, bool) {
	if strings.Contains(host, ":") {
		a, err := netip.ParseAddr(host)
		if err != nil || a.Zone() != "" {
			return "", false
		}
		return "[" + a.String() + "]", true
	}
	name := strings.ToLower(host)
	foreign := strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf })
	if foreign {
		var err error
		if name, err = idna.Lookup.ToASCII(host); err != nil {
			return "", false
		}
	}
	if name == "" || len(name) > 253 || strings.Contains(name, "..") || strings.HasPrefix(name, ".") {
		return "", false
	}
	for _, c := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._", c) {
			return "", false
		}
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	if last := labels[len(labels)-1]; numeric(last) {
		a, err := netip.ParseAddr(name)
		return name, err == nil && a.Is4() && !foreign // full-width digits are a disguise
	}
	return name, true
}

// numeric reports a last label that some parsers read as (part of) an IPv4 address.
// https://url.spec.whatwg.org/#ends-in-a-number-checker
func numeric(label string) bool {
	if rest, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func isDataURL(s string) bool { return len(s) >= 5 && strings.EqualFold(s[:5], "data:") }

// pageURL is the page a thing was found on, without fragment; "" when it is not an address that
// may be kept. It is only a note and a Referer, so a bad one spoils nothing.
func pageURL(s string) string {
	u, err := ParseSourceURL(strings.TrimSpace(s))
	if err != nil {
		return ""
	}
	return u.String()
}

// mediaType is a content type without parameters, "" when it makes no sense.
func mediaType(s string) string {
	typ, _, err := mime.ParseMediaType(s)
	if err != nil && typ == "" || strings.Count(typ, "/") != 1 {
		return ""
	}
	return typ
}

// cutText is s on one line, without control characters, at most maxText runes.
func cutText(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxText {
		s = string(runes[:maxText])
	}
	return s
}
