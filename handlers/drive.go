package handlers

import (
	"context"
	"errors"
	"time"

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
	return transfer.FolderOf(item), item, nil
}

// maxDepth ends the walk to the top in a drive that lies about its parents.
const maxDepth = 32

// crumbs are the folders from the top of the drive down to item. Parents that may not be seen,
// as those of a shared folder, are left out.
func crumbs(ctx context.Context, client *onedrive.Client, item onedrive.DriveItem) []transfer.Folder {
	list := []transfer.Folder{transfer.FolderOf(item)}
	for range maxDepth {
		if item.Root != nil || item.ParentReference.ID == "" {
			break
		}
		parent, err := client.Item(ctx, onedrive.Ref{DriveID: item.ParentReference.DriveID, ID: item.ParentReference.ID})
		if err != nil {
			break
		}
		item = parent
		list = append([]transfer.Folder{transfer.FolderOf(item)}, list...)
	}
	return list
}

// folderPatience is how long a save waits for OneDrive to say which folder is meant.
const folderPatience = 3 * time.Second

// target is the folder of a request. A OneDrive that asks for a pause or does not answer refuses nothing, nor
// does a sign-in that is gone: then the folder is taken as it was last known, and unseen says why.
func (h *Handler) target(ctx context.Context, client *onedrive.Client, userID string, ref onedrive.Ref) (f transfer.Folder, unseen, err error) {
	look, cancel := context.WithTimeout(ctx, folderPatience)
	defer cancel()
	f, _, err = folderAt(look, client, ref)
	late := look.Err() != nil && ctx.Err() == nil
	if err == nil || !late && !passes(err) {
		return f, nil, err
	}
	unseen = err
	p, err := h.prefs(ctx, userID)
	if err != nil {
		return f, unseen, err
	}
	for _, known := range p.known() {
		if known.Ref() == ref {
			return known, unseen, nil
		}
	}
	f = transfer.Folder{DriveID: ref.DriveID, ID: ref.ID}
	if ref.ID == "" {
		f.Name, f.Path = "OneDrive", "/"
	}
	return f, unseen, nil
}

// passes reports whether a transfer would wait for the end of what err tells of, instead of failing.
func passes(err error) bool {
	for _, kind := range []error{onedrive.ErrThrottled, onedrive.ErrUnavailable, onedrive.ErrUnauthenticated} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
