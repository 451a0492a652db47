package onedrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// CreateFromURL asks OneDrive to fetch the source by itself and gives the job's monitor. It makes
// one POST and never a second: there is no idempotency key, so after an unclear answer
// (ErrUnavailable, a network error, ErrNoMonitor, ErrForeignHost) look for the file first.
// (Only a 401 is followed by one more with a new token: it was refused before anything began.)
//
// Any answer that says "not here" is an ErrNativeUnavailable besides its own kind.
// https://learn.microsoft.com/onedrive/developer/rest-api/api/driveitem_upload_url (retired)
func (c *Client) CreateFromURL(ctx context.Context, parent Ref, name string, source *url.URL, b ConflictBehavior) (SecretURL, error) {
	const op = "save from URL"
	path, err := parent.path()
	if err != nil {
		return "", err
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	if source.User != nil || source.Host == "" || source.Scheme != "http" && source.Scheme != "https" {
		return "", fmt.Errorf("%s: %w: OneDrive cannot reach it", op, ErrNotSupported)
	}
	a, err := c.do(ctx, request{op: op, method: http.MethodPost, path: append(path, "children"),
		header: http.Header{"Prefer": {"respond-async"}}, // without it the request is dropped
		body: map[string]any{
			"@microsoft.graph.sourceUrl":        source.String(),
			"name":                              name,
			"file":                              struct{}{}, // says that it is a file
			"@microsoft.graph.conflictBehavior": b.orFail(),
		}}, nil)
	if e, ok := errors.AsType[*Error](err); ok {
		e.native = refusesNative(e)
	}
	if err != nil {
		return "", err
	}
	return c.g.monitorOf(op, path, a)
}

// refusesNative knows the answers that mean "not for this account" (microsoft.md §0): a 4xx or 501
// that is neither about the name, the room, the sign-in nor the pace.
func refusesNative(e *Error) bool {
	switch e.kind {
	case ErrNameExists, ErrBadName, ErrQuota, ErrUnauthenticated, ErrThrottled, ErrLocked, ErrMalware, ErrNoDrive, ErrTooLarge:
		return false
	}
	switch e.Status {
	case 400, 403, 404, 405, 409, 410, 415, 422, 501:
		return true
	}
	return e.kind == ErrNotSupported
}

// monitorOf reads what a 2xx answer promises.
func (g *Graph) monitorOf(op string, path []string, a answer) (SecretURL, error) {
	location := a.header.Get("Location")
	if a.status != http.StatusAccepted || location == "" {
		var item DriveItem
		if json.Unmarshal(a.body, &item) == nil && item.ID != "" {
			return "", &IgnoredError{item}
		}
		return "", fmt.Errorf("%s: %w", op, ErrNoMonitor)
	}
	asked, err := g.address(request{path: path})
	if err != nil {
		return "", err
	}
	monitor, err := g.hosts.secret(asked, location)
	if err != nil {
		return "", &Error{Op: op, Status: a.status, RequestID: word(a.header.Get("request-id")), kind: ErrForeignHost}
	}
	return monitor, nil
}

// orFail makes "fail" of the zero value: nothing is replaced that nobody asked to replace.
func (b ConflictBehavior) orFail() ConflictBehavior {
	if b == "" {
		return Fail
	}
	return b
}
