package onedrive

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// What can go wrong, for errors.Is. One Error is of one kind; only a refused upload-from-URL is
// ErrNativeUnavailable besides.
var (
	ErrThrottled       = errors.New("OneDrive asks to slow down")
	ErrUnavailable     = errors.New("OneDrive does not answer as it should") // passes by itself: 5xx, network, nonsense
	ErrNotFound        = errors.New("not found")
	ErrNameExists      = errors.New("the name is taken")
	ErrQuota           = errors.New("OneDrive is full")
	ErrAccessDenied    = errors.New("access denied")
	ErrUnauthenticated = errors.New("sign in again") // 401 with a fresh token too, even from the own drive
	ErrNotSupported    = errors.New("not supported")
	ErrLocked          = errors.New("locked")
	ErrMalware         = errors.New("blocked as unsafe")
	ErrModified        = errors.New("changed meanwhile")
	ErrRange           = errors.New("not the range that OneDrive waits for")
	ErrSessionGone     = errors.New("the upload session is gone")
	ErrNoDrive         = errors.New("this account has no OneDrive")
	ErrTooLarge        = errors.New("too large")
	ErrBadName         = errors.New("not a name for OneDrive")
	ErrRefused         = errors.New("OneDrive refused the request") // any other 4xx: repeating it does not help
	ErrForeignHost     = errors.New("an address that is not Microsoft's")
	ErrBadCursor       = errors.New("not a cursor of this list")

	// ErrNativeUnavailable is CreateFromURL's answer where OneDrive does not fetch URLs (any more).
	ErrNativeUnavailable = errors.New("OneDrive does not fetch URLs for this account")
	// ErrNoMonitor is a 202 or 2xx that names neither a job nor an item: something may have
	// begun, so look for the file. It is an ErrNativeUnavailable too.
	ErrNoMonitor = fmt.Errorf("accepted without a monitor: %w", ErrNativeUnavailable)
)

// IgnoredError is CreateFromURL's answer when OneDrive made an item at once, most often an empty
// one, instead of fetching the URL. It is an ErrNativeUnavailable; the item is for the caller to remove.
type IgnoredError struct{ Item DriveItem }

func (e *IgnoredError) Error() string { return "OneDrive made an item without fetching the URL" }

// Is makes it an ErrNativeUnavailable.
func (e *IgnoredError) Is(target error) bool { return target == ErrNativeUnavailable }

// Error is a call that Microsoft refused, or that did not reach it (Status 0). It holds nothing
// secret and none of Microsoft's free text: it may be logged.
type Error struct {
	Op         string        // what was tried: "create folder"
	Status     int           // HTTP status, 0 when there was no answer
	Code       string        // the deepest code that we know, else the outermost; may be empty
	Inner      []string      // all codes, outermost first
	RequestID  string        // Microsoft's request-id: what its support asks for
	ClientID   string        // our client-request-id as echoed
	RetryAfter time.Duration // 0: Microsoft did not say

	kind   error
	native bool // an ErrNativeUnavailable besides its kind
	cause  error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(": ")
	b.WriteString(e.kind.Error())
	if e.cause != nil {
		fmt.Fprintf(&b, ": %v", e.cause)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d", e.Status)
		for _, word := range []string{e.Code, e.RequestID} {
			if word != "" {
				b.WriteString(" " + word)
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

// Is reports the kind of the error.
func (e *Error) Is(target error) bool {
	return target == e.kind || e.native && target == ErrNativeUnavailable
}

// Unwrap gives what lies below: a network error.
func (e *Error) Unwrap() error { return e.cause }

// newError makes the error of an answer that is no success.
func newError(op string, a answer) *Error {
	codes, message := parseEnvelope(a.body)
	e := &Error{
		Op: op, Status: a.status, Inner: codes,
		RequestID: word(a.header.Get("request-id")), ClientID: word(a.header.Get("client-request-id")),
		RetryAfter: RetryAfter(a.header, time.Now()),
	}
	e.Code, e.kind = deepest(codes)
	if e.kind == nil || noDrive(message) || decides(a) || stumbles(a) {
		e.kind = kindOfStatus(a, message)
	}
	return e
}

// decides reports a status that has one meaning whatever the code says: OneDrive calls a file that is
// open elsewhere accessDenied (423), a version that is gone notAllowed (412) and a busy service
// serviceNotAvailable (503 with a time to wait).
// https://github.com/OneDrive/onedrive-api-docs/issues/912 · 514 · 1165
func decides(a answer) bool {
	switch a.status {
	case http.StatusPreconditionFailed, http.StatusLocked, http.StatusTooManyRequests, http.StatusInsufficientStorage, bandwidthExceeded:
		return true
	}
	return busy(a)
}

// busy reports a 503 that says when to come again: throttling by another name.
func busy(a answer) bool {
	return a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != ""
}

const bandwidthExceeded = 509 // SharePoint's own

// envelope is Graph's error body. The inner one is spelled innerError or innererror, which
// encoding/json takes as the same.
type envelope struct {
	Code       any       `json:"code"`
	Message    any       `json:"message"`
	InnerError *envelope `json:"innerError"`
}

// parseEnvelope gives the codes of an error body, outermost first, and its message. A body that
// is empty, HTML or anything else has none.
func parseEnvelope(body []byte) (codes []string, message string) {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	var e envelope
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer.Error, &e) != nil {
		return nil, ""
	}
	message, _ = e.Message.(string)
	for inner := &e; inner != nil && len(codes) < 16; inner = inner.InnerError {
		if code, _ := inner.Code.(string); word(code) != "" {
			codes = append(codes, word(code))
		}
	}
	return codes, message
}

var wordPattern = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,100}$`)

// word lets through what a code or an id of Microsoft looks like, and nothing else: these reach logs and pages.
func word(s string) string {
	if wordPattern.MatchString(s) {
		return s
	}
	return ""
}

// kindOfCode is what the codes of §5.5 mean, in lower case. A code whose meaning hangs on the
// status (generalException, invalidRequest) is not here.
// https://learn.microsoft.com/graph/errors · https://learn.microsoft.com/onedrive/developer/rest-api/concepts/errors
var kindOfCode = map[string]error{
	"accessdenied": ErrAccessDenied, "accessrestricted": ErrAccessDenied,
	"activitylimitreached": ErrThrottled, "throttledrequest": ErrThrottled, "toomanyrequests": ErrThrottled,
	"itemnotfound": ErrNotFound, "notfound": ErrNotFound,
	"namealreadyexists": ErrNameExists, "upload_name_conflict": ErrNameExists, "uploadnameconflict": ErrNameExists,
	"quotalimitreached": ErrQuota, "insufficientstorage": ErrQuota,
	"invalidauthenticationtoken": ErrUnauthenticated, "unauthenticated": ErrUnauthenticated,
	"notallowed": ErrNotSupported, "notsupported": ErrNotSupported,
	"resourcelocked": ErrLocked, "lockmismatch": ErrLocked, "locknotfoundoralreadyexpired": ErrLocked,
	"malwaredetected": ErrMalware, "virussuspicious": ErrMalware,
	"resourcemodified": ErrModified, "entitytagdoesnotmatch": ErrModified, "preconditionfailed": ErrModified,
	"invalidrange": ErrRange, "fragmentoverlap": ErrRange, "fragmentoutoforder": ErrRange, "fragmentlengthmismatch": ErrRange,
	"uploadsessionnotfound": ErrSessionGone, "uploadsessionfailed": ErrSessionGone,
	"provisioningnotallowed": ErrNoDrive, "resourcebeingprovisioned": ErrNoDrive,
	"maxfilesizeexceeded": ErrTooLarge, "maxstreamsizeexceeded": ErrTooLarge, "maxfragmentlengthexceeded": ErrTooLarge,
	"pathistoolong": ErrBadName, "pathtoodeep": ErrBadName, "invalidpath": ErrBadName, "invalidname": ErrBadName, "parameteristoolong": ErrBadName,
	"servicenotavailable": ErrUnavailable, "servicereadonly": ErrUnavailable,
}

// deepest gives the innermost code that we know and its kind, else the outermost code.
func deepest(codes []string) (string, error) {
	for i := len(codes) - 1; i >= 0; i-- {
		if kind := kindOfCode[strings.ToLower(codes[i])]; kind != nil {
			return codes[i], kind
		}
	}
	if len(codes) == 0 {
		return "", nil
	}
	return codes[0], nil
}

// kindOfStatus is the meaning of an answer whose codes say nothing.
func kindOfStatus(a answer, message string) error {
	switch {
	case noDrive(message):
		return ErrNoDrive
	case stumbles(a):
		return ErrUnavailable
	case busy(a):
		return ErrThrottled
	case a.status >= 300 && a.status < 400:
		return ErrForeignHost // Graph answers no call of ours with a redirect
	}
	if kind := kindOf[a.status]; kind != nil {
		return kind
	}
	if a.status >= 400 && a.status < 500 {
		return ErrRefused
	}
	return ErrUnavailable
}

var kindOf = map[int]error{
	http.StatusUnauthorized:                 ErrUnauthenticated,
	http.StatusForbidden:                    ErrAccessDenied,
	http.StatusNotFound:                     ErrNotFound,
	http.StatusMethodNotAllowed:             ErrNotSupported,
	http.StatusRequestTimeout:               ErrUnavailable,
	http.StatusGone:                         ErrNotFound,
	http.StatusPreconditionFailed:           ErrModified,
	http.StatusRequestEntityTooLarge:        ErrTooLarge,
	http.StatusRequestedRangeNotSatisfiable: ErrRange,
	http.StatusLocked:                       ErrLocked,
	http.StatusTooManyRequests:              ErrThrottled,
	http.StatusNotImplemented:               ErrNotSupported,
	http.StatusInsufficientStorage:          ErrQuota,
	bandwidthExceeded:                       ErrThrottled,
}

// noDrive knows the one case that has no code of its own: a work account without OneDrive is
// told so in words only (OneDrive/onedrive-api-docs issues 1773 and 530).
func noDrive(message string) bool {
	message = strings.ToLower(message)
	return strings.Contains(message, "spo license") || strings.Contains(message, "mysite not found")
}

// stumbles knows the 401 that says nothing of the token: Microsoft's own check of it is out of order for a
// moment (OneDrive/onedrive-api-docs issue 1489). It has no code of its own either.
func stumbles(a answer) bool {
	if a.status != http.StatusUnauthorized {
		return false
	}
	_, message := parseEnvelope(a.body)
	return strings.Contains(strings.ToLower(message), "unable to initialize rps")
}

// networkError is a call without an answer.
func networkError(outer, inner context.Context, op string, stream *streamedBody, err error) error {
	switch {
	case outer.Err() != nil:
		return fmt.Errorf("%s: %w", op, context.Cause(outer))
	case stream.sourceError() != nil:
		return fmt.Errorf("%s: reading the content: %w", op, stream.sourceError())
	case inner.Err() != nil:
		err = context.Cause(inner)
	}
	if errors.Is(err, ErrForeignHost) {
		return &Error{Op: op, kind: ErrForeignHost} // without the cause: it tells where a name leads inside
	}
	return &Error{Op: op, kind: ErrUnavailable, cause: harmless(err)}
}

// harmless lets through the network errors that tell hosts and reasons only. net/http's own quote
// addresses and bytes of the answer, which can be keys.
func harmless(err error) error {
	for _, plain := range []error{errTooSlow, errStalled, errNoRewind, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
		if errors.Is(err, plain) {
			return plain
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	return errBroken
}

var errNotJSON = errors.New("the answer is not the JSON that was expected")

var errBroken = errors.New("the connection broke or what came is not HTTP")
