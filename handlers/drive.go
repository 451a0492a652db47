package handlers

import (
	"context"
	"net/url"
	"strings"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// folderAt looks a folder up and names it as people know it. A file in its place is not found.
func folderAt(ctx context.Context, client *onedrive.Client, ref onedrive.Ref) (transfer.Folder, onedrive.DriveItem, error) {
	item, err := client.Item(ctx, ref)
	if err != nil {
		return transfer.Folder{}, item, err
	}
	if !item.IsFolder() && item.Root == nil {
		return transfer.Folder{}, item, bad("folderNotFound")
	}
	return folderOf(item), item, nil
}

// folderOf names a DriveItem that is a folder.
func folderOf(item onedrive.DriveItem) transfer.Folder {
	ref := item.Ref()
	f := transfer.Folder{DriveID: ref.DriveID, ID: ref.ID, Name: item.Name, Path: pathOf(item)}
	if item.Root != nil {
		f.Name, f.Path = "OneDrive", "/"
	}
	return f
}

// pathOf is where an item lies, from the top of its drive: "/Pictures/Cats".
func pathOf(item onedrive.DriveItem) string {
	_, parent, found := strings.Cut(item.ParentReference.Path, "root:")
	if !found {
		return "/" + item.Name
	}
	if plain, err := url.PathUnescape(parent); err == nil {
		parent = plain
	}
	return strings.TrimSuffix(parent, "/") + "/" + item.Name
}

// maxDepth ends the walk to the top in a drive that lies about its parents.
const maxDepth = 32

// crumbs are the folders from the top of the drive down to item. Parents that may not be seen,
// as those of a shared folder, are left out.
func crumbs(ctx context.Context, client *onedrive.Client, item onedrive.DriveItem) []transfer.Folder {
	list := []transfer.Folder{folderOf(item)}
	for range maxDepth {
		if item.Root != nil || item.ParentReference.ID == "" {
			break
		}
		parent, err := client.Item(ctx, onedrive.Ref{DriveID: item.ParentReference.DriveID, ID: item.ParentReference.ID})
		if err != nil {
			break
		}
		item = parent
		list = append([]transfer.Folder{folderOf(item)}, list...)
	}
	return list
}

// resolveFolder is the folder of a request: the one named, else the default one, else the top.
func (h *Handler) resolveFolder(ctx context.Context, client *onedrive.Client, userID string, ref onedrive.Ref) (transfer.Folder, error) {
	if err := checkRef(ref); err != nil {
		return transfer.Folder{}, err
	}
	if ref == (onedrive.Ref{}) {
		p, err := h.prefs(ctx, userID)
		if err != nil {
			return transfer.Folder{}, err
		}
		if p.Folder != nil {
			ref = p.Folder.Ref()
		}
	}
	f, _, err := folderAt(ctx, client, ref)
	return f, err
}
