package transfer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"skylift/onedrive"
)

// Limits of one conversation with a source.
const (
	dialTimeout    = 5 * time.Second
	tlsTimeout     = 5 * time.Second
	headerTimeout  = 15 * time.Second
	probeTimeout   = 20 * time.Second
	maxRedirects   = 5
	maxHeaderBytes = 64 << 10
	sniffBytes     = 3072 // what mimetype looks at
)

// SourceOptions say where sources may live and what they may cost. Zero values are the defaults.
type SourceOptions struct {
	Allow     []string      // host:port pairs exempt from "public addresses only": SKYLIFT_ALLOW_SOURCES
	Resolver  *net.Resolver // nil: the system's
	MaxBytes  int64         // largest file that is read; 0: 10 GiB
	PerHost   int           // streams at once from one host; 0: 4
	PerUser   int           // streams at once for one user; 0: 8
	MinSpeed  int64         // bytes a second below which a source is too slow; 0: 8 KiB
	Window    time.Duration // over which the speed is measured; 0: 30 s
	Idle      time.Duration // longest silence; 0: 20 s
	Header    time.Duration // longest wait for an answer's head; 0: 15 s
	UserAgent string        // empty: Skylift
}

// Source fetches what people want saved, safely: the third http.Client. It sends no cookies, no
// credentials and no Referer but the page's own to the first origin, follows at most five
// redirects, each judged as anew, and connects to public addresses only.
type Source struct {
	opt   SourceOptions
	guard *guard
	http  *http.Client
	hosts *turnstile
	users *turnstile
}

// NewSource makes the client that talks to foreign servers.
func NewSource(o SourceOptions) *Source {
	setDefault(&o.MaxBytes, 10<<30)
	setDefault(&o.PerHost, 4)
	setDefault(&o.PerUser, 8)
	setDefault(&o.MinSpeed, 8<<10)
	setDefault(&o.Window, 30*time.Second)
	setDefault(&o.Idle, 20*time.Second)
	setDefault(&o.Header, headerTimeout)
	setDefault(&o.UserAgent, "Mozilla/5.0 (compatible; Skylift/1.0)")
	s := &Source{opt: o, guard: newGuard(o.Allow, o.Resolver), hosts: newTurnstile(o.PerHost), users: newTurnstile(o.PerUser)}
	s.http = &http.Client{
		CheckRedirect: s.redirect,
		Transport: &http.Transport{
			Proxy:                  nil, // behind a proxy the guard would see only the proxy's address
			DialContext:            s.guard.dial,
			TLSHandshakeTimeout:    tlsTimeout,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			ResponseHeaderTimeout:  o.Header,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: maxHeaderBytes,
			DisableCompression:     true, // sizes are what arrives, and there is no gzip bomb
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        30 * time.Second,
		},
	}
	return s
}

func setDefault[T int | int64 | time.Duration | string](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Close drops idle connections.
func (s *Source) Close() { s.http.CloseIdleConnections() }

// RoundTripper is the guarded transport below the client: it connects to public addresses and
// those of Allow only, follows nothing and adds nothing.
func (s *Source) RoundTripper() http.RoundTripper { return s.http.Transport }

// Check judges an address by its looks: a *RequestError with sourceRefused for private addresses,
// local names and ports of other protocols. What a name resolves to is judged when it is dialled.
func (s *Source) Check(u *url.URL) error { return s.guard.check(u) }

// SourceError is a source that did not give its file.
type SourceError struct {
	Code       string        // one of the API's source… codes
	Status     int           // HTTP status, 0 when there was no answer
	Temporary  bool          // worth another try
	Settled    bool          // ... but one: what is wrong hardly ever passes
	RetryAfter time.Duration // before that try, at least
}

func (e *SourceError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("source: %s (%d)", e.Code, e.Status)
	}
	return "source: " + e.Code
}

// visit is one request to a source.
type visit struct {
	url    *url.URL
	page   string // Referer, when known
	owner  string
	offset int64  // > 0: resume there, which needs eTag
	eTag   string // strong validator of what was read before
}

// resource is what a source offers.
type resource struct {
	body        *sourceBody // nil after a HEAD
	url         *url.URL    // after redirects
	size        int64       // of the whole file; -1: unknown
	offset      int64       // where body begins
	eTag        string      // strong only
	contentType string      // as sent, without parameters
	seen        kind        // by the first bytes, where somebody looked at them
	disposition string      // as sent
	redirected  bool
}

// kind is what the file is, as far as is known before its bytes come.
func (r *resource) kind() kind {
	if r.seen.mime != "" {
		return r.seen
	}
	return kindOfType(r.contentType)
}

// open starts reading a source. The caller closes the body. With an offset it is a *SourceError
// with sourceUnavailable and status 416 when the file cannot be resumed there: begin again.
func (s *Source) open(ctx context.Context, f visit) (*resource, error) {
	release, err := s.admit(ctx, f)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(nil); release() }
	header := http.Header{}
	if f.offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", f.offset))
		header.Set("If-Range", f.eTag)
	}
	res, err := s.do(ctx, http.MethodGet, f, header)
	if err != nil {
		stop()
		return nil, err
	}
	r, err := s.describe(res, f)
	if err == nil && r.size > s.opt.MaxBytes { // what is only asked for its size OneDrive may fetch by itself
		err = &SourceError{Code: codeSourceTooLarge, Status: res.StatusCode}
	}
	if err != nil {
		res.Body.Close()
		stop()
		return nil, err
	}
	r.body = newSourceBody(ctx, res.Body, r, s.opt, cancel, stop)
	return r, nil
}

// probe learns name, type and size with a HEAD, or with a ranged GET of the first bytes where HEAD
// is refused or when want asks for bytes. The bytes are at most sniffBytes.
func (s *Source) probe(ctx context.Context, f visit, want bool) (*resource, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	release, err := s.admit(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	f.offset = 0
	if !want {
		res, err := s.do(ctx, http.MethodHead, f, http.Header{})
		if err != nil {
			return nil, nil, err
		}
		res.Body.Close()
		if r, err := s.describe(res, f); err == nil {
			return r, nil, nil
		}
	}
	res, err := s.do(ctx, http.MethodGet, f, http.Header{"Range": {"bytes=0-" + strconv.Itoa(sniffBytes-1)}})
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	r, err := s.describe(res, f)
	if err != nil {
		return nil, nil, err
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, sniffBytes))
	if err != nil && len(head) == 0 {
		return nil, nil, brokeOff(ctx)
	}
	return r, head, nil
}

// admit waits shortly for a place among the streams of the host and the user.
func (s *Source) admit(ctx context.Context, f visit) (release func(), err error) {
	user, err := s.users.enter(ctx, f.owner)
	if err != nil {
		return nil, err
	}
	host, err := s.hosts.enter(ctx, strings.ToLower(f.url.Hostname()))
	if err != nil {
		user()
		return nil, err
	}
	return func() { host(); user() }, nil
}

func (s *Source) do(ctx context.Context, method string, f visit, header http.Header) (*http.Response, error) {
	if err := s.guard.check(f.url); err != nil {
		return nil, &SourceError{Code: codeSourceRefused}
	}
	req, err := http.NewRequestWithContext(ctx, method, f.url.String(), nil)
	if err != nil {
		return nil, &SourceError{Code: codeSourceRefused}
	}
	req.Header = header
	req.Header.Set("User-Agent", s.opt.UserAgent)
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Accept-Encoding", "identity")
	if referer := refererFor(f.page, f.url); referer != "" {
		req.Header.Set("Referer", referer)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, broken(ctx, err)
	}
	return res, nil
}

// errRedirect is a redirect that must not be followed.
var errRedirect = errors.New("a redirect that leads nowhere good")

// redirect judges each hop as if it had been asked for, and takes away what the first origin may know only.
func (s *Source) redirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer")
	if len(via) > maxRedirects {
		return errTooManyHops
	}
	u, err := ParseSourceURL(req.URL.String())
	if err != nil || via[len(via)-1].URL.Scheme == "https" && u.Scheme != "https" || s.guard.check(u) != nil {
		return errRedirect
	}
	req.URL, req.Host = u, ""
	return nil
}

var errTooManyHops = errors.New("too many redirects")

// refererFor is what a browser would send from page to u: the whole page within one origin, the
// origin alone elsewhere, nothing from https to http.
func refererFor(page string, u *url.URL) string {
	p, err := url.Parse(page)
	if err != nil || page == "" || p.Host == "" || p.Scheme == "https" && u.Scheme != "https" {
		return ""
	}
	if p.Scheme == u.Scheme && p.Host == u.Host {
		p.User, p.Fragment = nil, ""
		return p.String()
	}
	return p.Scheme + "://" + p.Host + "/"
}

// broken is a request that ended without an answer.
func broken(ctx context.Context, err error) error {
	if err := ended(ctx); err != nil {
		return err
	}
	switch {
	case errors.Is(err, errRedirect):
		return &SourceError{Code: codeSourceRefused}
	case errors.Is(err, errTooManyHops):
		return &SourceError{Code: codeSourceTooManyRedirects}
	case isType[*tls.CertificateVerificationError](err):
		return &SourceError{Code: codeSourceInsecure}
	case unencrypted(err):
		return &SourceError{Code: codeSourceInsecure, Temporary: true, Settled: true, RetryAfter: secondLook}
	case unreachable(err):
		return &SourceError{Code: codeSourceUnreachable, Temporary: true, Settled: true, RetryAfter: secondLook}
	}
	return &SourceError{Code: codeSourceUnavailable, Temporary: true}
}

// secondLook is how long a source that nobody answers for is given before it is looked for once more:
// resolvers lie now and then, and servers are started anew.
const secondLook = 3 * time.Second

// unreachable reports that nobody was there to connect to: no name, a refused connection, no way, or an
// address that the guard refused. These are one kind on purpose. If a name that does not exist were told
// from one that leads inside, strangers could ask for the names of the network around the server; if an
// address beside the server were told from one that refuses, for its addresses.
func unreachable(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "dial" || op.Timeout() {
		return false
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	return !ok || dns.IsNotFound && !dns.IsTemporary // else the resolver is in trouble, not the name
}

// unencrypted reports a server that took the connection and then wanted no TLS, or none of ours.
func unencrypted(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" || errors.Is(err, http.ErrSchemeMismatch) || isType[tls.RecordHeaderError](err)
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// brokeOff is a body that ended before its time, in whatever way: it had begun, so somebody did answer.
func brokeOff(ctx context.Context) error {
	return cmp.Or(ended(ctx), error(&SourceError{Code: codeSourceIncomplete, Temporary: true}))
}

// ended is why a request was ended on our side; nil when it was not, or only for its time.
func ended(ctx context.Context) error {
	if cause, ok := errors.AsType[*SourceError](context.Cause(ctx)); ok {
		return cause
	}
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return nil
}

// describe reads an answer's head, or says what is wrong with it.
func (s *Source) describe(res *http.Response, f visit) (*resource, error) {
	r := &resource{
		url: res.Request.URL, size: res.ContentLength, contentType: mediaType(res.Header.Get("Content-Type")),
		disposition: res.Header.Get("Content-Disposition"), redirected: res.Request.URL.Host != f.url.Host || res.Request.URL.Path != f.url.Path,
	}
	if tag := res.Header.Get("ETag"); len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' && len(tag) <= 256 {
		r.eTag = tag
	}
	switch {
	case res.StatusCode == http.StatusPartialContent:
		first, total, ok := contentRange(res.Header.Get("Content-Range"))
		if !ok || first != f.offset || f.offset > 0 && r.eTag != f.eTag {
			return nil, &SourceError{Code: codeSourceUnavailable, Status: http.StatusRequestedRangeNotSatisfiable, Temporary: true}
		}
		r.offset, r.size = first, total
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && f.offset == 0:
		// To "the first bytes" of an empty file this is the answer.
		r.size = 0
	case res.StatusCode < 200 || res.StatusCode > 299:
		return nil, statusError(res)
	case res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusResetContent:
		r.size = 0
	}
	return r, nil
}

// contentRange reads "bytes first-last/total"; the total may be unknown: -1.
func contentRange(s string) (first, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, all, found := strings.Cut(s, "/")
	from, _, dash := strings.Cut(span, "-")
	first, err := strconv.ParseInt(strings.TrimSpace(from), 10, 64)
	if !ok || !found || !dash || err != nil || first < 0 {
		return 0, 0, false
	}
	if total, err = strconv.ParseInt(strings.TrimSpace(all), 10, 64); err != nil || total < 0 {
		total = -1
	}
	return first, total, true
}

// statusError is the meaning of an answer that is not 2xx.
func statusError(res *http.Response) error {
	e := &SourceError{Code: codeSourceUnavailable, Status: res.StatusCode}
	switch code := res.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		e.Code = codeSourceNotFound
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusPaymentRequired ||
		code == http.StatusProxyAuthRequired || code == http.StatusUnavailableForLegalReasons:
		e.Code = codeSourceUnauthorized
	case code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests || code >= 500,
		code == http.StatusRequestedRangeNotSatisfiable:
		if code == http.StatusTooManyRequests {
			e.Code = codeSourceTooManyRequests
		}
		e.Temporary = true
		e.RetryAfter = onedrive.RetryAfter(res.Header, time.Now())
	}
	return e
}
