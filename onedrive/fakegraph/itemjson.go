package fakegraph

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"path"
	"strings"
	"time"
)

// wireItem is Graph's driveItem, https://learn.microsoft.com/graph/api/resources/driveitem
type wireItem struct {
	Context     string         `json:"@odata.context,omitempty"`
	DownloadURL string         `json:"@microsoft.graph.downloadUrl,omitempty"`
	CreatedBy   map[string]any `json:"createdBy,omitempty"`
	Created     string         `json:"createdDateTime,omitempty"`
	CTag        string         `json:"cTag,omitempty"`
	Description string         `json:"description,omitempty"`
	ETag        string         `json:"eTag,omitempty"`
	ID          string         `json:"id"`
	ModifiedBy  map[string]any `json:"lastModifiedBy,omitempty"`
	Modified    string         `json:"lastModifiedDateTime,omitempty"`
	Name        string         `json:"name,omitempty"`
	Parent      *wireParent    `json:"parentReference,omitempty"`
	Size        *int64         `json:"size,omitempty"`
	WebURL      string         `json:"webUrl,omitempty"`
	Deleted     map[string]any `json:"deleted,omitempty"`
	File        *wireFile      `json:"file,omitempty"`
	FileSystem  *wireTimes     `json:"fileSystemInfo,omitempty"`
	Folder      *wireFolder    `json:"folder,omitempty"`
	Image       *wireImage     `json:"image,omitempty"`
	Package     map[string]any `json:"package,omitempty"`
	Photo       *struct{}      `json:"photo,omitempty"`
	RemoteItem  *wireRemote    `json:"remoteItem,omitempty"`
	Root        *struct{}      `json:"root,omitempty"`
	Shared      map[string]any `json:"shared,omitempty"`
	Special     map[string]any `json:"specialFolder,omitempty"`
	Children    []any          `json:"children,omitempty"`
	Thumbnails  []any          `json:"thumbnails,omitempty"`
}

type wireParent struct {
	DriveID   string `json:"driveId"`
	DriveType string `json:"driveType"`
	ID        string `json:"id,omitempty"`
	Name      string `json:"name,omitempty"`
	Path      string `json:"path,omitempty"`
}

type wireFile struct {
	MimeType string            `json:"mimeType"`
	Hashes   map[string]string `json:"hashes,omitempty"`
}

type wireFolder struct {
	ChildCount int            `json:"childCount"`
	View       map[string]any `json:"view,omitempty"`
}

type wireImage struct {
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
}

type wireTimes struct {
	Created  string `json:"createdDateTime,omitempty"`
	Modified string `json:"lastModifiedDateTime,omitempty"`
}

type wireRemote struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Size       int64          `json:"size"`
	WebURL     string         `json:"webUrl"`
	Created    string         `json:"createdDateTime"`
	Modified   string         `json:"lastModifiedDateTime"`
	Folder     *wireFolder    `json:"folder,omitempty"`
	File       *wireFile      `json:"file,omitempty"`
	FileSystem *wireTimes     `json:"fileSystemInfo"`
	Parent     *wireParent    `json:"parentReference"`
	Shared     map[string]any `json:"shared"`
}

// downloadLife is how long a pre-authenticated download address lives (microsoft.md §3.7).
const downloadLife = time.Hour

// eTag and cTag have the shapes of their kind of drive: clients must not take them apart.
func (it *item) eTag() string {
	if it.drive.kind == business {
		return fmt.Sprintf(`"{%s},%d"`, it.guid(), it.version)
	}
	return "a" + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s.%d", it.id, it.version))
}

func (it *item) cTag() string {
	if it.drive.kind == business {
		return fmt.Sprintf(`"c:{%s},%d"`, it.guid(), it.content)
	}
	return "aYzo" + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s.%d", it.id, it.content))
}

// guid is what the tags of a work drive hold; made from the id.
func (it *item) guid() string {
	h := strings.ToUpper(hex.EncodeToString([]byte(it.id[len(it.id)-16:])))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// render is the item as Graph shows it to the caller. The drive's lock is held.
func (c *call) render(it *item) *wireItem {
	size := it.size()
	w := &wireItem{
		ID: it.id, Name: it.name, Size: &size, ETag: it.eTag(), CTag: it.cTag(), Description: it.description,
		Created: stamped(it.created), Modified: stamped(it.modified),
		CreatedBy: by(it.drive.owner()), ModifiedBy: by(it.drive.owner()),
		WebURL: it.webURL(c.base), Parent: it.reference(), FileSystem: it.times(),
	}
	switch {
	case it.parent == nil:
		w.Root = &struct{}{}
		w.Folder = it.folder()
	case it.pack != "":
		w.Package = map[string]any{"type": it.pack}
	case it.remote != nil:
		w.RemoteItem = c.remote(it.remote)
	case it.isFolder():
		w.Folder = it.folder()
	default:
		c.renderFile(w, it)
	}
	if it.special != "" {
		w.Special = map[string]any{"name": it.special}
	}
	if len(it.sharedWith) > 0 {
		w.Shared = map[string]any{"scope": "users", "owner": by(it.drive.owner())}
	}
	return w
}

func (c *call) renderFile(w *wireItem, it *item) {
	w.File = it.file()
	w.DownloadURL = c.downloadURL(it, "")
	if width, height, ok := it.dimensions(); ok && it.late.IsZero() {
		w.Image = &wireImage{Width: width, Height: height}
		if strings.EqualFold(it.mime, "image/jpeg") {
			w.Photo = &struct{}{}
		}
	}
}

// remote is the facet that points into another drive. Only what never changes of the other drive
// or is no secret is read: its lock is not held.
func (c *call) remote(target *item) *wireRemote {
	return &wireRemote{
		ID: target.id, Name: target.name, WebURL: target.webURL(c.base),
		Created: stamped(target.created), Modified: stamped(target.created),
		Folder: &wireFolder{ChildCount: 1}, FileSystem: &wireTimes{Created: stamped(target.created), Modified: stamped(target.created)},
		// The case of drive ids differs from answer to answer, and here the leading zero is lost (microsoft.md
		// §3.3, OAD#1902, ABR PR#3174).
		Parent: &wireParent{DriveID: strings.TrimPrefix(shouted(target.drive.id), "0"), DriveType: target.drive.kind, ID: target.parent.id},
		Shared: map[string]any{"scope": "users", "owner": by(target.drive.owner())},
	}
}

func shouted(driveID string) string {
	if strings.HasPrefix(driveID, "b!") {
		return driveID
	}
	return strings.ToUpper(driveID)
}

func (it *item) folder() *wireFolder {
	f := &wireFolder{ChildCount: len(it.children)}
	if it.drive.kind == personal {
		f.View = map[string]any{"viewType": "thumbnails", "sortBy": "name", "sortOrder": "ascending"}
	}
	return f
}

// file is the file facet. Work drives give only quickXorHash; personal ones sha1 and sha256 too
// (https://learn.microsoft.com/graph/api/resources/hashes).
func (it *item) file() *wireFile {
	f := &wireFile{MimeType: it.mime}
	if b := it.blob; b.hashed {
		f.Hashes = map[string]string{"quickXorHash": base64.StdEncoding.EncodeToString(b.xor[:])}
		if it.drive.kind == personal {
			f.Hashes["sha1Hash"] = strings.ToUpper(hex.EncodeToString(b.sha1[:]))
			f.Hashes["sha256Hash"] = strings.ToUpper(hex.EncodeToString(b.sha256[:]))
		}
	}
	return f
}

func (it *item) times() *wireTimes {
	created, modified := it.created, it.modified
	if !it.fileCreated.IsZero() {
		created = it.fileCreated
	}
	if !it.fileModified.IsZero() {
		modified = it.fileModified
	}
	return &wireTimes{Created: stamped(created), Modified: stamped(modified)}
}

func (it *item) reference() *wireParent {
	p := &wireParent{DriveID: it.drive.id, DriveType: it.drive.kind}
	if it.parent != nil {
		p.ID, p.Name = it.parent.id, it.parent.name
		p.Path = it.parent.wirePath()
	}
	return p
}

// wirePath is the percent-encoded path of parentReference.
func (it *item) wirePath() string {
	root := "/drive/root:"
	if it.drive.kind == business {
		root = "/drives/" + it.drive.id + "/root:"
	}
	var b strings.Builder
	for name := range strings.SplitSeq(it.path(), "/") {
		if name != "" {
			b.WriteString("/" + url.PathEscape(name))
		}
	}
	return root + b.String()
}

func (it *item) webURL(base string) string {
	return base + "/drive?cid=" + url.QueryEscape(it.drive.id) + "&id=" + url.QueryEscape(it.id)
}

func by(a *Account) map[string]any {
	return map[string]any{"user": map[string]any{"displayName": a.Name, "id": a.graphID()}}
}

// stamped is a time as Graph writes it.
func stamped(t time.Time) string { return t.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano) }

// mimeOf is the type of a file: the service goes by the extension, and by the sender only
// where the extension says nothing.
func mimeOf(name, sent string) string {
	if known := mimeTypes[strings.ToLower(path.Ext(name))]; known != "" {
		return known
	}
	if media, _, err := mime.ParseMediaType(sent); err == nil && strings.Contains(media, "/") && len(media) < 100 {
		return media
	}
	return "application/octet-stream"
}

var mimeTypes = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".svg": "image/svg+xml",
	".webp": "image/webp", ".avif": "image/avif", ".heic": "image/heic", ".bmp": "image/bmp", ".tif": "image/tiff",
	".txt": "text/plain", ".md": "text/markdown", ".html": "text/html", ".htm": "text/html", ".csv": "text/csv", ".json": "application/json",
	".pdf": "application/pdf", ".zip": "application/zip", ".mp4": "video/mp4", ".mp3": "audio/mpeg",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

// selected keeps what $select names; ids of @odata stay. Unknown names are ignored.
func selected(w any, fields string) any {
	if fields == "" || fields == "*" {
		return w
	}
	raw, err := json.Marshal(w)
	if err != nil {
		return w
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return w
	}
	out := map[string]json.RawMessage{}
	for field := range strings.SplitSeq(fields, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(field), "/")
		if name == "content.downloadUrl" || name == "@content.downloadUrl" {
			name = "@microsoft.graph.downloadUrl"
		}
		for known, value := range all {
			if strings.EqualFold(known, name) {
				out[known] = value
			}
		}
	}
	for _, always := range []string{"@odata.context", "thumbnails", "children"} {
		if value, ok := all[always]; ok {
			out[always] = value
		}
	}
	return out
}
