package onedrive

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Limits of one call.
const (
	callTimeout = 30 * time.Second // of a call whose body and answer are small
	maxAnswer   = 8 << 20          // bytes of an answer's body: a page of 200 items is about 300 KiB
	maxHeader   = 64 << 10         // bytes of an answer's header
)

// Config says where Graph is and who may answer for it.
type Config struct {
	GraphURL  string       // base with version; empty: https://graph.microsoft.com/v1.0
	Hosts     []string     // hosts that monitor and upload URLs may have besides Microsoft's: see hostList
	Graph     *http.Client // its Transport carries calls to Graph; nil: NewHTTPClient
	Bare      *http.Client // its Transport carries calls to monitor and upload URLs; nil: a guarded one that dials public addresses only
	Observe   func(Call)   // told of every call, for metrics; nil: nobody is
	UserAgent string       // https://learn.microsoft.com/sharepoint/dev/general-development/how-to-avoid-getting-throttled-or-blocked-in-sharepoint-online asks for ISV|Company|App/1.0
}

// Call is what an observer learns of one HTTP request to Microsoft: nothing in it is anybody's.
type Call struct {
	Op     string        // in a few fixed words: "create folder"
	Status int           // of the answer; 0: none came
	Took   time.Duration // until the answer was read
}

// Graph is the drive part of Microsoft Graph; Client makes it speak for one person. It keeps
// two ways out that never mix: to Graph itself with a bearer, and bare to the monitor and upload
// URLs that Graph hands out. Both use the transport directly, so that redirects are never
// followed and cookies never kept.
type Graph struct {
	base      *url.URL
	hosts     hostList
	graph     http.RoundTripper
	bare      http.RoundTripper
	observe   func(Call)
	userAgent string
	driveIDs  sync.Map // of fifteen digits, in lower case: the ids that drives answered under
}

// New checks the configuration and makes a Graph.
func New(config Config) (*Graph, error) {
	if config.GraphURL == "" {
		config.GraphURL = "https://graph.microsoft.com/v1.0"
	}
	base, err := url.Parse(strings.TrimRight(config.GraphURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("onedrive: %q is no address of a Graph", config.GraphURL)
	}
	hosts, err := newHostList(base, config.Hosts)
	if err != nil {
		return nil, err
	}
	g := &Graph{base: base, hosts: hosts, observe: config.Observe, userAgent: config.UserAgent}
	if g.observe == nil {
		g.observe = func(Call) {}
	}
	if g.userAgent == "" {
		g.userAgent = "NONISV|Skylift|Skylift/1.0"
	}
	if g.graph = transportOf(config.Graph); g.graph == nil {
		g.graph = NewHTTPClient().Transport
	}
	if g.bare = transportOf(config.Bare); g.bare == nil {
		g.bare = newBareTransport(hosts)
	}
	return g, nil
}

// CloseIdleConnections ends what is kept open and unused.
func (g *Graph) CloseIdleConnections() {
	for _, way := range []http.RoundTripper{g.graph, g.bare} {
		(&http.Client{Transport: way}).CloseIdleConnections()
	}
}

func transportOf(c *http.Client) http.RoundTripper {
	switch {
	case c == nil:
		return nil
	case c.Transport == nil:
		return http.DefaultTransport
	}
	return c.Transport
}

// NewHTTPClient returns the client for addresses that the operator chose (Graph, sign-in): no
// proxy, no redirects, no cookies, a limit on each wait.
func NewHTTPClient() *http.Client {
	return &http.Client{
		Transport:     newTransport((&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       callTimeout,
	}
}

func newTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
		WriteBufferSize:        64 << 10,
	}
}

// TokenSource gives the access token of one person. Stale is the token that Graph just refused,
// empty at first: a source that still holds that token must get another. Its errors come back to
// the caller wrapped, so that errors.Is sees them; they are an ErrUnavailable, too, unless they are
// an ErrUnauthenticated: nobody is signed in any more.
type TokenSource func(ctx context.Context, stale string) (string, error)

// Client speaks to Graph for one person. It is cheap: make one per request or per transfer.
type Client struct {
	g     *Graph
	token TokenSource
}

// Client returns the client of the person whose tokens the source gives.
func (g *Graph) Client(token TokenSource) *Client { return &Client{g: g, token: token} }

// request is one call to Graph.
type request struct {
	op     string // in words, for errors: "create folder"
	method string
	path   []string   // segments below the base, raw: escaped one by one
	url    *url.URL   // instead of path: a next link of Graph, already checked
	query  url.Values // the names keep their $ and @
	header http.Header
	body   any           // sent as JSON
	stream *streamedBody // instead of body: bytes that are not kept
}

// answer is what came back, its body read and bounded.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request to Graph with the person's bearer and decodes a 2xx answer into the value
// (nil: not wanted). A refused token is refreshed once, and a drive's id that has lost its zero mended;
// nothing else is ever repeated here, because only the caller knows what may be done twice.
func (c *Client) do(ctx context.Context, r request, into any) (answer, error) {
	a, err := c.sendToDrive(ctx, r)
	if err != nil {
		return answer{}, err
	}
	if a.status < 200 || a.status > 299 {
		return a, newError(r.op, a)
	}
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			return a, &Error{Op: r.op, Status: a.status, kind: ErrUnavailable, cause: errNotJSON}
		}
	}
	return a, nil
}

// send makes the call, and once more with a new token when Graph refuses the first. One that was made a
// moment ago is not given up at a single word: see doubt.
func (c *Client) send(ctx context.Context, r request) (answer, error) {
	stale := ""
	for {
		token, err := c.token(ctx, stale)
		if err != nil {
			return answer{}, noToken(ctx, r.op, err)
		}
		a, err := c.g.callGraph(ctx, r, token)
		switch {
		case err != nil || a.status != http.StatusUnauthorized || stumbles(a):
			return a, err
		case stale != "":
			return c.doubt(ctx, r, a, token)
		}
		if stale = token; r.stream != nil && !r.stream.rewind() {
			return answer{}, c.refreshForNextTime(ctx, r.op, stale)
		}
	}
}

// doubt judges the answer to a call that Graph refused with a token that was made a moment ago. The
// person has to sign in again only if their own drive refuses it, too. Else Microsoft stumbles, which it does
// in waves, or the drive is another's: some services say 401 to who may not reach it.
func (c *Client) doubt(ctx context.Context, r request, a answer, token string) (answer, error) {
	own, err := c.g.callGraph(ctx, request{op: "check sign-in", method: http.MethodGet, path: []string{"me", "drive"},
		query: url.Values{"$select": {"id"}}}, token)
	if err != nil || own.status == http.StatusUnauthorized && !stumbles(own) {
		return a, err
	}
	e := newError(r.op, a)
	e.kind = ErrUnavailable
	var d Drive
	if own.status == http.StatusOK && json.Unmarshal(own.body, &d) == nil && r.foreign(d.ID) {
		e.kind = ErrAccessDenied
	}
	return a, e
}

// foreign reports a call to another drive than the own one.
func (r request) foreign(own string) bool {
	return len(r.path) > 1 && r.path[0] == "drives" && !strings.EqualFold(r.path[1], own)
}

// refreshForNextTime replaces a token that was refused after the bytes of a stream were gone:
// the call cannot be repeated here, but the caller's next try will pass.
func (c *Client) refreshForNextTime(ctx context.Context, op, stale string) error {
	if _, err := c.token(ctx, stale); err != nil {
		return noToken(ctx, op, err)
	}
	return &Error{Op: op, kind: ErrUnavailable, cause: errors.New("the token ran out while the bytes were sent")}
}

// noToken is a call that was not made for want of a token. Unless the person has to sign in again it is
// the sign-in's trouble, as passing as Graph's own.
func noToken(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil || errors.Is(err, ErrUnauthenticated) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return fmt.Errorf("%s: %w: no token: %w", op, ErrUnavailable, err)
}

// callGraph makes one HTTP request to Graph.
func (g *Graph) callGraph(ctx context.Context, r request, token string) (answer, error) {
	address, err := g.address(r)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", r.op, err)
	}
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return answer{}, fmt.Errorf("%s: %w", r.op, err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address.String(), body)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", r.op, ErrBadName)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	return g.roundTrip(g.graph, req, r.op, r.stream, maxAnswer)
}

// roundTrip makes one observed HTTP request.
func (g *Graph) roundTrip(way http.RoundTripper, req *http.Request, op string, stream *streamedBody, limit int64) (answer, error) {
	begin := time.Now()
	a, err := g.exchange(way, req, op, stream, limit)
	g.observe(Call{op, a.status, time.Since(begin)})
	return a, err
}

// exchange sends a request by one of the two ways out, with a deadline, and reads the answer.
func (g *Graph) exchange(way http.RoundTripper, req *http.Request, op string, stream *streamedBody, limit int64) (answer, error) {
	outer := req.Context()
	ctx, cancel := context.WithTimeoutCause(outer, callTimeout, errTooSlow)
	if stream != nil {
		cancel()
		ctx, cancel = stream.watch(outer)
		stream.attach(req)
	}
	defer cancel()
	req = req.WithContext(ctx)
	req.Header.Set("User-Agent", g.userAgent)
	req.Header.Set("client-request-id", newGUID())
	response, err := way.RoundTrip(req)
	if err != nil {
		return answer{}, networkError(outer, ctx, op, stream, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return answer{}, networkError(outer, ctx, op, stream, err)
	}
	if int64(len(body)) > limit {
		return answer{}, &Error{Op: op, Status: response.StatusCode, kind: ErrUnavailable, cause: errors.New("the answer is too long")}
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

// address puts a request's URL together. Each segment is escaped by itself, so that no id and
// no name can reach another part of Graph.
func (g *Graph) address(r request) (*url.URL, error) {
	u := r.url
	if u == nil {
		var path strings.Builder
		for _, segment := range r.path {
			if plain := strings.TrimSuffix(segment, ":"); plain == "" || plain == "." || plain == ".." {
				return nil, ErrBadName
			}
			path.WriteByte('/')
			path.WriteString(escape(segment))
		}
		var err error
		if u, err = url.Parse(g.base.String() + path.String()); err != nil {
			return nil, ErrBadName
		}
	}
	if len(r.query) > 0 {
		copied := *u
		copied.RawQuery = encodeQuery(r.query)
		u = &copied
	}
	return u, nil
}

// escape is url.PathEscape that leaves a call such as search(q='…') in the shape that Microsoft documents.
func escape(segment string) string {
	if inside, found := strings.CutPrefix(segment, "search(q='"); found {
		return "search(q='" + url.PathEscape(strings.TrimSuffix(inside, "')")) + "')"
	}
	return url.PathEscape(segment)
}

// encodeQuery is Values.Encode with the $ and @ of OData names and spaces as %20.
func encodeQuery(query url.Values) string {
	return strings.NewReplacer("%24", "$", "%40", "@", "+", "%20").Replace(query.Encode())
}

// idPattern is what every id of Graph that was ever seen looks like; nothing else enters a path.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9!._-]{1,128}$`)

func validID(id string) bool { return idPattern.MatchString(id) && id != "." && id != ".." }

// path gives the segments of the item, or why the ids are none.
func (r Ref) path() ([]string, error) {
	path := []string{"me", "drive"}
	if r.DriveID != "" {
		path = []string{"drives", r.DriveID}
	}
	if r.ID == "" {
		path = append(path, "root")
	} else {
		path = append(path, "items", r.ID)
	}
	for _, id := range []string{r.DriveID, r.ID} {
		if id != "" && !validID(id) {
			return nil, fmt.Errorf("%w: not an id", ErrNotFound)
		}
	}
	return path, nil
}

// childPath gives the segments of the child of that name: …/items/{id}:/{name}
func (r Ref) childPath(name string, after ...string) ([]string, error) {
	path, err := r.path()
	if err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	path[len(path)-1] += ":"
	if len(after) > 0 {
		name += ":"
	}
	return append(append(path, name), after...), nil
}

// newGUID returns a random version 4 GUID.
func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
