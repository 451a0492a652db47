package fakegraph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxBatch is how many requests a batch may hold.
// https://learn.microsoft.com/graph/json-batching
const maxBatch = 20

type batchRequest struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

type batchResponse struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    any               `json:"body,omitempty"`
}

// batch serves POST /$batch: up to 20 requests in one, each as if it had come alone.
func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	s.stamp(w, r)
	w.Header().Set("Cache-Control", "no-store")
	account, refused := s.accessToken(r)
	if refused != nil {
		refused.write(s, w, r)
		return
	}
	var login string
	if account.grant != nil {
		login = account.grant.account.Login
	}
	s.withFaults(w, r, login, []Phase{PhaseBatch, PhaseGraph}, func(w http.ResponseWriter) {
		if e := s.serveBatch(w, r); e != nil {
			e.write(s, w, r)
		}
	})
}

func (s *Server) serveBatch(w http.ResponseWriter, r *http.Request) *wireError {
	var req struct {
		Requests []batchRequest `json:"requests"`
	}
	c := &call{s: s, w: w, r: r}
	if e := c.body(&req); e != nil {
		return e
	}
	if len(req.Requests) == 0 || len(req.Requests) > maxBatch {
		return refuse(400, "BadRequest", "Number of batch request steps must be between 1 and 20.")
	}
	status := map[string]int{}
	responses := []batchResponse{}
	for _, one := range req.Requests {
		if _, twice := status[one.ID]; one.ID == "" || twice {
			return refuse(400, "BadRequest", "The id of a batch request is missing or not unique.")
		}
		answer := s.step(r, one, status)
		status[one.ID] = answer.Status
		responses = append(responses, answer)
	}
	writeJSON(w, http.StatusOK, map[string]any{"responses": responses})
	return nil
}

// step carries one request out. One that depends on a failed request is a 424.
func (s *Server) step(outer *http.Request, one batchRequest, status map[string]int) batchResponse {
	failed := slices.ContainsFunc(one.DependsOn, func(id string) bool { return status[id] == 0 || status[id] >= 400 })
	if failed {
		return batchError(one.ID, refuse(424, "failedDependency", "A request that this one depends on failed."))
	}
	path, err := url.Parse(one.URL)
	if err != nil || path.Host != "" || !strings.HasPrefix(one.URL, "/") || strings.Contains(one.URL, "$batch") {
		return batchError(one.ID, refuse(400, "BadRequest", "The URL of a batch request is not valid."))
	}
	inner, err := http.NewRequestWithContext(outer.Context(), strings.ToUpper(one.Method), "http://batch.invalid", batchBody(one))
	if err != nil {
		return batchError(one.ID, refuse(400, "BadRequest", "The method of a batch request is not valid."))
	}
	inner.Host, inner.TLS, inner.URL.Scheme = outer.Host, outer.TLS, outer.URL.Scheme
	inner.URL.Path, inner.URL.RawPath, inner.URL.RawQuery = "/v1.0"+path.Path, "", path.RawQuery
	inner.URL.Host = ""
	for name, value := range one.Headers {
		inner.Header.Set(name, value)
	}
	inner.Header.Set("Authorization", outer.Header.Get("Authorization"))
	rec := &recording{header: http.Header{}}
	if path.Path == "/me" || path.Path == "/me/" {
		s.me(rec, inner)
	} else {
		s.serveGraph(rec, inner)
	}
	rec.WriteHeader(http.StatusOK)
	return batchAnswer(one.ID, rec)
}

// batchBody is the body of a step: JSON, or base64 in a JSON string.
func batchBody(one batchRequest) io.Reader {
	var text string
	if json.Unmarshal(one.Body, &text) == nil {
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			return bytes.NewReader(raw)
		}
	}
	if len(one.Body) == 0 {
		return http.NoBody
	}
	return bytes.NewReader(one.Body)
}

func batchAnswer(id string, rec *recording) batchResponse {
	answer := batchResponse{ID: id, Status: rec.status, Headers: map[string]string{}}
	for name := range rec.header {
		answer.Headers[name] = rec.header.Get(name)
	}
	switch {
	case rec.body.Len() == 0:
	case json.Valid(rec.body.Bytes()):
		answer.Body = json.RawMessage(rec.body.Bytes())
	default:
		answer.Body = base64.StdEncoding.EncodeToString(rec.body.Bytes())
	}
	return answer
}

func batchError(id string, e *wireError) batchResponse {
	return batchResponse{ID: id, Status: e.status, Body: map[string]any{"error": map[string]any{"code": e.code, "message": e.message}}}
}
