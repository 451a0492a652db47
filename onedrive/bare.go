package onedrive

import (
	"context"
	"net/http"
	"net/url"
)

// bareRequest is one call to a monitor or upload URL. It carries no bearer: the URL is the key,
// and Microsoft answers 401 to who brings another one too.
type bareRequest struct {
	op     string
	method string
	url    SecretURL
	header http.Header
	stream *streamedBody
}

// callBare sends it by the bare way out. The host is checked again, because the URL may have
// been stored under another configuration.
func (g *Graph) callBare(ctx context.Context, r bareRequest, limit int64) (answer, error) {
	u, err := url.Parse(r.url.Reveal())
	if err != nil || g.hosts.check(u) != nil {
		return answer{}, &Error{Op: r.op, kind: ErrForeignHost}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), nil)
	if err != nil {
		return answer{}, &Error{Op: r.op, kind: ErrForeignHost}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	return g.roundTrip(g.bare, req, r.op, r.stream, limit)
}
