package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// childJSON is a folder in a list of folders.
type childJSON struct {
	DriveID    string `json:"driveId"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	ChildCount int    `json:"childCount"`
}

// apiFolders serves GET /api/v1/folders: a folder, the way to it, and the folders in it.
func (h *Handler) apiFolders(c echo.Context) error {
	ctx := c.Request().Context()
	ref := onedrive.Ref{DriveID: c.QueryParam("driveId"), ID: c.QueryParam("id")}
	if err := checkRef(ref); err != nil {
		return err
	}
	client, err := h.o.Client(ctx, owner(c))
	if err != nil {
		return err
	}
	here, item, err := folderAt(ctx, client, ref)
	if err != nil {
		return err
	}
	items, next, err := client.ChildrenPage(ctx, here.Ref(), c.QueryParam("cursor"))
	if err != nil {
		return err
	}
	children := []childJSON{}
	for _, item := range items {
		if item.IsFolder() && item.Package == nil {
			children = append(children, childOf(item))
		}
	}
	var way []folderJSON
	for _, f := range crumbs(ctx, client, item) {
		way = append(way, folderJSON(f))
	}
	return c.JSON(http.StatusOK, map[string]any{
		"folder": folderJSON(here), "crumbs": way, "value": children, "cursor": orNull(next),
	})
}

func childOf(item onedrive.DriveItem) childJSON {
	ref, n := item.Ref(), 0
	switch {
	case item.RemoteItem != nil && item.RemoteItem.Folder != nil:
		n = item.RemoteItem.Folder.ChildCount
	case item.Folder != nil:
		n = item.Folder.ChildCount
	}
	return childJSON{ref.DriveID, ref.ID, item.Name, n}
}

// apiNewFolder serves POST /api/v1/folders: 201 the new folder, 200 one that is there already.
func (h *Handler) apiNewFolder(c echo.Context) error {
	var in struct {
		DriveID  string `json:"driveId"`
		ParentID string `json:"parentId"`
		Name     string `json:"name"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	parent := onedrive.Ref{DriveID: in.DriveID, ID: in.ParentID}
	if checkRef(parent) != nil {
		return &apiError{code: "invalidRequest", field: "parentId", said: fields["folderId invalidRequest"]}
	}
	client, err := h.o.Client(c.Request().Context(), owner(c))
	if err != nil {
		return err
	}
	item, created, err := makeFolder(c.Request().Context(), client, parent, strings.TrimSpace(in.Name))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return c.JSON(status, folderJSON(transfer.FolderOf(item)))
}
