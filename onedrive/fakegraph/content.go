package fakegraph

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// defaultPutLimit is the largest simple PUT: the current page says 250 MB. For years it was 4 MB
// and real clients still switch to sessions there; Conduct.PutLimit brings that back (microsoft.md §4.1).
const defaultPutLimit = 250 << 20

// putContent serves PUT …/content of an item by path or by id. Its default is replace, and its
// conflictBehavior stands in the query (microsoft.md §1.4, §4.1).
func (c *call) putContent() *wireError {
	limit := c.putLimit()
	if c.r.ContentLength > limit {
		return tooLarge()
	}
	reserved, e := c.beginPut()
	if e != nil {
		return e
	}
	in := newIntake(reserved > 0 || c.r.ContentLength == 0, c.s.opts.NoHash)
	// Of a body of unknown length only as much is kept as was reserved.
	_, err := in.readFrom(c.r.Body, max(reserved, c.r.ContentLength))
	if err == nil && c.r.ContentLength < 0 {
		if more, _ := in.peekMore(c.r.Body); more {
			in.drop()
			_, err = in.readFrom(c.r.Body, limit+1-in.size)
		}
	}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	c.drive.kept -= reserved
	switch {
	case err != nil:
		return invalid("The request body ended too early.")
	case in.size > limit:
		return tooLarge()
	}
	return c.finishPut(in)
}

func (c *call) putLimit() int64 {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	if c.drive.conduct.PutLimit > 0 {
		return c.drive.conduct.PutLimit
	}
	return defaultPutLimit
}

func tooLarge() *wireError {
	return refuse(413, "invalidRequest", "The content is too large for a simple upload.", "maxFileSizeExceeded")
}

// unknownLength is what is kept at most of a chunked body.
const unknownLength = 16 << 20

// beginPut checks all that can be checked before the bytes, and reserves memory for them.
func (c *call) beginPut() (reserved int64, e *wireError) {
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	if _, _, _, e := c.putTarget(); e != nil {
		return 0, e
	}
	size := c.r.ContentLength
	if size < 0 {
		size = unknownLength
	} else if e := c.drive.room(size); e != nil {
		return 0, e
	}
	return c.drive.reserve(c.s, size), nil
}

// putTarget finds parent, name and the item that is there already. The lock is held.
func (c *call) putTarget() (parent *item, name string, there *item, e *wireError) {
	parent, name, e = c.resolveParent()
	if e == nil && parent == nil {
		e = invalid("The root has no content.")
	}
	if e == nil {
		e = c.drive.checkParent(parent)
	}
	if e == nil {
		e = c.drive.checkName(parent, name)
	}
	if e == nil {
		e = checkBehavior(c.conflict())
	}
	if e != nil {
		return nil, "", nil, e
	}
	there = parent.children[nameKey(name)]
	if there != nil && c.drive.locked(there) {
		return nil, "", nil, checkedOut()
	}
	return parent, name, there, c.checkMatch(there)
}

func (c *call) conflict() string {
	if b := c.query.Get("@microsoft.graph.conflictBehavior"); b != "" {
		return b
	}
	return ""
}

func (c *call) finishPut(in *intake) *wireError {
	parent, name, _, e := c.putTarget()
	if e != nil {
		return e
	}
	if in.malware() {
		return malware()
	}
	behavior := c.conflict()
	if behavior == "" {
		behavior = conflictReplace
	}
	it, replaced, e := c.drive.store(parent, name, behavior, c.drive.enriched(name, in.blob()), c.r.Header.Get("Content-Type"), c.now)
	if e != nil {
		return e
	}
	w := c.uploaded(it)
	w.Context = c.base + "/v1.0/$metadata#drives('" + it.drive.id + "')/items/$entity"
	status := http.StatusCreated
	if replaced {
		status = http.StatusOK
	}
	c.answer(status, w)
	return nil
}

// uploaded is the item in the answer to the upload that made it.
func (c *call) uploaded(it *item) *wireItem {
	w := c.render(it)
	if c.drive.conduct.ForeignID {
		w.ID = strings.ToLower(w.ID) + ".0"
	}
	return w
}

// malware is the answer to a file that the scanner doesn't like (microsoft.md §5.5).
func malware() *wireError {
	return refuse(403, "malwareDetected", "Malware was detected in the file.", "virusSuspicious")
}

// reserve counts size bytes as kept and gives how many: 0 when the account's share of memory is
// used up, or when the server keeps no bytes at all. The drive's lock is held.
func (d *drive) reserve(s *Server, size int64) int64 {
	limit := int64(defaultKeptBytes)
	if d.conduct.KeepBytes > 0 {
		limit = d.conduct.KeepBytes
	}
	if s.opts.Discard || size <= 0 || d.kept+size > limit {
		return 0
	}
	d.kept += size
	return size
}

// putItem serves PUT of an item itself, the commit of a deferred upload by sourceUrl. It is
// reported dead with the retirement of upload-from-URL (microsoft.md §0, §4.6).
func (c *call) putItem() *wireError {
	var req itemRequest
	if e := c.body(&req); e != nil {
		return e
	}
	if req.SourceURL != nil {
		return refuse(400, "notSupported", "Upload from URL is not supported.")
	}
	return refuse(405, "notAllowed", "The HTTP method is not allowed here.")
}

// getContent serves GET …/content: 302 to the pre-authenticated address (microsoft.md §3.7).
func (c *call) getContent() *wireError {
	c.drive.mu.RLock()
	defer c.drive.mu.RUnlock()
	it, e := c.resolve()
	if e != nil {
		return e
	}
	if it.blob == nil {
		return invalid("Folders and packages have no content.")
	}
	c.w.Header().Set("Location", c.downloadURL(it, followed))
	c.w.WriteHeader(http.StatusFound)
	return nil
}

// followed marks download addresses that a redirect gave out.
const followed = "followed"

// downloadURL is a pre-authenticated address of the content (microsoft.md §3.7).
func (c *call) downloadURL(it *item, how string) string {
	return c.s.apart(c.base) + "/download/" + c.s.seal("download", it.drive.id, it.id, how, c.now.Add(downloadLife))
}

// download serves a pre-authenticated download address, with ranges. The key is all it takes: a
// bearer is a 401 on personal drives (OAD#1901) and ignored on work drives (OAD#485). It is only
// counted where a redirect led here: a client carries the header along on one host that it would
// drop on the way to Microsoft's other one.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	driveID, itemID, how, ok := s.unseal("download", r.PathValue("key"))
	d := s.driveByID(driveID)
	if !ok || d == nil {
		refuse(401, "unauthenticated", "The download address has expired.").write(s, w, r)
		return
	}
	if r.Header.Get("Authorization") != "" {
		s.count("bearerOnDownload")
		if how != followed && d.kind == personal {
			refuse(401, "unauthenticated", "Authentication failed.").write(s, w, r)
			return
		}
	}
	d.mu.RLock()
	it := d.items[itemID]
	var file served
	if it != nil && it.blob != nil {
		file = served{name: it.name, mime: it.mime, tag: quoted(it.cTag()), blob: it.blob, item: it.id}
		file.modified = it.modified
	}
	d.mu.RUnlock()
	if file.blob == nil {
		notFound().write(s, w, r)
		return
	}
	s.withFaults(w, r, d.owner().Login, []Phase{PhaseContent}, func(w http.ResponseWriter) { file.serve(w, r) })
}

// escapedName is a name for Content-Disposition (RFC 5987).
func escapedName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	return fmt.Sprintf(`attachment; filename="%s"; filename*=UTF-8''%s`, plain, strings.ReplaceAll(url.QueryEscape(name), "+", "%20"))
}

// inlineTypes are safe to show in a browser on the stand-in's own origin.
func inlineType(media string) bool {
	base, _, _ := mime.ParseMediaType(media)
	switch base {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		return true
	}
	return false
}
