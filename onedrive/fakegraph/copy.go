package fakegraph

import "net/http"

// copyItem serves POST …/copy: 202 with a monitor (https://learn.microsoft.com/graph/api/driveitem-copy).
// Copies share the bytes, so they are done at once; the monitor tells it from the second question on.
func (c *call) copyItem() *wireError {
	var req itemRequest
	if e := c.body(&req); e != nil {
		return e
	}
	behavior := req.Conflict
	if b := c.conflict(); b != "" {
		behavior = b // copy takes it in the query
	}
	if e := checkBehavior(behavior); e != nil {
		return e
	}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	parent := it.parent
	if req.Parent != nil {
		if parent, e = c.target(req.Parent); e != nil {
			return e
		}
	}
	if parent == nil || parent.under(it) {
		return invalid("The item can't be copied there.", "invalidPath")
	}
	name := it.name
	if req.Name != nil {
		name = *req.Name
	}
	if e := c.drive.checkName(parent, name); e != nil {
		return e
	}
	j := &job{token: randomText(48), drive: c.drive, operation: "ItemCopy", name: name, base: c.base, endedAt: c.now, state: jobCompleted}
	c.s.forgetEnded(c.drive, c.now)
	if c.drive.alive >= maxJobs {
		return throttled(60)
	}
	if made, e := c.copyTo(it, parent, name, behavior); e != nil {
		if e.status != 409 && e.status != 507 {
			return e
		}
		j.state, j.code, j.reason = jobFailed, e.code, e.message
	} else {
		j.item = made.id
	}
	c.drive.alive++
	c.drive.ended = append(c.drive.ended, j)
	c.s.cloud.jobs.put(j.token, j)
	c.w.Header().Set("Location", c.monitorURL(j))
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// copyTo copies it with all below. The bytes are shared: a blob never changes.
func (c *call) copyTo(it, parent *item, name, behavior string) (*item, *wireError) {
	d := c.drive
	if e := d.room(it.size()); e != nil {
		return nil, e
	}
	count := 0
	it.each(func(*item) { count++ })
	if len(d.items)+count > d.maxItems() {
		return nil, refuse(403, "accessDenied", "The drive holds too many items.", "maxItemCountExceeded")
	}
	if it.blob != nil {
		made, _, e := d.store(parent, name, behavior, it.blob, it.mime, c.now)
		return made, e
	}
	there, free, e := d.claim(parent, name, behavior)
	if e != nil {
		return nil, e
	}
	if there != nil {
		return nil, refuse(409, "nameAlreadyExists", "An item with the same name already exists under the parent.")
	}
	children := it.byName()
	made := d.addFolder(parent, free, c.now)
	for _, child := range children {
		switch {
		case child.remote != nil:
			d.addShortcut(made, child.name, child.remote, c.now)
		case child.pack != "":
			d.addPackage(made, child.name, child.pack, c.now)
		default:
			if _, e := c.copyTo(child, made, child.name, conflictFail); e != nil {
				return nil, e
			}
		}
	}
	return made, nil
}
