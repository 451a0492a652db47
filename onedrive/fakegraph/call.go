package fakegraph

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// call is one request to the drive part of Graph.
type call struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	account *Account // who asks
	others  bool     // the token reaches files that are not the person's own
	drive   *drive   // whose drive it is about
	place   place
	query   url.Values
	base    string
	now     time.Time
}

// operation is one thing that can be asked of a drive or an item.
type operation struct {
	phase Phase
	units float64 // resource units, microsoft.md §5.1
	serve func(*call) *wireError
}

// operationTable is what can be asked, by method and action. What is asked of the drive itself
// begins with "drive".
func operationTable() map[string]operation {
	return map[string]operation{
		"GET drive":                {PhaseDrive, 1, (*call).getDrive},
		"GET drive drives":         {PhaseDrive, 1, (*call).listDrives},
		"GET drive recent":         {PhaseSearch, 2, (*call).recent},
		"GET drive sharedWithMe":   {PhaseSearch, 2, (*call).sharedWithMe},
		"GET drive search":         {PhaseSearch, 2, (*call).search},
		"GET drive special":        {PhaseItem, 1, (*call).listSpecial},
		"GET search":               {PhaseSearch, 2, (*call).search},
		"GET drive delta":          {PhaseDelta, 2, (*call).delta},
		"GET delta":                {PhaseDelta, 2, (*call).delta},
		"GET":                      {PhaseItem, 1, (*call).getItem},
		"PATCH":                    {PhasePatch, 2, (*call).patchItem},
		"PUT":                      {PhaseFolder, 2, (*call).putItem},
		"DELETE":                   {PhaseDelete, 2, (*call).deleteItem},
		"GET children":             {PhaseChildren, 2, (*call).listChildren},
		"POST children":            {PhaseFolder, 2, (*call).createChild},
		"GET content":              {PhaseContent, 2, (*call).getContent},
		"HEAD content":             {PhaseContent, 1, (*call).getContent},
		"PUT content":              {PhasePut, 2, (*call).putContent},
		"POST createUploadSession": {PhaseSession, 2, (*call).createSession},
		"POST copy":                {PhaseCopy, 2, (*call).copyItem},
		"POST createLink":          {PhasePatch, 5, (*call).createLink},
		"GET permissions":          {PhaseItem, 5, (*call).listPermissions},
		"GET thumbnails":           {PhaseThumbnails, 1, (*call).thumbnails},
	}
}

// serveGraph serves everything below /v1.0/ that is about drives.
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request) {
	s.stamp(w, r)
	w.Header().Set("x-ms-ags-diagnostic", `{"ServerInfo":{"DataCenter":"Stand-in","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"FAKE0001"}}`)
	w.Header().Set("Cache-Control", "no-store")
	account, others, refused := s.bearer(r)
	if refused != nil {
		refused.write(s, w, r)
		return
	}
	c := &call{s: s, w: w, r: r, account: account, others: others, base: s.base(r), now: s.now()}
	if e := c.serve(); e != nil {
		e.write(s, w, r)
	}
}

func (c *call) serve() (e *wireError) {
	path := strings.TrimPrefix(c.r.URL.Path, "/v1.0/")
	var err error
	if c.query, err = url.ParseQuery(c.r.URL.RawQuery); err != nil {
		return invalid("The query is not valid.")
	}
	if c.place, e = parsePlace(path); e != nil {
		return e
	}
	if e := c.findDrive(); e != nil {
		return e
	}
	op, e := c.operation()
	if e != nil {
		return e
	}
	if e := c.meter(op.units); e != nil {
		return e
	}
	if op.phase == PhaseItem || op.phase == PhaseChildren {
		c.drive = c.drive.lagging(c.now)
	}
	phases := c.phases(op)
	c.s.withFaults(c.w, c.r, c.account.Login, phases, func(w http.ResponseWriter) {
		c.w = w
		if e := op.serve(c); e != nil {
			e.write(c.s, w, c.r)
		}
	})
	return nil
}

// phases are the names under which a fault finds this request.
func (c *call) phases(op operation) []Phase {
	switch {
	case op.phase == PhaseFolder && c.native():
		return []Phase{PhaseNative, PhaseGraph}
	case op.phase == PhasePut:
		return []Phase{PhasePut, PhaseComplete, PhaseGraph}
	}
	return []Phase{op.phase, PhaseGraph}
}

// native looks into the body of a POST …/children for an upload from URL.
func (c *call) native() bool {
	head, err := io.ReadAll(io.LimitReader(c.r.Body, maxJSON+1))
	rest := c.r.Body
	c.r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), rest}
	return err == nil && bytes.Contains(head, []byte(`"@microsoft.graph.sourceUrl"`))
}

// operation finds what is asked for: by method and action, on the drive or on an item.
func (c *call) operation() (operation, *wireError) {
	action, _, _ := strings.Cut(c.place.action, "(")
	key := strings.TrimSpace(action)
	if c.place.onDrive {
		key = strings.TrimSpace("drive " + key)
	}
	method := c.r.Method
	if method == http.MethodHead && key != "content" {
		method = http.MethodGet
	}
	if op, ok := c.s.cloud.operations[strings.TrimSpace(method+" "+key)]; ok {
		return op, nil
	}
	for known := range c.s.cloud.operations {
		if _, k, _ := strings.Cut(known, " "); k == key {
			return operation{}, refuse(405, "notAllowed", "The HTTP method is not allowed here.")
		}
	}
	return operation{}, unknownSegment(action)
}

// findDrive finds the drive that the address names. Another's drive is found only by who has
// something shared in it; whether it exists is nobody's business (404 for both).
func (c *call) findDrive() *wireError {
	own := c.s.driveOf(c.account)
	c.drive = own
	if u := c.place.user; u != "" && !c.isCaller(u) {
		return notFound()
	}
	if c.place.drive != "" && !strings.EqualFold(c.place.drive, "me") {
		if c.drive = c.s.driveByID(c.place.drive); c.drive == nil {
			return notFound()
		}
	}
	if c.drive != own && !c.others {
		return c.refuseScope(own)
	}
	if c.drive != own && c.place.item == "" {
		return notFound() // the root of another's drive is never shared
	}
	c.drive.mu.Lock()
	defer c.drive.mu.Unlock()
	c.s.finishDue(c.drive, c.now)
	c.drive.ripen(c.now)
	if name := c.place.special; name != "" && c.drive.specialFolder(name, c.now) == nil {
		return notFound()
	}
	if c.drive.conduct.NoDrive {
		// What a work account without OneDrive says (microsoft.md §3.5).
		return refuse(400, "BadRequest", "Tenant does not have a SPO license.")
	}
	return nil
}

// refuseScope is the answer to who may not reach drives of others: services differ in it.
func (c *call) refuseScope(own *drive) *wireError {
	own.mu.RLock()
	defer own.mu.RUnlock()
	switch own.conduct.ScopeRefusal {
	case http.StatusNotFound:
		return notFound()
	case http.StatusUnauthorized:
		return c.s.unauthorized(c.r, "The caller is not authenticated.", "invalid_token")
	}
	return errScope()
}

func (c *call) isCaller(user string) bool {
	return strings.EqualFold(user, c.account.Login) || strings.EqualFold(user, c.account.ObjectID) ||
		strings.EqualFold(user, c.account.graphID()) || strings.EqualFold(user, "me")
}

// resolve finds the item that the address names. The drive's lock is held.
func (c *call) resolve() (*item, *wireError) {
	it, rest, e := c.start()
	if e != nil {
		return nil, e
	}
	if it = it.descend(rest); it == nil {
		return nil, notFound()
	}
	return it, nil
}

// resolveParent finds the folder and the name of the last path segment, which need not exist.
func (c *call) resolveParent() (parent *item, name string, e *wireError) {
	start, rest, e := c.start()
	if e != nil {
		return nil, "", e
	}
	if len(rest) == 0 {
		return start.parent, start.name, nil
	}
	if parent = start.descend(rest[:len(rest)-1]); parent == nil {
		return nil, "", notFound() // a child's parent must exist
	}
	return parent, rest[len(rest)-1], nil
}

// start is the item that the path is relative to.
func (c *call) start() (*item, []string, *wireError) {
	p := c.place
	it := c.drive.root
	switch {
	case p.special != "":
		if it = c.drive.special[p.special]; it == nil {
			return nil, nil, notFound()
		}
	case p.item != "":
		if it = c.drive.items[p.item]; it == nil && c.drive.conduct.ForeignID {
			return nil, nil, invalid("The id of the item is not valid.")
		} else if it == nil {
			return nil, nil, notFound()
		}
	}
	if !it.readableBy(c.account.Login) {
		return nil, nil, notFound()
	}
	return it, p.path, nil
}

// maxJSON bounds a JSON body.
const maxJSON = 1 << 20

// body reads a JSON request. Its errors are what users saw: BadRequest without a JSON payload
// (OAD#745), invalidRequest for broken JSON (OAD#318).
func (c *call) body(into any) *wireError {
	media, _, _ := strings.Cut(c.r.Header.Get("Content-Type"), ";")
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxJSON))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(413, "invalidRequest", "The request is too large.")
	case err != nil:
		return invalid("The request could not be read.")
	case len(raw) == 0 || !strings.EqualFold(strings.TrimSpace(media), "application/json"):
		return refuse(400, "BadRequest", "Empty Payload. JSON content expected.")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid("The JSON of the request is not valid.")
	}
	return nil
}

// checkMatch honours If-Match and If-None-Match of a change (412). it may be nil: nothing there.
func (c *call) checkMatch(it *item) *wireError {
	if want := c.r.Header.Get("If-Match"); want != "" {
		if it == nil || want != "*" && !sameTag(want, it.eTag()) && !sameTag(want, it.cTag()) {
			return modified()
		}
	}
	if avoid := c.r.Header.Get("If-None-Match"); avoid != "" && it != nil {
		if avoid == "*" || sameTag(avoid, it.eTag()) {
			return modified()
		}
	}
	return nil
}

// meter counts resource units of the running minute (microsoft.md §5.1): from 80 % on the
// RateLimit headers appear, beyond the end every call is a 429, and moves the end of the wait.
func (c *call) meter(units float64) *wireError {
	d := c.s.driveOf(c.account)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conduct.Throttled {
		c.s.count("throttled")
		e := throttled(2)
		if wait := d.conduct.RetryAfter; wait > 0 {
			e = throttled(wait.Seconds())
		} else if wait < 0 {
			e.header.Del("Retry-After")
		}
		return e
	}
	limit := float64(d.conduct.UnitsPerMinute)
	if limit <= 0 {
		return nil
	}
	if c.now.Sub(d.unitsAt) >= time.Minute || c.now.Before(d.unitsAt) {
		d.units, d.unitsAt = 0, c.now
	}
	if d.units += units; d.units > limit {
		d.unitsAt = c.now // who asks before the wait is over begins it anew
	}
	reset := math.Ceil((time.Minute - c.now.Sub(d.unitsAt)).Seconds())
	if d.units >= 0.8*limit {
		h := c.w.Header()
		h.Set("RateLimit-Limit", strconv.FormatFloat(limit, 'f', -1, 64))
		h.Set("RateLimit-Remaining", strconv.FormatFloat(math.Max(0, limit-d.units), 'f', -1, 64))
		h.Set("RateLimit-Reset", strconv.FormatFloat(reset, 'f', -1, 64))
	}
	if d.units > limit {
		c.s.count("throttled")
		return throttled(reset)
	}
	return nil
}
