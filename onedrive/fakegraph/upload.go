package fakegraph

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rules of fragments (microsoft.md §4.3).
const (
	fragmentUnit = 320 << 10
	fragmentMax  = 60 << 20 // a request must be smaller
	maxFileSize  = 250 << 30
)

// defaultUploadLife is how long a session lives after its last fragment.
const defaultUploadLife = 24 * time.Hour

// uploadSession is an upload session (microsoft.md §4). What identifies it is fixed; mu guards the rest.
type uploadSession struct {
	token    string
	drive    *drive
	parent   string // item id
	name     string
	behavior string
	ifMatch  string
	times    *fileTimes
	about    string // description
	deferred bool
	missing  string // shape of nextExpectedRanges
	login    string // who made it

	commits time.Time // when it becomes a file, if that takes long; the drive's lock guards it

	busy sync.Mutex // held while a fragment is taken in: they come one after the other

	mu       sync.Mutex // taken after the drive's lock, never before
	in       *intake    // written to by whoever holds busy
	received int64
	total    int64 // 0 before the first fragment
	reserved int64
	expires  time.Time
	keyDies  time.Time // zero: with the session
	gone     bool
}

// sessionRequest is the body of createUploadSession (microsoft.md §4.2).
type sessionRequest struct {
	Item struct {
		Conflict    string     `json:"@microsoft.graph.conflictBehavior"`
		Name        *string    `json:"name"`
		Description *string    `json:"description"`
		FileSize    *int64     `json:"fileSize"`
		FileSystem  *fileTimes `json:"fileSystemInfo"`
	} `json:"item"`
	Defer bool `json:"deferCommit"`
}

// createSession serves POST …/createUploadSession.
func (c *call) createSession() *wireError {
	var req sessionRequest
	if c.r.ContentLength != 0 {
		if e := c.body(&req); e != nil {
			return e
		}
	}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	parent, name, e := c.sessionTarget()
	if e != nil {
		return e
	}
	if req.Item.Conflict == "" {
		// Microsoft's page doesn't tell the default for sessions and microsoft.md §4.2 has fail;
		// rclone overwrites files through sessions that name none, so it is replace.
		req.Item.Conflict = conflictReplace
	}
	if e := c.checkSession(parent, name, req); e != nil {
		return e
	}
	u := &uploadSession{
		token: randomText(32), drive: c.drive, parent: parent.id, name: name, behavior: req.Item.Conflict,
		ifMatch: c.r.Header.Get("If-Match"), times: req.Item.FileSystem, deferred: req.Defer, login: c.account.Login,
	}
	if req.Item.Description != nil {
		u.about = *req.Item.Description
	}
	u.missing = c.drive.conduct.Missing
	u.extend(c.drive.conduct, c.now)
	if c.drive.conduct.TokenExpires > 0 {
		u.keyDies = c.now.Add(c.drive.conduct.TokenExpires)
	}
	c.drive.open(c.s, u, c.now)
	c.answer(200, map[string]any{
		"@odata.context": c.base + "/v1.0/$metadata#microsoft.graph.uploadSession",
		"uploadUrl":      c.uploadURL(u), "expirationDateTime": stamped(u.expires), "nextExpectedRanges": []string{"0-"},
	})
	return nil
}

// uploadURL has the shape of today's personal uploads; the key is in the query (microsoft.md §4.2).
func (c *call) uploadURL(u *uploadSession) string {
	base := c.s.apart(c.base)
	if lies := c.drive.conduct.Lies; lies != "" {
		base = strings.TrimSuffix(lies, "/")
	}
	return base + "/personal/" + url.PathEscape(c.drive.id) + "/_api/v2.0/drive/items/" + url.PathEscape(u.parent) +
		"/uploadSession?guid='" + newGUID() + "'&overwrite=True&rename=False&tempauth=" + u.token
}

// sessionTarget is where the file goes. The name must be in the address (microsoft.md §4.2).
func (c *call) sessionTarget() (parent *item, name string, e *wireError) {
	if parent, name, e = c.resolveParent(); e != nil {
		return nil, "", e
	}
	if c.place.byChild && c.drive.kind == personal || !c.place.byPath && (parent == nil || parent.children[nameKey(name)].isFolder()) {
		return nil, "", invalid("The file name is not provided in the URL.", "invalidName")
	}
	return parent, name, nil
}

// checkSession is what can be refused before any byte.
func (c *call) checkSession(parent *item, name string, req sessionRequest) *wireError {
	if e := c.drive.checkParent(parent); e != nil {
		return e
	}
	if e := c.drive.checkName(parent, name); e != nil {
		return e
	}
	if e := checkBehavior(req.Item.Conflict); e != nil {
		return e
	}
	if req.Item.Name != nil && *req.Item.Name != name {
		return invalid("The name of the item is not the one of the URL.", "invalidName")
	}
	there := parent.children[nameKey(name)]
	if size := req.Item.FileSize; size != nil {
		if there != nil && c.drive.kind == personal {
			return invalid("The fileSize is not accepted for an existing item.")
		}
		if e := c.drive.room(*size); e != nil {
			return e
		}
	}
	if there != nil && c.drive.locked(there) {
		return checkedOut()
	}
	if c.drive.kind == business && c.drive.uploading(parent.id, name, c.now) {
		return refuse(409, "nameAlreadyExists", "An upload session for this name exists.", "uploadSessionIncomplete")
	}
	if e := c.checkMatch(there); e != nil {
		return e
	}
	if at := c.drive.conduct.Conflict; at == "" || at == "creation" {
		_, _, e := c.drive.claim(parent, name, req.Item.Conflict)
		return e
	}
	return nil
}

// uploading reports whether a session for that name is open: work drives allow only one (microsoft.md §4.4).
func (d *drive) uploading(parent, name string, now time.Time) bool {
	for _, u := range d.sessions {
		if u.parent == parent && nameKey(u.name) == nameKey(name) && now.Before(u.expiry()) {
			return true
		}
	}
	return false
}

func (u *uploadSession) expiry() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.expires
}

// open keeps the session; expired ones go first, then, when there are too many, any.
func (d *drive) open(s *Server, u *uploadSession, now time.Time) {
	if len(d.sessions) >= maxUploads {
		for _, old := range d.sessions {
			if len(d.sessions) >= maxUploads || !now.Before(old.expiry()) {
				s.cloud.sessions.drop(old.token)
				d.forget(old)
			}
		}
	}
	d.sessions[u.token] = u
	s.cloud.sessions.put(u.token, u)
}

// forget takes the session out of the drive. The drive's lock is held.
func (d *drive) forget(u *uploadSession) {
	if _, ok := d.sessions[u.token]; !ok {
		return
	}
	delete(d.sessions, u.token)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone, u.in = true, nil
	d.kept -= u.reserved
	u.reserved = 0
}

func (u *uploadSession) extend(conduct Conduct, now time.Time) {
	life := defaultUploadLife
	if conduct.UploadExpires > 0 {
		life = conduct.UploadExpires
	}
	u.expires = now.Add(life)
}

// status is the answer to GET and to every fragment but the last. mu is held.
func (u *uploadSession) status() map[string]any {
	ranges := []string{}
	if u.total == 0 || u.received < u.total {
		ranges = u.ranges()
	}
	return map[string]any{"expirationDateTime": stamped(u.expires), "nextExpectedRanges": ranges}
}

// ranges are the bytes that are still wanted. Before the first fragment nobody knows the end.
func (u *uploadSession) ranges() []string {
	next, last := u.received, u.total-1
	switch {
	case u.total == 0:
	case u.missing == "closed":
		return []string{fmt.Sprintf("%d-%d", next, last)}
	case u.missing == "pieces" && last-next >= 2*fragmentUnit:
		return []string{fmt.Sprintf("%d-%d", next, next+fragmentUnit-1), fmt.Sprintf("%d-%d", next+fragmentUnit, next+2*fragmentUnit-1)}
	}
	return []string{fmt.Sprintf("%d-", next)}
}

// serveUpload serves an uploadUrl: PUT a fragment, GET the status, DELETE, and POST to commit.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	s.stamp(w, r)
	w.Header().Set("Cache-Control", "no-store")
	if r.Header.Get("Authorization") != "" {
		// microsoft.md §4.3: no bearer on the uploadUrl.
		s.count("bearerOnUpload")
		refuse(401, "unauthenticated", "Authentication failed.").write(s, w, r)
		return
	}
	u, ok := s.cloud.sessions.get(r.URL.Query().Get("tempauth"))
	if !ok {
		sessionGone().write(s, w, r)
		return
	}
	s.withFaults(w, r, u.login, u.phases(r), func(w http.ResponseWriter) {
		if e := s.upload(w, r, u); e != nil {
			e.write(s, w, r)
		}
	})
}

func sessionGone() *wireError {
	return refuse(404, "itemNotFound", "The upload session was not found.", "uploadSessionNotFound")
}

// phases says which fragment this is.
func (u *uploadSession) phases(r *http.Request) []Phase {
	switch r.Method {
	case http.MethodGet:
		return []Phase{PhaseUploadStatus}
	case http.MethodDelete:
		return []Phase{PhaseUploadCancel}
	case http.MethodPost:
		return []Phase{PhaseComplete}
	}
	span, ok := parseContentRange(r.Header.Get("Content-Range"))
	phases := []Phase{PhaseFragment}
	switch {
	case ok && span.last == span.total-1:
		phases = append(phases, PhaseFragmentLast, PhaseComplete)
		if span.first == 0 {
			phases = append(phases, PhaseFragmentFirst)
		}
	case ok && span.first == 0:
		phases = append(phases, PhaseFragmentFirst)
	default:
		phases = append(phases, PhaseFragmentMiddle)
	}
	return phases
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request, u *uploadSession) *wireError {
	now := s.now()
	u.drive.mu.Lock()
	s.finishDue(u.drive, now)
	u.drive.mu.Unlock()
	u.mu.Lock()
	gone, expired, keyDead := u.gone, !now.Before(u.expires), !u.keyDies.IsZero() && !now.Before(u.keyDies)
	u.mu.Unlock()
	switch {
	case gone || expired:
		s.discard(u)
		return sessionGone()
	case keyDead:
		// The key dies before the session does (ABR#3245).
		return refuse(403, "accessDenied", "The access to the upload session has expired.", "accessRestricted")
	}
	switch r.Method {
	case http.MethodGet:
		u.mu.Lock()
		status := u.status()
		u.mu.Unlock()
		writeJSON(w, 200, status)
	case http.MethodDelete:
		s.discard(u)
		w.WriteHeader(204)
	case http.MethodPost:
		return s.commitDeferred(w, r, u)
	case http.MethodPut:
		return s.fragment(w, r, u, now)
	default:
		return refuse(405, "notAllowed", "The HTTP method is not allowed here.")
	}
	return nil
}

// discard ends a session and gives its memory back.
func (s *Server) discard(u *uploadSession) {
	s.cloud.sessions.drop(u.token)
	u.drive.mu.Lock()
	u.drive.forget(u)
	u.drive.mu.Unlock()
}

// span is a Content-Range: bytes first-last/total.
type span struct{ first, last, total int64 }

func (r span) size() int64 { return r.last - r.first + 1 }

// parseContentRange reads a complete one; an unknown total ("*") is none (microsoft.md §4.3).
func parseContentRange(text string) (span, bool) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	spanText, totalText, ok2 := strings.Cut(rest, "/")
	firstText, lastText, ok3 := strings.Cut(spanText, "-")
	if !ok || !ok2 || !ok3 {
		return span{}, false
	}
	var r span
	for i, text := range []string{firstText, lastText, totalText} {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 62)
		if err != nil {
			return span{}, false
		}
		*[]*int64{&r.first, &r.last, &r.total}[i] = int64(n)
	}
	return r, r.first <= r.last && r.last < r.total
}

// randomText is n random bytes as text for an address.
func randomText(n int) string { return newSecret("", n) }
