package onedrive

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
)

// itemFields is what is asked of each item: nothing that Skylift does not read.
const itemFields = "id,name,size,webUrl,eTag,cTag,createdDateTime,lastModifiedDateTime,parentReference,file,folder,image,package,remoteItem,root"

// Item looks an item up by its id.
// https://learn.microsoft.com/graph/api/driveitem-get
func (c *Client) Item(ctx context.Context, ref Ref) (DriveItem, error) {
	path, err := ref.path()
	if err != nil {
		return DriveItem{}, err
	}
	return c.item(ctx, "read item", path)
}

// Child looks up the child of that name, which OneDrive compares without case. ErrNotFound: there is none.
func (c *Client) Child(ctx context.Context, parent Ref, name string) (DriveItem, error) {
	path, err := parent.childPath(name)
	if err != nil {
		return DriveItem{}, err
	}
	return c.item(ctx, "look for name", path)
}

// Special looks up a special folder: documents, photos, approot … OneDrive makes it when it is missing.
// https://learn.microsoft.com/graph/api/drive-get-specialfolder
func (c *Client) Special(ctx context.Context, name string) (DriveItem, error) {
	if !validID(name) {
		return DriveItem{}, ErrBadName
	}
	return c.item(ctx, "read special folder", []string{"me", "drive", "special", name})
}

func (c *Client) item(ctx context.Context, op string, path []string) (item DriveItem, err error) {
	_, err = c.do(ctx, request{op: op, method: http.MethodGet, path: path, query: url.Values{"$select": {itemFields}}}, &item)
	return item, mustBeItem(op, item, err)
}

// mustBeItem is the call's error, or that its 2xx answer holds no item.
func mustBeItem(op string, item DriveItem, err error) error {
	if err == nil && item.ID == "" {
		return &Error{Op: op, Status: http.StatusOK, kind: ErrUnavailable, cause: errors.New("the answer is no item")}
	}
	return err
}

// Delete moves an item to the recycle bin. With an eTag it does so only while the item is still
// that version: ErrModified otherwise.
// https://learn.microsoft.com/graph/api/driveitem-delete
func (c *Client) Delete(ctx context.Context, ref Ref, eTag string) error {
	if ref.ID == "" {
		return fmt.Errorf("delete item: %w: a root stays", ErrBadName)
	}
	path, err := ref.path()
	if err != nil {
		return err
	}
	header := http.Header{}
	if eTag != "" {
		header.Set("If-Match", eTag)
	}
	_, err = c.do(ctx, request{op: "delete item", method: http.MethodDelete, path: path, header: header}, nil)
	return err
}

var thumbnailPattern = regexp.MustCompile(`^(small|medium|large)(Square)?$|^c[0-9]{1,4}x[0-9]{1,4}(_Crop)?$`)

// Thumbnail gives the address of an item's preview: small, medium, large, a Square of these, or
// c{width}x{height}. It is pre-authenticated and short-lived. ErrNotFound: there is none (yet).
// https://learn.microsoft.com/graph/api/driveitem-list-thumbnails
func (c *Client) Thumbnail(ctx context.Context, ref Ref, size string) (string, error) {
	path, err := ref.path()
	if err != nil {
		return "", err
	}
	if !thumbnailPattern.MatchString(size) {
		return "", fmt.Errorf("thumbnail: %w", ErrNotSupported)
	}
	var thumbnail struct {
		URL string `json:"url"`
	}
	if _, err = c.do(ctx, request{op: "thumbnail", method: http.MethodGet, path: append(path, "thumbnails", "0", size)}, &thumbnail); err != nil {
		return "", err
	}
	if thumbnail.URL == "" {
		return "", fmt.Errorf("thumbnail: %w", ErrNotFound)
	}
	return thumbnail.URL, nil
}
