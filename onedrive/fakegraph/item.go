package fakegraph

import (
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// item is a file, a folder, a package or a shortcut in a drive. Its drive's lock guards it.
type item struct {
	id       string
	drive    *drive
	name     string
	parent   *item
	children map[string]*item        // by nameKey; nil for anything that is not a folder
	sorted   atomic.Pointer[[]*item] // children by name; nil when it must be made again

	blob        *blob  // files
	mime        string // files
	source      string // files: where upload-from-URL took it
	description string
	special     string // "photos", "documents" …
	pack        string // packages: "oneNote"
	remote      *item  // shortcuts: what they point at
	sharedWith  []string

	late time.Time // when its metadata comes; zero: it is there

	created, modified time.Time
	fileCreated       time.Time // fileSystemInfo; zero: as created
	fileModified      time.Time
	version           uint32 // grows with each change of the item: eTag
	content           uint32 // grows with each change of the content: cTag
	change            uint64 // its place in delta
}

func (it *item) isFolder() bool { return it.children != nil }

// size is the file's, or the sum of all files below.
func (it *item) size() int64 {
	if it.blob != nil {
		return it.blob.size
	}
	var sum int64
	for _, child := range it.children {
		sum += child.size()
	}
	return sum
}

// path is the decoded path from the root, "/Pictures/cats"; "" for the root itself.
func (it *item) path() string {
	if it.parent == nil {
		return ""
	}
	return it.parent.path() + "/" + it.name
}

// byName is the folder's children in the order of their names.
func (it *item) byName() []*item {
	if known := it.sorted.Load(); known != nil {
		return *known
	}
	sorted := slices.SortedFunc(maps.Values(it.children), func(a, b *item) int {
		return strings.Compare(nameKey(a.name), nameKey(b.name))
	})
	it.sorted.Store(&sorted)
	return sorted
}

// under reports whether it is folder itself or lies below it.
func (it *item) under(folder *item) bool {
	for ; it != nil; it = it.parent {
		if it == folder {
			return true
		}
	}
	return false
}

// readableBy reports whether login may reach it: the owner, or whom it or a folder above is shared with.
func (it *item) readableBy(login string) bool {
	if strings.EqualFold(it.drive.owner().Login, login) {
		return true
	}
	for ; it != nil; it = it.parent {
		if slices.ContainsFunc(it.sharedWith, func(l string) bool { return strings.EqualFold(l, login) }) {
			return true
		}
	}
	return false
}

// descend follows a path of names from it; nil when a step is missing.
func (it *item) descend(path []string) *item {
	for _, name := range path {
		if it = it.children[nameKey(name)]; it == nil {
			return nil
		}
	}
	return it
}

// The values of @microsoft.graph.conflictBehavior (microsoft.md §1.4).
const (
	conflictFail    = "fail"
	conflictReplace = "replace"
	conflictRename  = "rename"
)

// claim finds the name that a new child gets, or the item that it replaces.
func (d *drive) claim(parent *item, name, behavior string) (replaced *item, free string, e *wireError) {
	there := parent.children[nameKey(name)]
	if there == nil {
		return nil, name, nil
	}
	switch behavior {
	case conflictRename:
		for n := 1; ; n++ {
			if next := numbered(name, n); parent.children[nameKey(next)] == nil {
				return nil, next, nil
			}
		}
	case conflictReplace:
		if there.blob != nil {
			return there, there.name, nil
		}
		// A folder is not replaced (microsoft.md §3.2).
		return nil, "", refuse(409, "nameAlreadyExists", "An item with the same name already exists under the parent.")
	default:
		return nil, "", refuse(409, "nameAlreadyExists", "An item with the same name already exists under the parent.")
	}
}

// checkBehavior refuses anything but the three values; "overwrite" is none (microsoft.md §1.4).
func checkBehavior(b string) *wireError {
	switch b {
	case "", conflictFail, conflictReplace, conflictRename:
		return nil
	}
	return refuse(400, "invalidRequest", "The conflictBehavior value is not supported.")
}

// checkParent refuses to put something where nothing can be put.
func (d *drive) checkParent(parent *item) *wireError {
	switch {
	case parent == nil:
		return notFound()
	case parent.pack != "":
		return refuse(403, "accessDenied", "Items can't be added to a package.", "accessRestricted")
	case parent.remote != nil:
		return notFound() // a shortcut has no children under its own id (microsoft.md §3.6)
	case !parent.isFolder():
		return refuse(400, "invalidRequest", "The parent is not a folder.")
	case len(d.items) >= d.maxItems():
		return refuse(403, "accessDenied", "The drive holds too many items.", "maxItemCountExceeded")
	}
	return nil
}

func (d *drive) maxItems() int {
	if d.conduct.MaxItems > 0 {
		return d.conduct.MaxItems
	}
	return defaultMaxItems
}

// attach puts it under parent.
func (d *drive) attach(parent, it *item, now time.Time) {
	it.drive, it.parent = d, parent
	parent.children[nameKey(it.name)] = it
	d.items[it.id] = it
	d.touch(it, now)
}

// addFolder makes a folder; the names are checked by the caller.
func (d *drive) addFolder(parent *item, name string, now time.Time) *item {
	d.remember(now)
	it := &item{id: d.newItemID(), name: name, children: map[string]*item{}, created: now, modified: now}
	d.attach(parent, it, now)
	return it
}

// enrichable are the kinds of files into which SharePoint writes the properties of its library.
var enrichable = []string{".docx", ".docm", ".doc", ".xlsx", ".xlsm", ".xls", ".pptx", ".pptm", ".ppt", ".pdf", ".html", ".htm"}

// enriched is what the drive makes of a file that was sent to it.
func (d *drive) enriched(name string, b *blob) *blob {
	if !d.conduct.Enrich || d.kind != business || b.size == 0 || !slices.Contains(enrichable, strings.ToLower(path.Ext(name))) {
		return b
	}
	return b.enriched()
}

// store puts a file of that name under parent, or gives its content to the one that is there.
func (d *drive) store(parent *item, name, behavior string, b *blob, mime string, now time.Time) (it *item, replaced bool, e *wireError) {
	there, free, e := d.claim(parent, name, behavior)
	if e != nil {
		return nil, false, e
	}
	grown := b.size
	if there != nil {
		grown -= there.blob.size
	}
	if e := d.room(grown); e != nil {
		return nil, false, e
	}
	d.remember(now)
	d.used += grown
	if b.kept {
		d.kept += b.size
	}
	if there == nil {
		it = &item{id: d.newItemID(), name: free, blob: b, mime: mimeOf(free, mime), created: now, modified: now}
		d.attach(parent, it, now)
		d.postpone(it, now)
		return it, false, nil
	}
	d.release(there.blob)
	there.blob, there.mime, there.modified = b, mimeOf(free, mime), now
	there.content++
	there.fileModified, there.source = time.Time{}, ""
	d.touch(there, now)
	d.postpone(there, now)
	return there, true, nil
}

// postpone leaves the metadata of a picture to work in the background.
func (d *drive) postpone(it *item, now time.Time) {
	if d.conduct.LateMetadata > 0 && strings.HasPrefix(it.mime, "image/") {
		it.late = now.Add(d.conduct.LateMetadata)
		d.late = append(d.late, it)
	}
}

// ripen does the background's work that is due. The drive's lock is held.
func (d *drive) ripen(now time.Time) {
	if !slices.ContainsFunc(d.late, func(it *item) bool { return !now.Before(it.late) }) {
		return
	}
	d.remember(now)
	d.late = slices.DeleteFunc(d.late, func(it *item) bool {
		if now.Before(it.late) {
			return false
		}
		if !it.late.IsZero() {
			it.late = time.Time{}
			it.content++
			it.version++
			d.change++
			it.change = d.change
		}
		return true
	})
}
