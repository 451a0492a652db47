package onedrive

import "time"

// Ref addresses a DriveItem. The zero Ref is the root of the user's own drive; an empty
// DriveID means the user's own drive, an empty ID that drive's root. Ids are opaque: they
// are compared as they came and never parsed (microsoft.md §3.3).
type Ref struct {
	DriveID string
	ID      string
}

// ConflictBehavior says what happens when the name is taken: Graph's @microsoft.graph.conflictBehavior.
type ConflictBehavior string

// The three values that Graph knows.
const (
	Fail    ConflictBehavior = "fail"
	Replace ConflictBehavior = "replace"
	Rename  ConflictBehavior = "rename"
)

// DriveItem is Graph's driveItem, cut down to what Skylift reads.
// https://learn.microsoft.com/graph/api/resources/driveitem
type DriveItem struct {
	ID                   string        `json:"id"`
	Name                 string        `json:"name"`
	Size                 int64         `json:"size"`
	WebURL               string        `json:"webUrl"`
	ETag                 string        `json:"eTag"`
	CTag                 string        `json:"cTag"`
	CreatedDateTime      time.Time     `json:"createdDateTime"`
	LastModifiedDateTime time.Time     `json:"lastModifiedDateTime"`
	ParentReference      ItemReference `json:"parentReference"`
	File                 *File         `json:"file"`
	Folder               *Folder       `json:"folder"`
	Image                *Image        `json:"image"`
	Package              *Package      `json:"package"`
	RemoteItem           *RemoteItem   `json:"remoteItem"`
	Root                 *struct{}     `json:"root"`
}

// ItemReference is where a DriveItem lives. Path starts with /drive/root: or /drives/{id}/root:.
type ItemReference struct {
	DriveID   string `json:"driveId"`
	DriveType string `json:"driveType"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	Path      string `json:"path"`
}

// File is the facet of a DriveItem that has bytes.
type File struct {
	MimeType string `json:"mimeType"`
	Hashes   struct {
		QuickXorHash string `json:"quickXorHash"`
		SHA1Hash     string `json:"sha1Hash"`
		SHA256Hash   string `json:"sha256Hash"`
	} `json:"hashes"`
}

// Image is the facet of a file that OneDrive has seen to be a picture; it may come some time after the file.
type Image struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Folder is the facet of a DriveItem that has children.
type Folder struct {
	ChildCount int `json:"childCount"`
}

// Package is the facet of things such as OneNote notebooks, which look like folders and take no files.
type Package struct {
	Type string `json:"type"`
}

// RemoteItem is the facet of a shortcut: the real item lives in another drive.
type RemoteItem struct {
	ID              string        `json:"id"`
	Name            string        `json:"name"`
	Size            int64         `json:"size"`
	Folder          *Folder       `json:"folder"`
	File            *File         `json:"file"`
	ParentReference ItemReference `json:"parentReference"`
}

// Ref is the address of the item itself; for a shortcut, of the thing it points at.
func (d DriveItem) Ref() Ref {
	if d.RemoteItem != nil {
		return Ref{DriveID: d.RemoteItem.ParentReference.DriveID, ID: d.RemoteItem.ID}
	}
	return Ref{DriveID: d.ParentReference.DriveID, ID: d.ID}
}

// IsFolder reports whether files can be saved into the item: a folder or a shortcut to one.
func (d DriveItem) IsFolder() bool {
	return d.Folder != nil || d.RemoteItem != nil && d.RemoteItem.Folder != nil
}
