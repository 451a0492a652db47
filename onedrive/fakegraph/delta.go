package fakegraph

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// delta serves …/delta: everything at first, then what changed since the token. Changed items
// come in the order of their changes, so that whatever changes while pages are read comes later.
// https://learn.microsoft.com/graph/api/driveitem-delta
func (c *call) delta() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	root := c.drive.root
	if !c.place.onDrive {
		var e *wireError
		if root, e = c.resolve(); e != nil {
			return e
		}
	}
	if root != c.drive.root && c.drive.kind == business {
		return refuse(501, "notSupported", "Delta is only supported on the root.")
	}
	size, e := c.pageSize()
	if e != nil {
		return e
	}
	since, latest, e := c.deltaToken()
	if e != nil {
		return e
	}
	changes := []changed{}
	if !latest {
		changes = c.drive.since(since, root)
	}
	body := map[string]any{"@odata.context": c.base + "/v1.0/$metadata#Collection(driveItem)"}
	end := c.drive.change
	link := "@odata.deltaLink"
	if len(changes) > size {
		changes = changes[:size]
		end, link = changes[size-1].change, "@odata.nextLink"
	}
	value := make([]any, 0, len(changes))
	for _, ch := range changes {
		value = append(value, selected(c.renderChange(ch), c.query.Get("$select")))
	}
	body["value"] = value
	body[link] = c.link("token", deltaText(end))
	c.answer(200, body)
	return nil
}

// changed is one entry of a delta: an item, or a grave.
type changed struct {
	item   *item
	grave  tombstone
	change uint64
}

// since is what changed after a change number, in order.
func (d *drive) since(change uint64, root *item) []changed {
	var list []changed
	for _, it := range d.items {
		if it.change > change && it.under(root) {
			list = append(list, changed{item: it, change: it.change})
		}
	}
	if change > 0 { // whoever starts from nothing needs no graves
		for _, g := range d.graves {
			if g.change > change {
				list = append(list, changed{grave: g, change: g.change})
			}
		}
	}
	slices.SortFunc(list, func(a, b changed) int { return cmp.Compare(a.change, b.change) })
	return list
}

func (c *call) renderChange(ch changed) *wireItem {
	if ch.item != nil {
		w := c.render(ch.item)
		if w.Parent != nil {
			w.Parent.Path = "" // delta doesn't tell paths
		}
		return w
	}
	w := &wireItem{ID: ch.grave.id, Deleted: map[string]any{"state": "deleted"},
		Parent: &wireParent{DriveID: c.drive.id, DriveType: c.drive.kind, ID: ch.grave.parent}}
	if ch.grave.folder {
		w.Folder = &wireFolder{}
	} else {
		w.File = &wireFile{MimeType: "application/octet-stream"}
	}
	return w
}

// deltaToken reads the token of the query or of delta(token='…'). One that is older than the
// graves that are kept gets 410 resyncRequired (microsoft.md §5.5).
func (c *call) deltaToken() (since uint64, latest bool, e *wireError) {
	token := c.query.Get("token")
	if _, arg, ok := strings.Cut(strings.TrimSuffix(c.place.action, ")"), "(token="); ok {
		token = unquoted(arg)
	}
	switch token {
	case "":
		return 0, false, nil
	case "latest":
		return 0, true, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		_, err = fmt.Sscanf(string(raw), "change-%d", &since)
	}
	oldest := uint64(0)
	if len(c.drive.graves) == maxTombstones {
		oldest = c.drive.graves[0].change
	}
	if err != nil || since > c.drive.change || since < oldest {
		e := refuse(410, "resyncRequired", "Resync required. Replace any local items with the server's version.", "resyncChangesApplyDifferences")
		return 0, false, e.with("Location", c.link("token", ""))
	}
	return since, false, nil
}

func deltaText(change uint64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "change-%d", change))
}
