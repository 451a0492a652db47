package fakegraph

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
)

// wireError is a refusal in Graph's envelope.
// https://learn.microsoft.com/graph/errors
type wireError struct {
	status  int
	code    string
	message string
	inner   []string    // codes of nested innerErrors, outermost first
	header  http.Header // further headers, such as WWW-Authenticate or Retry-After; may be nil
}

func (e *wireError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.message) }

// write answers a request with the error.
func (e *wireError) write(s *Server, w http.ResponseWriter, r *http.Request) {
	id := s.stamp(w, r)
	for name, values := range e.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	inner := map[string]any{"date": s.now().UTC().Format("2006-01-02T15:04:05"), "request-id": id}
	inner["client-request-id"] = w.Header().Get("client-request-id")
	for i := len(e.inner) - 1; i >= 0; i-- {
		if i == len(e.inner)-1 {
			inner["code"] = e.inner[i]
			continue
		}
		inner = map[string]any{"code": e.inner[i], "innerError": inner}
	}
	writeJSON(w, e.status, map[string]any{
		"error": map[string]any{"code": e.code, "message": e.message, "innerError": inner},
	})
}

// stamp puts Graph's request-id and client-request-id on the answer and gives the former.
// Calling it again keeps the first id.
func (s *Server) stamp(w http.ResponseWriter, r *http.Request) string {
	h := w.Header()
	if id := h.Get("request-id"); id != "" {
		return id
	}
	id := newGUID()
	h.Set("request-id", id)
	h.Set("client-request-id", id)
	if own := r.Header.Get("client-request-id"); own != "" && len(own) <= 128 {
		h.Set("client-request-id", own)
	}
	return id
}

// writeJSON answers with a status and a JSON body.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the reader has gone; nothing to do about it
}

// newGUID makes a random GUID (version 4).
func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
