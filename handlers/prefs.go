package handlers

import (
	"context"
	"slices"
	"strings"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// prefs are what a person chose, and the folders that they saved into last.
type prefs struct {
	Folder   *transfer.Folder          `json:"folder,omitempty"` // nil: OneDrive's top
	Conflict onedrive.ConflictBehavior `json:"conflict,omitempty"`
	Recent   []transfer.Folder         `json:"recent,omitempty"` // newest first
	Shared   bool                      `json:"shared,omitempty"` // folders of others may be used, too
	Rules    []rule                    `json:"rules,omitempty"`  // the first that fits counts
}

const recentFolders = 6

func (h *Handler) prefs(ctx context.Context, userID string) (prefs, error) {
	p := prefs{}
	if err := h.o.Users.Prefs(ctx, userID, &p); err != nil {
		return p, err
	}
	if p.Conflict == "" {
		p.Conflict = onedrive.Rename
	}
	return p, nil
}

// used puts a folder on top of those saved into last.
func (p *prefs) used(f transfer.Folder) {
	p.Recent = slices.DeleteFunc(p.Recent, func(o transfer.Folder) bool { return o.DriveID == f.DriveID && o.ID == f.ID })
	p.Recent = append([]transfer.Folder{f}, p.Recent...)
	p.Recent = p.Recent[:min(len(p.Recent), recentFolders)]
}

// folderWanted is the folder of a request that names none: that of the first rule that fits, else the default
// one, else the top.
func (p *prefs) folderWanted(r transfer.Request) (ref onedrive.Ref, by *rule) {
	by = ruleFor(p.Rules, r)
	switch {
	case by != nil:
		return by.Folder.Ref(), by
	case p.Folder != nil:
		return p.Folder.Ref(), nil
	}
	return onedrive.Ref{}, nil
}

// known are the folders that the person's preferences name.
func (p *prefs) known() []transfer.Folder {
	var list []transfer.Folder
	if p.Folder != nil {
		list = append(list, *p.Folder)
	}
	for _, r := range p.Rules {
		list = append(list, r.Folder)
	}
	return append(list, p.Recent...)
}

// driveTop is how Graph, forms and the API name OneDrive's top without its id. No name at all leaves the folder of a
// transfer to what the person has set.
var driveTop = onedrive.Ref{ID: "root"}

// folderValue is how forms and addresses name a folder: drive id, a bar, item id. Neither id has
// a bar in it.
func folderValue(ref onedrive.Ref) string {
	if ref == (onedrive.Ref{}) {
		ref = driveTop
	}
	return ref.DriveID + "|" + ref.ID
}

// parseFolder reads folderValue back. The empty value is OneDrive's top.
func parseFolder(s string) (onedrive.Ref, error) {
	drive, id, _ := strings.Cut(s, "|")
	ref := onedrive.Ref{DriveID: drive, ID: id}
	if ref == driveTop {
		ref = onedrive.Ref{}
	}
	return ref, checkRef(ref)
}

// checkRef refuses ids that no drive gives out: they end up in paths of Graph requests.
func checkRef(ref onedrive.Ref) error {
	for _, id := range []string{ref.DriveID, ref.ID} {
		if len(id) > 128 || strings.Trim(id, idChars) != "" {
			return &apiError{code: "invalidRequest", field: "folderId", said: fields["folderId invalidRequest"]}
		}
	}
	return nil
}

const idChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!._-"
