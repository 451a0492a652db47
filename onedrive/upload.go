package onedrive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Sizes of uploads, in bytes.
// https://learn.microsoft.com/graph/api/driveitem-createuploadsession
const (
	FragmentUnit    = 320 << 10 // every fragment but the last ends at a multiple of it
	MaxPut          = 4 << 20   // up to here one PUT is sure to be taken
	DefaultFragment = 10 << 20
	maxFragment     = 60<<20 - 1 // a request must be smaller than 60 MiB
)

// PutContent makes a file of size bytes in one request. A body that ends early or fails gives
// the source's own error; a body that is also an io.Seeker survives a token that ran out. Its
// Read must return soon after ctx ends.
// https://learn.microsoft.com/graph/api/driveitem-put-content
func (c *Client) PutContent(ctx context.Context, parent Ref, name string, b ConflictBehavior, contentType string, size int64, body io.Reader) (item DriveItem, err error) {
	path, err := parent.childPath(name, "content")
	if err != nil {
		return DriveItem{}, err
	}
	if size < 0 {
		return DriveItem{}, errors.New("upload file: the size must be known")
	}
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	_, err = c.do(ctx, request{op: "upload file", method: http.MethodPut, path: path,
		query:  url.Values{"@microsoft.graph.conflictBehavior": {string(b.orFail())}}, // in the body of all other calls
		header: http.Header{"Content-Type": {contentType}},
		stream: newStreamedBody(body, size)}, &item)
	return item, named(mustBeItem("upload file", item, err))
}

// UploadSession is where the bytes of a large file go.
type UploadSession struct {
	URL     SecretURL
	Expires time.Time // zero: not said
	Next    int64     // the first byte that OneDrive misses; -1: it names none
}

// sessionBody is an upload session on the wire.
type sessionBody struct {
	UploadURL          string    `json:"uploadUrl"`
	ExpirationDateTime time.Time `json:"expirationDateTime"`
	NextExpectedRanges []string  `json:"nextExpectedRanges"`
}

// next is the first byte that is missing; the list is neither sorted nor complete.
func (s sessionBody) next() int64 {
	next := int64(-1)
	for _, r := range s.NextExpectedRanges {
		first, _, _ := strings.Cut(r, "-")
		if n, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64); err == nil && n >= 0 && (next < 0 || n < next) {
			next = n
		}
	}
	return next
}

// CreateUploadSession begins the upload of a large file. Store the URL before sending anything, and
// CancelUpload what is given up: OneDrive keeps the bytes otherwise.
// https://learn.microsoft.com/graph/api/driveitem-createuploadsession
func (c *Client) CreateUploadSession(ctx context.Context, parent Ref, name string, b ConflictBehavior) (UploadSession, error) {
	const op = "create upload session"
	path, err := parent.childPath(name, "createUploadSession")
	if err != nil {
		return UploadSession{}, err
	}
	// No fileSize: personal drives refuse it for a name that exists.
	body := map[string]any{"item": map[string]any{"@microsoft.graph.conflictBehavior": b.orFail(), "name": name}}
	var s sessionBody
	a, err := c.do(ctx, request{op: op, method: http.MethodPost, path: path, body: body}, &s)
	if err != nil {
		return UploadSession{}, named(err)
	}
	upload, err := c.g.hosts.secret(&url.URL{}, s.UploadURL)
	if err != nil {
		return UploadSession{}, &Error{Op: op, Status: a.status, RequestID: word(a.header.Get("request-id")), kind: ErrForeignHost}
	}
	return UploadSession{URL: upload, Expires: s.ExpirationDateTime, Next: max(s.next(), 0)}, nil
}

// UploadStatus asks how far a session is. ErrSessionGone: expired, cancelled or complete; in doubt look for the file.
func (c *Client) UploadStatus(ctx context.Context, u SecretURL) (UploadSession, error) {
	var s sessionBody
	const op = "ask upload session"
	a, err := c.session(ctx, bareRequest{op: op, method: http.MethodGet, url: u}, nil)
	if err != nil {
		return UploadSession{}, err
	}
	if json.Unmarshal(a.body, &s) != nil {
		return UploadSession{}, &Error{Op: op, Status: a.status, kind: ErrUnavailable, cause: errNotJSON}
	}
	return UploadSession{URL: u, Expires: s.ExpirationDateTime, Next: s.next()}, nil
}

// FragmentAnswer is what OneDrive says to a fragment.
type FragmentAnswer struct {
	Item    *DriveItem // the finished file, after the last fragment
	Next    int64      // the first byte that is missing; the total once the file is complete
	Expires time.Time  // when the session ends; zero: not said
}

// PutFragment sends the bytes of a file that begin at offset. Complete is an answer whose Next is
// the total; should its Item be nil all the same, look the file up. After ErrRange ask
// UploadStatus; after ErrSessionGone begin a new session; ErrNameExists can come with any fragment.
func (c *Client) PutFragment(ctx context.Context, u SecretURL, offset, total int64, fragment []byte) (FragmentAnswer, error) {
	return c.PutFragmentFrom(ctx, u, offset, total, int64(len(fragment)), bytes.NewReader(fragment))
}

// PutFragmentFrom is PutFragment for size bytes that are read while they are sent. A body that ends
// early or fails gives the source's own error, and its Read must return soon after ctx ends.
func (c *Client) PutFragmentFrom(ctx context.Context, u SecretURL, offset, total, size int64, body io.ReadSeeker) (FragmentAnswer, error) {
	const op = "upload fragment"
	end := offset + size
	if size <= 0 || size > maxFragment || offset < 0 || end > total || end < total && end%FragmentUnit != 0 {
		return FragmentAnswer{}, fmt.Errorf("%s: %w", op, ErrRange)
	}
	header := http.Header{
		"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", offset, end-1, total)},
		"Content-Type":  {"application/octet-stream"},
	}
	stream := newStreamedBody(body, size)
	var answer struct {
		sessionBody
		ID string `json:"id"`
	}
	a, err := c.session(ctx, bareRequest{op: op, method: http.MethodPut, url: u, header: header, stream: stream}, &answer)
	if err != nil {
		return FragmentAnswer{}, named(err)
	}
	if a.status == http.StatusAccepted {
		next := answer.next()
		if next < 0 {
			next = end
		}
		return FragmentAnswer{Next: next, Expires: answer.ExpirationDateTime}, nil
	}
	var item DriveItem
	if answer.ID == "" || json.Unmarshal(a.body, &item) != nil {
		return FragmentAnswer{Next: total}, nil
	}
	return FragmentAnswer{Item: &item, Next: total}, nil
}

// CancelUpload throws a session and its bytes away. One that is gone already is no error.
func (c *Client) CancelUpload(ctx context.Context, u SecretURL) error {
	_, err := c.session(ctx, bareRequest{op: "cancel upload session", method: http.MethodDelete, url: u}, nil)
	if errors.Is(err, ErrSessionGone) {
		return nil
	}
	return err
}

// session makes one call to an upload URL. There, 401 and 403 mean that the key inside the URL has
// run out, which it does before the session ends.
func (c *Client) session(ctx context.Context, r bareRequest, into any) (answer, error) {
	a, err := c.g.callBare(ctx, r, maxAnswer)
	if err != nil {
		return answer{}, err
	}
	if a.status >= 200 && a.status < 300 {
		if into != nil {
			json.Unmarshal(a.body, into) // an unreadable body of a 2xx is the caller's to judge by the zero value
		}
		return a, nil
	}
	e := newError(r.op, a)
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		if e.kind == ErrUnauthenticated || e.kind == ErrAccessDenied || e.kind == ErrNotFound {
			e.kind = ErrSessionGone
		}
	}
	return a, e
}

// named makes a clash of a 409 without a code that says otherwise: these calls can clash by nothing else.
func named(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusConflict && e.kind == ErrRefused {
		e.kind = ErrNameExists
	}
	return err
}
