package fakegraph

import (
	"net/http"
	"slices"
	"time"
)

// fragment takes one fragment in (microsoft.md §4.3). One that breaks off leaves nothing behind.
func (s *Server) fragment(w http.ResponseWriter, r *http.Request, u *uploadSession, now time.Time) *wireError {
	if !u.busy.TryLock() {
		return refuse(416, "invalidRange", "Another fragment is being uploaded.", "fragmentOutOfOrder")
	}
	defer u.busy.Unlock()
	part, e := u.checkFragment(r)
	if e != nil {
		return e
	}
	in, e := s.intakeOf(u, part.total)
	if e != nil {
		return e
	}
	conduct := u.drive.conductNow()
	if e := u.take(in, r, part, conduct.KeepPartial); e != nil {
		return e
	}
	u.mu.Lock()
	u.received, u.total = in.size, part.total
	u.extend(conduct, now)
	status, whole := u.status(), u.received == u.total
	u.mu.Unlock()
	if !whole || u.deferred {
		writeJSON(w, http.StatusAccepted, status)
		return nil
	}
	if conduct.CommitTakes > 0 {
		u.drive.commitAt(u, now.Add(conduct.CommitTakes))
		return refuse(504, "generalException", "The upload takes longer than the answer may.")
	}
	return s.commit(w, r, u)
}

// commitAt leaves the making of the file for later.
func (d *drive) commitAt(u *uploadSession, t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u.commits = t
	d.commits = append(d.commits, u)
}

// conductNow is the conduct under the drive's lock.
func (d *drive) conductNow() Conduct {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.conduct
}

// checkFragment holds a fragment against the rules.
func (u *uploadSession) checkFragment(r *http.Request) (span, *wireError) {
	u.mu.Lock()
	defer u.mu.Unlock()
	part, ok := parseContentRange(r.Header.Get("Content-Range"))
	switch {
	case !ok:
		return part, invalid("The Content-Range header is missing or not valid.", "invalidRange")
	case r.ContentLength < 0:
		return part, refuse(411, "invalidRequest", "The Content-Length header is missing.")
	case r.ContentLength != part.size():
		return part, invalid("The Content-Length is not the length of the range.", "fragmentLengthMismatch")
	case part.size() >= fragmentMax:
		return part, refuse(413, "invalidRequest", "The fragment is too large.", "maxFragmentLengthExceeded")
	case part.total > maxFileSize:
		return part, refuse(413, "invalidRequest", "The file is too large.", "maxFileSizeExceeded")
	case u.total > 0 && part.total != u.total:
		return part, invalid("The total length has changed.", "fragmentLengthMismatch")
	case part.first < u.received:
		return part, refuse(416, "invalidRange", "The uploaded fragment overlaps with data that has already been received.", "fragmentOverlap")
	case part.first > u.received:
		return part, refuse(416, "invalidRange", "The uploaded fragment is out of order.", "fragmentOutOfOrder")
	case part.last != part.total-1 && part.size()%fragmentUnit != 0 && (part.first%fragmentUnit == 0 || (part.last+1)%fragmentUnit != 0):
		return part, invalid("The fragment is not a multiple of 320 KiB.", "fragmentLengthMismatch")
	}
	return part, nil
}

// intakeOf is where the bytes go. Before the first fragment it asks for room and, where the
// account tells early, for the name (microsoft.md §4.4).
func (s *Server) intakeOf(u *uploadSession, total int64) (*intake, *wireError) {
	d := u.drive
	d.mu.Lock()
	defer d.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return nil, sessionGone()
	}
	if u.in != nil {
		return u.in, nil
	}
	if e := d.room(total); e != nil {
		return nil, e
	}
	if parent := d.items[u.parent]; d.conduct.Conflict == "first" && parent != nil {
		if _, _, e := d.claim(parent, u.name, u.behavior); e != nil {
			return nil, e
		}
	}
	u.reserved = d.reserve(s, total)
	u.in = newIntake(u.reserved > 0, s.opts.NoHash)
	return u.in, nil
}

// take reads the fragment's bytes; on a broken connection they are forgotten, unless they are kept.
func (u *uploadSession) take(in *intake, r *http.Request, part span, keep bool) *wireError {
	before := in.mark()
	n, err := in.readFrom(r.Body, part.size())
	if err != nil || n != part.size() {
		if keep {
			u.mu.Lock()
			u.received, u.total = in.size, part.total
			u.mu.Unlock()
		} else {
			in.restore(before)
		}
		return invalid("The fragment ended too early.", "fragmentLengthMismatch")
	}
	return nil
}

// commitDeferred is the zero-length POST that ends a session with deferCommit; work drives only (microsoft.md §4.6).
func (s *Server) commitDeferred(w http.ResponseWriter, r *http.Request, u *uploadSession) *wireError {
	if u.drive.kind != business {
		return refuse(400, "notSupported", "Committing by POST is not supported here.")
	}
	u.mu.Lock()
	whole := u.total > 0 && u.received == u.total
	u.mu.Unlock()
	if !whole || !u.busy.TryLock() {
		return invalid("The upload session is not complete.", "uploadSessionIncomplete")
	}
	defer u.busy.Unlock()
	return s.commit(w, r, u)
}

// commit makes the file and answers with it.
func (s *Server) commit(w http.ResponseWriter, r *http.Request, u *uploadSession) *wireError {
	c := &call{s: s, w: w, r: r, account: u.drive.owner(), drive: u.drive, base: s.base(r), now: s.now()}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	it, replaced, e := s.finish(u, c.now)
	if e != nil {
		return e
	}
	status := http.StatusCreated
	if replaced {
		status = http.StatusOK
	}
	c.answer(status, c.uploaded(it))
	return nil
}

// finish makes the file. When the name is taken the session stays: it can be cancelled, and its
// bytes are not lost before it expires (microsoft.md §4.4). The drive's lock is held.
func (s *Server) finish(u *uploadSession, now time.Time) (it *item, replaced bool, e *wireError) {
	d := u.drive
	u.mu.Lock()
	in := u.in
	u.mu.Unlock()
	if in == nil || d.sessions[u.token] != u {
		return nil, false, sessionGone()
	}
	if in.malware() {
		return nil, false, s.end(u, malware())
	}
	parent := d.items[u.parent]
	if e := d.checkParent(parent); e != nil {
		return nil, false, s.end(u, e)
	}
	if there := parent.children[nameKey(u.name)]; u.ifMatch != "" && (there == nil || u.ifMatch != "*" && !sameTag(u.ifMatch, there.eTag())) {
		return nil, false, modified()
	} else if there != nil && d.locked(there) {
		return nil, false, checkedOut()
	}
	if _, _, e := d.claim(parent, u.name, u.behavior); e != nil {
		return nil, false, e
	}
	b := d.enriched(u.name, in.blob())
	_ = s.end(u, nil) // before the store: the blob counts as kept from there on
	if it, replaced, e = d.store(parent, u.name, u.behavior, b, "", now); e != nil {
		return nil, false, e
	}
	it.setTimes(u.times)
	if u.about != "" {
		it.description = u.about
	}
	return it, replaced, nil
}

// finishDue makes the files of the complete sessions whose time has come. The drive's lock is held.
func (s *Server) finishDue(d *drive, now time.Time) {
	d.commits = slices.DeleteFunc(d.commits, func(u *uploadSession) bool {
		if now.Before(u.commits) {
			return false
		}
		_, _, _ = s.finish(u, now) // nobody waits for what comes of it
		return true
	})
}

// end forgets the session and hands e through. The drive's lock is held.
func (s *Server) end(u *uploadSession, e *wireError) *wireError {
	s.cloud.sessions.drop(u.token)
	u.drive.forget(u)
	return e
}
