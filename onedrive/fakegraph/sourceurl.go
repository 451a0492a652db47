package fakegraph

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// jobState is how far a long-running action is.
type jobState int

const (
	jobQueued jobState = iota
	jobRunning
	jobCompleted
	jobFailed
	jobLost // the service has forgotten it
)

// job is a long-running action that a monitor tells about (microsoft.md §2). mu guards what changes.
type job struct {
	token     string
	drive     *drive
	operation string // DownloadUrl or ItemCopy
	parent    string // item id
	name      string
	behavior  string
	source    *url.URL
	base      string // address that the request came in by
	doomed    bool   // fails at once, as in the temper retired202

	mu          sync.Mutex
	state       jobState
	asked       bool // somebody has looked at the monitor
	size, moved int64
	item        string
	reason      string
	code        string
	endedAt     time.Time
}

// fromURL serves POST …/children with a sourceUrl (microsoft.md §1).
func (c *call) fromURL(req itemRequest) *wireError {
	c.s.count("postSourceUrl")
	if !strings.Contains(strings.ToLower(c.r.Header.Get("Prefer")), "respond-async") {
		// Without it the service drops the request (§1.2); how that looks is told nowhere. A 400
		// is the answer that no client overlooks.
		return invalid("The request must be made with Prefer: respond-async.")
	}
	if !present(req.File) { // trap 11 of microsoft.md §9
		return invalid("The item needs a file facet.")
	}
	source, e := sourceURL(*req.SourceURL)
	if e != nil {
		return e
	}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	parent, e := c.resolve()
	if e == nil {
		e = c.drive.checkParent(parent)
	}
	if e == nil {
		e = c.checkCreate(parent, req)
	}
	if e != nil {
		return e
	}
	return c.byTemper(parent, req, source)
}

// sourceURL refuses what no version of the service fetches.
func sourceURL(text string) (*url.URL, *wireError) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, invalid("The sourceUrl is not valid.")
	}
	return u, nil
}

// byTemper answers as the account's temper says (microsoft.md §0, §1.2, §1.5).
func (c *call) byTemper(parent *item, req itemRequest, source *url.URL) *wireError {
	d := c.drive
	j := &job{
		token: randomText(48), drive: d, operation: "DownloadUrl", parent: parent.id, name: *req.Name,
		behavior: req.Conflict, source: source, base: c.base,
	}
	switch d.conduct.Temper {
	case "legacy", "retired202":
		j.doomed = d.conduct.Temper == "retired202"
		if e := c.s.enqueue(d, j); e != nil {
			return e
		}
		c.w.Header().Set("Location", c.monitorURL(j))
		c.w.WriteHeader(http.StatusAccepted)
		return nil
	case "retired201": // the annotation is ignored, an empty file appears (OAD#1193)
		it, _, e := d.store(parent, *req.Name, req.Conflict, emptyBlob(), "", c.now)
		return c.created(it, e)
	case "retiredNoLocation":
		c.w.WriteHeader(http.StatusAccepted)
		return nil
	default:
		return d.refuseNative()
	}
}

// refuseNative is how a drive says that it doesn't fetch. The wire answer isn't documented
// (microsoft.md §0); Conduct picks another.
func (d *drive) refuseNative() *wireError {
	status, code := d.conduct.RefusalStatus, d.conduct.RefusalCode
	if status == 0 {
		status = 400
		if d.kind == business {
			status = 409 // TGO took 409 as "work account"
		}
	}
	if code == "" {
		code = "notSupported"
		if status == 409 {
			code = "notAllowed"
		}
	}
	return refuse(status, code, "Upload from URL is not supported.")
}

// monitorURL has the form that users saw: /v1.0 is Graph's here, so the monitor stands beside it.
func (c *call) monitorURL(j *job) string {
	base := c.s.apart(c.base)
	if lies := c.drive.conduct.Lies; lies != "" {
		base = strings.TrimSuffix(lies, "/")
	}
	if c.drive.kind == business {
		return base + "/_api/v2.1/drive/operations/" + j.token + "?c=dHJ1ZQ"
	}
	return base + "/monitor/" + j.token
}

// enqueue puts a job behind the account's others: the service works on one at a time for a user
// (microsoft.md §1.5, OAD#1133). The drive's lock is held.
func (s *Server) enqueue(d *drive, j *job) *wireError {
	s.forgetEnded(d, s.now())
	if d.alive >= maxJobs {
		return throttled(60)
	}
	d.alive++
	s.cloud.jobs.put(j.token, j)
	d.jobs = append(d.jobs, j)
	if d.working {
		return nil
	}
	s.cloud.mu.RLock()
	ctx := s.cloud.ctx
	s.cloud.mu.RUnlock()
	if ctx.Err() != nil {
		return nil
	}
	d.working = true
	s.cloud.work.Add(1)
	// The worker ends when the queue is empty, at Reset and at Close.
	go func() {
		defer s.cloud.work.Done()
		for j := d.nextJob(); j != nil && ctx.Err() == nil; j = d.nextJob() {
			s.work(ctx, j)
		}
	}()
	return nil
}

// nextJob takes the oldest job off the queue; nil ends the worker.
func (d *drive) nextJob() *job {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.jobs) == 0 {
		d.working, d.jobs = false, nil
		return nil
	}
	j := d.jobs[0]
	d.jobs[0], d.jobs = nil, d.jobs[1:]
	return j
}

// monitorLife is how long an ended job's monitor still answers (microsoft.md §1.6).
const monitorLife = 4 * time.Hour

// forgetEnded drops the monitors whose time is over. The drive's lock is held.
func (s *Server) forgetEnded(d *drive, now time.Time) {
	for len(d.ended) > 0 && now.Sub(d.ended[0].ended()) >= monitorLife {
		s.cloud.jobs.drop(d.ended[0].token)
		d.ended[0], d.ended = nil, d.ended[1:]
		d.alive--
	}
}

func (j *job) ended() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.endedAt
}

// end writes down how the job ended. The drive's lock must not be held.
func (j *job) end(now time.Time, state jobState, item, code, reason string) {
	j.drive.mu.Lock()
	j.drive.ended = append(j.drive.ended, j)
	j.drive.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state, j.item, j.code, j.reason, j.endedAt = state, item, code, reason, now
}

func (j *job) fail(now time.Time, code, reason string) { j.end(now, jobFailed, "", code, reason) }
