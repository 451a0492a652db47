package fakegraph

import (
	"fmt"
	"strings"
	"time"
)

// folderAt finds a folder, making what is missing. The drive's lock is held, or nobody else knows the drive.
func (d *drive) folderAt(names []string, now time.Time) *item {
	it := d.root
	for _, name := range names {
		next := it.children[nameKey(name)]
		if next == nil {
			next = d.addFolder(it, name, now)
		}
		it = next
	}
	return it
}

// addPackage makes a package such as a OneNote notebook, which looks like a folder and takes no files.
func (d *drive) addPackage(parent *item, name, kind string, now time.Time) *item {
	it := &item{id: d.newItemID(), name: name, pack: kind, created: now, modified: now}
	d.attach(parent, it, now)
	return it
}

// specialFolder finds a special folder; it is made when first asked for (microsoft.md §3.4). nil
// for a name that this kind of drive doesn't know. The drive's lock is held.
func (d *drive) specialFolder(name string, now time.Time) *item {
	if it := d.special[name]; it != nil {
		return it
	}
	path, ok := specials[d.kind][name]
	if !ok {
		return nil
	}
	it := d.folderAt(segments(path), now)
	it.special = name
	d.special[name] = it
	return it
}

// shared is the folder that the demo's first account shares; its id must be known without the
// drive, so it is always the drive's second item.
const sharedFolder = "Family album"

// furnish puts believable things into a new drive: every kind of thing that a client meets.
func (d *drive) furnish(now time.Time) {
	then := now.AddDate(0, -2, 0)
	if strings.HasPrefix(d.owner().Login, "robin@") {
		album := d.addFolder(d.root, sharedFolder, then)
		album.sharedWith = []string{"kim@demo.example"}
		d.seedPictures(album, then, "garden.jpg", "harbour.png")
	}
	for _, name := range []string{"documents", "photos"} {
		d.specialFolder(name, then)
	}
	d.seedPictures(d.special["photos"], then, "meadow.jpg", "tiles.png", "pulse.gif")
	d.folderAt([]string{"Pictures", "Clippings"}, then)
	d.folderAt([]string{"Design", "Mood boards", "Spring & summer"}, then)
	d.seedPictures(d.folderAt([]string{"Design"}, then), then, "harbour.png")
	d.seedText(d.special["documents"], "Notes #1 (100%).txt", "Names with # and % are fine on OneDrive.\n", then)
	d.seedText(d.special["documents"], "Reading list.md", "# Reading list\n\n- Ways of Seeing\n- Interaction of Color\n", then)
	d.addPackage(d.special["documents"], "Notebook", "oneNote", then)
	archive := d.folderAt([]string{"Archive"}, then)
	for n := 1; n <= 230; n++ { // more than a page
		d.addFolder(archive, fmt.Sprintf("Box %03d", n), then)
	}
	d.folderAt([]string{"Ablage für Übergänge", "日本語", "Émilie"}, then)
	if strings.HasPrefix(d.owner().Login, "kim@") {
		d.addShortcut(d.root, "Robin's "+strings.ToLower(sharedFolder), albumOf(then), then)
	}
}

// albumOf points at the folder that Robin shares.
func albumOf(then time.Time) *item {
	for _, a := range demoAccounts() {
		if strings.HasPrefix(a.Login, "robin@") {
			d := &drive{id: driveID(&a), kind: kindOf(&a)}
			d.who.Store(&a)
			root := &item{id: d.newItemID(), drive: d}
			return &item{id: d.newItemID(), name: sharedFolder, drive: d, parent: root, created: then}
		}
	}
	return nil
}

func (d *drive) seedText(parent *item, name, text string, now time.Time) {
	_, _, _ = d.store(parent, name, conflictFail, blobOf([]byte(text)), "", now)
}

func (d *drive) seedPictures(parent *item, now time.Time, names ...string) {
	for _, name := range names {
		if b := sampleBlob(name); b != nil {
			_, _, _ = d.store(parent, name, conflictFail, b, "", now)
		}
	}
}
