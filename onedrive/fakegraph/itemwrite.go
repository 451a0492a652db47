package fakegraph

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// itemRequest is what a client may send of a driveItem. Annotations that begin with "#" instead
// of "@" are ignored without a word (GDC#8098), and so is the direct endpoint's
// @content.sourceUrl (OAD#1193).
type itemRequest struct {
	Name        *string          `json:"name"`
	Folder      json.RawMessage  `json:"folder"`
	File        json.RawMessage  `json:"file"`
	RemoteItem  *itemReference   `json:"remoteItem"`
	Description *string          `json:"description"`
	SourceURL   *string          `json:"@microsoft.graph.sourceUrl"`
	Conflict    string           `json:"@microsoft.graph.conflictBehavior"`
	Parent      *parentReference `json:"parentReference"`
	FileSystem  *fileTimes       `json:"fileSystemInfo"`
}

type itemReference struct {
	ID     string           `json:"id"`
	Parent *parentReference `json:"parentReference"`
}

type parentReference struct {
	DriveID string `json:"driveId"`
	ID      string `json:"id"`
	Path    string `json:"path"`
}

type fileTimes struct {
	Created  *time.Time `json:"createdDateTime"`
	Modified *time.Time `json:"lastModifiedDateTime"`
}

// present reports whether a facet was sent.
func present(facet json.RawMessage) bool {
	return len(facet) > 0 && !bytes.Equal(bytes.TrimSpace(facet), []byte("null"))
}

// createChild serves POST …/children: a folder (microsoft.md §3.2), upload from URL (§1), a
// shortcut (§3.6), or an empty file when only the file facet came.
func (c *call) createChild() *wireError {
	var req itemRequest
	if e := c.body(&req); e != nil {
		return e
	}
	if req.SourceURL != nil {
		return c.fromURL(req)
	}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	parent, e := c.resolve()
	if e == nil {
		e = c.drive.checkParent(parent)
	}
	if e != nil {
		return e
	}
	if e := c.checkCreate(parent, req); e != nil {
		return e
	}
	switch {
	case present(req.Folder):
		return c.createFolder(parent, req)
	case req.RemoteItem != nil:
		return c.createShortcut(parent, req)
	case present(req.File):
		it, _, e := c.drive.store(parent, *req.Name, req.Conflict, emptyBlob(), "", c.now)
		return c.created(it, e)
	}
	return invalid("The item needs a folder or a file facet.")
}

func emptyBlob() *blob { return newIntake(true, false).blob() }

// checkCreate looks at the name and the annotation of a new child.
func (c *call) checkCreate(parent *item, req itemRequest) *wireError {
	if req.Name == nil {
		return invalid("The name is missing.", "invalidName")
	}
	if e := c.drive.checkName(parent, *req.Name); e != nil {
		return e
	}
	return checkBehavior(req.Conflict)
}

// createFolder makes a folder; fail is the default, and "replace" of a folder is a 409 on work
// drives and gives the old folder back on personal ones (microsoft.md §3.2).
func (c *call) createFolder(parent *item, req itemRequest) *wireError {
	there, name, e := c.drive.claim(parent, *req.Name, req.Conflict)
	if old := parent.children[nameKey(*req.Name)]; e != nil && req.Conflict == conflictReplace && old.isFolder() && c.drive.kind == personal {
		c.answer(200, c.render(old))
		return nil
	}
	if e == nil && there != nil {
		e = refuse(409, "nameAlreadyExists", "An item with the same name already exists under the parent.")
	}
	if e != nil {
		return e
	}
	return c.created(c.drive.addFolder(parent, name, c.now), nil)
}

func (c *call) created(it *item, e *wireError) *wireError {
	if e != nil {
		return e
	}
	w := c.render(it)
	w.Context = c.base + "/v1.0/$metadata#drives('" + it.drive.id + "')/items/$entity"
	c.w.Header().Set("Location", c.base+"/v1.0/drives/"+it.drive.id+"/items/"+it.id)
	c.answer(201, w)
	return nil
}

// createShortcut adds a pointer to a folder that is shared with the caller (microsoft.md §3.6).
func (c *call) createShortcut(parent *item, req itemRequest) *wireError {
	ref := req.RemoteItem
	if ref.Parent == nil || ref.ID == "" {
		return invalid("The remoteItem needs id and parentReference.driveId.")
	}
	other := c.s.driveByID(ref.Parent.DriveID)
	if other == nil || other == c.drive {
		return notFound()
	}
	// Two drives are never locked at once; the other is looked at with ours let go.
	c.drive.mu.Unlock()
	target := other.shared(ref.ID, c.account.Login)
	c.drive.mu.Lock()
	if target == nil || parent.drive.items[parent.id] != parent {
		return notFound()
	}
	_, name, e := c.drive.claim(parent, *req.Name, req.Conflict)
	if e != nil {
		return e
	}
	return c.created(c.drive.addShortcut(parent, name, target, c.now), nil)
}

// shared finds a folder that login may reach.
func (d *drive) shared(id, login string) *item {
	d.mu.RLock()
	defer d.mu.RUnlock()
	it := d.items[id]
	if it == nil || it.parent == nil || !it.isFolder() || !it.readableBy(login) {
		return nil
	}
	return &item{id: it.id, name: it.name, drive: d, parent: &item{id: it.parent.id, drive: d}, created: it.created}
}

// addShortcut puts a pointer to target, a copy of what is fixed of it, under parent.
func (d *drive) addShortcut(parent *item, name string, target *item, now time.Time) *item {
	it := &item{id: d.newItemID(), name: name, remote: target, created: now, modified: now}
	d.attach(parent, it, now)
	return it
}

// patchItem serves PATCH: rename, move, description, fileSystemInfo.
func (c *call) patchItem() *wireError {
	var req itemRequest
	if e := c.body(&req); e != nil {
		return e
	}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	if e := c.checkChange(it); e != nil {
		return e
	}
	if e := c.rename(it, req); e != nil {
		return e
	}
	if req.Description != nil {
		it.description = *req.Description
	}
	it.setTimes(req.FileSystem)
	it.modified = c.now
	c.drive.touch(it, c.now)
	c.answer(200, c.render(it))
	return nil
}

// checkChange refuses changes of the root, of locked files and of another version.
func (c *call) checkChange(it *item) *wireError {
	switch {
	case it.parent == nil:
		return refuse(403, "accessDenied", "The root can't be changed.", "accessRestricted")
	case c.drive.locked(it):
		return checkedOut()
	}
	return c.checkMatch(it)
}

func (it *item) setTimes(t *fileTimes) {
	if t == nil {
		return
	}
	if t.Created != nil {
		it.fileCreated = *t.Created
	}
	if t.Modified != nil {
		it.fileModified = *t.Modified
	}
}

// rename gives it a new name or a new parent in the same drive.
func (c *call) rename(it *item, req itemRequest) *wireError {
	parent, name := it.parent, it.name
	if req.Parent != nil {
		var e *wireError
		if parent, e = c.target(req.Parent); e != nil {
			return e
		}
	}
	if req.Name != nil {
		name = *req.Name
	}
	if parent == it.parent && name == it.name {
		return nil
	}
	if e := c.drive.checkName(parent, name); e != nil {
		return e
	}
	if parent.under(it) {
		return invalid("An item can't be moved below itself.", "invalidPath")
	}
	if e := checkBehavior(req.Conflict); e != nil {
		return e
	}
	if there := parent.children[nameKey(name)]; there != nil && there != it {
		replaced, free, e := c.drive.claim(parent, name, req.Conflict)
		if e != nil {
			return e
		}
		if replaced != nil {
			c.drive.bury(replaced, c.now)
		}
		name = free
	}
	c.drive.move(it, parent, name, c.now)
	return nil
}

func (d *drive) move(it, parent *item, name string, now time.Time) {
	d.remember(now)
	delete(it.parent.children, nameKey(it.name))
	d.touch(it, now) // the old folder has changed too
	it.parent, it.name = parent, name
	if it.blob != nil {
		it.mime = mimeOf(name, it.mime)
	}
	parent.children[nameKey(name)] = it
}

// target is the folder that a parentReference names, by id or by path.
func (c *call) target(ref *parentReference) (*item, *wireError) {
	if ref.DriveID != "" && driveKey(ref.DriveID) != driveKey(c.drive.id) {
		return nil, refuse(400, "invalidRequest", "Moving between drives is not supported.")
	}
	parent := c.drive.items[ref.ID]
	if ref.ID == "" {
		parent = c.drive.root
		_, path, found := strings.Cut(ref.Path, "root:")
		if !found && ref.Path != "" {
			return nil, invalid("The path of the parentReference is not valid.", "invalidPath")
		}
		parent = parent.descend(slices.Collect(nonEmpty(strings.SplitSeq(path, "/"))))
	}
	if e := c.drive.checkParent(parent); e != nil {
		return nil, e
	}
	if !parent.readableBy(c.account.Login) {
		return nil, notFound()
	}
	return parent, nil
}

func nonEmpty(parts func(func(string) bool)) func(func(string) bool) {
	return func(yield func(string) bool) {
		for part := range parts {
			if part != "" && !yield(part) {
				return
			}
		}
	}
}

// deleteItem serves DELETE: to the recycle bin, 204.
func (c *call) deleteItem() *wireError {
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	if e := c.checkChange(it); e != nil {
		return e
	}
	c.drive.bury(it, c.now)
	c.w.WriteHeader(204)
	return nil
}

// createLink serves POST …/createLink: a link that leads to the page of the item.
func (c *call) createLink() *wireError {
	req := struct{ Type, Scope string }{}
	if e := c.body(&req); e != nil {
		return e
	}
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	if req.Type == "" {
		req.Type = "view"
	}
	if req.Scope == "" {
		req.Scope = "anonymous"
	}
	if !slices.Contains([]string{"view", "edit", "embed"}, req.Type) {
		return invalid("The type of the link is not valid.")
	}
	c.answer(201, map[string]any{
		"id": "link-" + it.id, "roles": []string{"read"},
		"link": map[string]any{"type": req.Type, "scope": req.Scope, "webUrl": it.webURL(c.base)},
	})
	return nil
}
