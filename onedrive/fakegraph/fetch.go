package fakegraph

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Limits of the service's own fetch. Users report 50 MB to 100 MB (microsoft.md §1.5).
const (
	nativeLimit = 100 << 20
	fetchTime   = 10 * time.Minute
	// stuckTime is when a job that never moves is forgotten.
	stuckTime = time.Hour
)

// work carries one upload-from-URL out, as far as the account's conduct lets it.
func (s *Server) work(ctx context.Context, j *job) {
	d := j.drive
	start := s.now()
	stuck := func() bool { return !d.conductNow().Stuck }
	if s.waitUntilUnstuck(ctx, start.Add(stuckTime), stuck) != nil {
		return
	}
	if !stuck() {
		j.end(s.now(), jobLost, "", "", "")
		return
	}
	conduct := d.conductNow()
	switch {
	case j.doomed:
		j.fail(s.now(), "notSupported", "Upload from URL is not available.")
		return
	case conduct.MonitorLost:
		j.end(s.now(), jobLost, "", "", "")
		return
	case conduct.Vanish:
		j.end(s.now(), jobCompleted, d.phantomID(), "", "")
		return
	}
	j.mu.Lock()
	j.state = jobRunning
	j.mu.Unlock()
	in, mime, err := s.fetch(ctx, j)
	if err != nil {
		j.fail(s.now(), "generalException", err.Error())
		return
	}
	s.deliver(j, in, mime)
}

// waitUntilUnstuck returns at once for a drive that isn't stuck.
func (s *Server) waitUntilUnstuck(ctx context.Context, t time.Time, done func() bool) error {
	if done() {
		return ctx.Err()
	}
	return s.waitUntil(ctx, t, done)
}

// phantomID is the id of an item that nobody will ever find.
func (d *drive) phantomID() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newItemID()
}

// deliver makes the file. It appears only when it is whole (microsoft.md §1.6).
func (s *Server) deliver(j *job, in *intake, mime string) {
	d, now := j.drive, s.now()
	d.mu.Lock()
	d.kept -= in.reserved
	it, reason := d.accept(j, in, mime, now)
	d.mu.Unlock()
	if reason != "" {
		j.fail(now, "generalException", reason)
		return
	}
	j.end(now, jobCompleted, it.id, "", "")
}

// accept puts the fetched file into the drive; reason says why not. The drive's lock is held.
func (d *drive) accept(j *job, in *intake, mime string, now time.Time) (it *item, reason string) {
	parent := d.items[j.parent]
	switch {
	case d.checkParent(parent) != nil:
		return nil, "The parent folder is gone"
	case in.malware():
		return nil, "Malware was detected in the file"
	}
	behavior := j.behavior
	switch d.conduct.NativeConflict { // microsoft.md §1.4
	case "", conflictReplace:
		behavior = conflictReplace
	case conflictFail:
		behavior = conflictFail
	}
	if there := parent.children[nameKey(j.name)]; there != nil && d.locked(there) {
		return nil, "The item is locked"
	}
	it, _, e := d.store(parent, j.name, behavior, in.blob(), mime, now)
	if e != nil && e.status == 409 {
		return nil, "An item called " + j.name + " is already there"
	}
	if e != nil {
		return nil, e.message
	}
	it.source = withoutQuery(j.source)
	return it, ""
}

// withoutQuery is an address that can be shown: queries may be keys.
func withoutQuery(u *url.URL) string {
	plain := *u
	plain.RawQuery, plain.Fragment, plain.User = "", "", nil
	return plain.String()
}

// fetch downloads the source: no cookies, no redirects (microsoft.md §1.2, §1.6).
func (s *Server) fetch(ctx context.Context, j *job) (*intake, string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	came := s.now()
	if o := s.cloud.faults.match(j.drive.owner().Login, []Phase{PhaseSource}); o != nil {
		if o.fault.Action != Stall {
			return nil, "", fmt.Errorf("the source answered %d", o.fault.Status)
		}
		if err := s.stalled(ctx, o, came); err != nil {
			return nil, "", err
		}
	}
	res, err := s.getSource(ctx, j)
	if err != nil {
		return nil, "", errors.New("the source could not be reached")
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("the source answered %d", res.StatusCode)
	case res.ContentLength > nativeLimit:
		return nil, "", errors.New("the source is too large")
	}
	in, err := s.receive(ctx, j, res)
	return in, res.Header.Get("Content-Type"), err
}

func (s *Server) getSource(ctx context.Context, j *job) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.source.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "OneDrive-stand-in/1.0")
	req.Header.Set("Accept-Encoding", "identity")
	if s.ownSample(j) {
		return s.serveSelf(req)
	}
	via := s.opts.Fetch
	if via == nil {
		via = publicOnly
	}
	return via.RoundTrip(req)
}

// receive takes the bytes in, at the account's pace, and counts them for the monitor.
func (s *Server) receive(ctx context.Context, j *job, res *http.Response) (*intake, error) {
	d, start := j.drive, s.now()
	d.mu.Lock()
	e := d.room(max(0, res.ContentLength))
	size := res.ContentLength
	if size < 0 {
		size = unknownLength
	}
	reserved := d.reserve(s, size)
	d.mu.Unlock()
	in := newIntake(reserved > 0, s.opts.NoHash)
	in.reserved = reserved
	free := func() { d.mu.Lock(); d.kept -= reserved; d.mu.Unlock() }
	if e != nil {
		free()
		return nil, errors.New(e.message)
	}
	j.mu.Lock()
	j.size = max(0, res.ContentLength)
	j.mu.Unlock()
	body := io.Reader(res.Body)
	if cut := d.conductNow().NativeCut; cut > 0 {
		body = io.LimitReader(body, cut)
	}
	for {
		n, err := in.readFrom(body, 16<<10)
		j.mu.Lock()
		j.moved = in.size
		j.mu.Unlock()
		if in.keep && in.size > reserved {
			in.drop()
		}
		switch {
		case err != nil:
			free()
			return nil, errors.New("the source broke off")
		case in.size > nativeLimit:
			free()
			return nil, errors.New("the source is too large")
		}
		if e := s.pace(ctx, j, in.size, start); e != nil {
			free()
			return nil, e
		}
		if n < 16<<10 {
			if in.size == 0 { // an empty file is kept as one
				in.keep = true
			}
			return in, nil
		}
	}
}

// pace waits until so many bytes are due at the account's speed.
func (s *Server) pace(ctx context.Context, j *job, moved int64, start time.Time) error {
	slow := j.drive.conductNow().Slow
	if slow <= 0 {
		return ctx.Err()
	}
	due := start.Add(time.Duration(float64(moved) / float64(slow) * float64(time.Second)))
	return s.waitUntil(ctx, due, func() bool { return j.drive.conductNow().Slow != slow })
}

// ownSample reports whether the source is one of the stand-in's sample pictures, which need no network.
func (s *Server) ownSample(j *job) bool {
	base, err := url.Parse(j.base)
	return err == nil && j.source.Scheme == base.Scheme && sameHost(j.source, base) && strings.HasPrefix(j.source.Path, s.opts.Prefix+"/samples/")
}

// sameHost compares hosts; localhost and the loopback addresses are one.
func sameHost(a, b *url.URL) bool {
	if a.Port() != b.Port() {
		return false
	}
	return strings.EqualFold(a.Hostname(), b.Hostname()) || loopback(a.Hostname()) && loopback(b.Hostname())
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// publicOnly is the transport of a Server without Options.Fetch: like OneDrive it reaches public
// addresses only, checked when the connection is made, after the name is resolved.
var publicOnly http.RoundTripper = &http.Transport{
	Proxy: nil,
	DialContext: (&net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		if ap, err := netip.ParseAddrPort(address); err != nil || !publicAddress(ap.Addr()) {
			return errors.New("not a public address")
		}
		return nil
	}}).DialContext,
	TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: 10 * time.Second,
	DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
}

// shared are address blocks that net/netip doesn't know as private.
var reservedBlocks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
}

func publicAddress(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	if ip.Is6() { // only what is given out: no translation, documentation or local blocks
		return netip.MustParsePrefix("2000::/3").Contains(ip) && !netip.MustParsePrefix("2002::/16").Contains(ip) &&
			!netip.MustParsePrefix("2001::/23").Contains(ip) && !netip.MustParsePrefix("2001:db8::/32").Contains(ip)
	}
	for _, block := range reservedBlocks {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}

// serveSelf asks the server itself, without a connection. The body is streamed.
func (s *Server) serveSelf(req *http.Request) (*http.Response, error) {
	reader, writer := io.Pipe()
	w := &pipeWriter{body: writer, header: http.Header{}, ready: make(chan struct{})}
	req = req.Clone(req.Context())
	// The handler ends when it is done or when the reader of the body has gone.
	go func() {
		defer w.WriteHeader(http.StatusOK)
		defer writer.Close()
		defer func() { // a handler that cuts its connection panics
			if p := recover(); p != nil {
				_ = writer.CloseWithError(io.ErrUnexpectedEOF)
			}
		}()
		req.RequestURI, req.Host = req.URL.RequestURI(), req.URL.Host
		s.ServeHTTP(w, req)
	}()
	context.AfterFunc(req.Context(), func() { _ = reader.CloseWithError(req.Context().Err()) })
	select {
	case <-w.ready:
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	length := int64(-1)
	if _, err := fmt.Sscan(w.sent.Get("Content-Length"), &length); err != nil {
		length = -1
	}
	return &http.Response{StatusCode: w.status, Header: w.sent, Body: reader, ContentLength: length}, nil
}

// pipeWriter is an http.ResponseWriter into a pipe.
type pipeWriter struct {
	body   *io.PipeWriter
	header http.Header
	sent   http.Header
	status int
	ready  chan struct{}
}

func (p *pipeWriter) Header() http.Header { return p.header }

func (p *pipeWriter) WriteHeader(status int) {
	if p.status == 0 {
		p.status, p.sent = status, p.header.Clone()
		close(p.ready)
	}
}

func (p *pipeWriter) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

// Flush is there because slow samples flush.
func (p *pipeWriter) Flush() {}
