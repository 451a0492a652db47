package fakegraph

import (
	"net/http"
	"time"
)

// served is a file's content on its way out, taken from the drive so that no lock is held.
type served struct {
	item, name, mime, tag string
	modified              time.Time
	blob                  *blob
	inline                bool
}

func (f served) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("ETag", f.tag)
	h.Set("Cache-Control", "private, max-age=0")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if !f.inline || !inlineType(f.mime) {
		h.Set("Content-Disposition", escapedName(f.name))
	}
	http.ServeContent(w, r, "", f.modified, f.blob.reader())
}
