package fakegraph

import "time"

// past is how a drive looked until a change.
type past struct {
	until time.Time
	drive *drive // nobody changes it any more
}

// remember keeps the drive as it is for reads that lag, before something changes. The lock is held.
func (d *drive) remember(now time.Time) {
	lag := d.conduct.Lag
	if lag <= 0 {
		d.pasts = nil
		return
	}
	for len(d.pasts) > 0 && !d.pasts[0].until.After(now.Add(-lag)) {
		d.pasts = d.pasts[1:]
	}
	if n := len(d.pasts); n == 0 || d.pasts[n-1].until.Before(now) { // of several steps of one change the first counts
		d.pasts = append(d.pasts, past{now, d.still()})
	}
}

// lagging is the drive as a read sees it (Conduct.Lag).
func (d *drive) lagging(now time.Time) *drive {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.conduct.Lag <= 0 {
		return d
	}
	for _, p := range d.pasts {
		if p.until.After(now.Add(-d.conduct.Lag)) {
			return p.drive
		}
	}
	return d
}

// still is a copy of the drive that reads can be answered from.
func (d *drive) still() *drive {
	c := &drive{id: d.id, kind: d.kind, conduct: d.conduct, items: map[string]*item{}, special: map[string]*item{}, used: d.used, binned: d.binned}
	c.who.Store(d.owner())
	c.root = d.root.still(c, nil)
	for name, it := range d.special {
		c.special[name] = c.items[it.id]
	}
	return c
}

func (it *item) still(d *drive, parent *item) *item {
	c := &item{
		id: it.id, drive: d, name: it.name, parent: parent, blob: it.blob, mime: it.mime, source: it.source, description: it.description,
		special: it.special, pack: it.pack, remote: it.remote, sharedWith: it.sharedWith, late: it.late, created: it.created, modified: it.modified,
		fileCreated: it.fileCreated, fileModified: it.fileModified, version: it.version, content: it.content, change: it.change,
	}
	d.items[c.id] = c
	if it.isFolder() {
		c.children = make(map[string]*item, len(it.children))
	}
	for key, child := range it.children {
		c.children[key] = child.still(d, c)
	}
	return c
}
