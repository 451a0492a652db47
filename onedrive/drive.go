package onedrive

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// Drive is Graph's drive, cut down to what Skylift reads.
// https://learn.microsoft.com/graph/api/resources/drive
type Drive struct {
	ID        string      `json:"id"`
	DriveType string      `json:"driveType"` // personal, business or documentLibrary
	WebURL    string      `json:"webUrl"`
	Owner     IdentitySet `json:"owner"`
	Quota     *Quota      `json:"quota"` // nil: unknown, which is not the same as full
}

// IdentitySet is who owns a drive.
type IdentitySet struct {
	User  *Identity `json:"user"`
	Group *Identity `json:"group"`
}

// Identity is a person, group or application.
type Identity struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
}

// Quota is how much room a drive has, in bytes.
type Quota struct {
	Total     int64  `json:"total"`
	Used      int64  `json:"used"`
	Remaining *int64 `json:"remaining"` // nil: not said
	State     string `json:"state"`     // normal, nearing, critical, exceeded
}

// Personal reports whether the drive is a consumer's, the only kind that fetches URLs by itself.
func (d Drive) Personal() bool { return d.DriveType == "personal" }

// Full reports that a file of that size has no room. What is not said, and a work drive's plain zero,
// means nothing: the upload itself will tell.
func (d Drive) Full(size int64) bool {
	if d.Quota == nil || d.Quota.Remaining == nil {
		return false
	}
	left := *d.Quota.Remaining
	return left < size && (left != 0 || d.Personal() || d.Quota.State == "exceeded")
}

// Drive looks a drive up; the empty id is the person's own. ErrNoDrive: the account has none.
// https://learn.microsoft.com/graph/api/drive-get
func (c *Client) Drive(ctx context.Context, driveID string) (Drive, error) {
	path, err := Ref{DriveID: driveID}.path()
	if err != nil {
		return Drive{}, err
	}
	var d Drive
	_, err = c.do(ctx, request{op: "read drive", method: http.MethodGet, path: path[:2], // without /root
		query: url.Values{"$select": {"id,driveType,owner,quota,webUrl"}}}, &d)
	if e, ok := errors.AsType[*Error](err); ok && driveID == "" && (e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest) {
		e.kind = ErrNoDrive // the call has nothing else that could be wrong with it
	}
	if d.Quota != nil && d.Quota.Total == 0 {
		d.Quota = nil // hidden by an administrator
	}
	return d, err
}
