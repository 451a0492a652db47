package transfer

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// hit is one thing that goes wrong.
type hit struct {
	name   string
	fault  fakegraph.Fault // at Microsoft, when it has a Phase
	before error           // the request does not even leave
	source func(http.ResponseWriter, *http.Request)
}

// unheard reports a fault whose request takes effect although its answer is lost or cannot be read.
func (h hit) unheard() bool {
	return h.fault.After || slices.Contains([]fakegraph.Action{fakegraph.Truncate, fakegraph.WrongLength, fakegraph.Duplicate, fakegraph.Slow, fakegraph.Stall}, h.fault.Action)
}

// order makes it go wrong; at a source it counts by count.
func (h hit) order(w *world, count func()) *fakegraph.Order {
	if h.fault.Phase == fakegraph.PhaseUploadStatus { // asked after a fragment that failed
		w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseFragmentMiddle, Status: 502})
	}
	switch {
	case h.source != nil:
		left := max(1, h.fault.Times)
		var mu sync.Mutex
		w.web.spoil = func(rw http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			if left--; left < 0 {
				mu.Unlock()
				return false
			}
			mu.Unlock()
			count()
			h.source(rw, r)
			return true
		}
	case h.before != nil || h.name == "":
	default:
		return w.ms.Faults().Add(h.fault)
	}
	return nil
}

// hits are all faults of security.md §3.3 at a phase.
func hitsAt(phase fakegraph.Phase, times int) []hit {
	var all []hit
	for name, fault := range fakegraph.Matrix() {
		fault.Phase, fault.Times = phase, times
		if fault.Action == fakegraph.Stall {
			fault.For = 40 * time.Second // longer than we wait for an answer
		}
		all = append(all, hit{name: name, fault: fault})
	}
	gone := fakegraph.Fault{Phase: phase, Times: times}
	all = append(all, hit{name: "no such host", fault: gone, before: unresolved}, hit{name: "broken TLS", fault: gone, before: unheard})
	slices.SortFunc(all, func(a, b hit) int { return strings.Compare(a.name, b.name) })
	return all
}

// sourceHits are what goes wrong at the source for a moment.
func sourceHits(times int) []hit {
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) {
		return func(rw http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			rw.WriteHeader(code)
		}
	}
	all := []hit{
		{name: "source 429", source: status(429, "Retry-After", "2")}, {name: "source 500", source: status(500)},
		{name: "source 503", source: status(503, "Retry-After", "90")}, {name: "source 408", source: status(408)},
		{name: "source reset", source: func(rw http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "source silent", source: func(rw http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	}
	for i := range all {
		all[i].fault.Times = times
	}
	return all
}

// matrix are the phases of a transfer, each with a source and an account that pass through it.
var matrix = []struct {
	phase fakegraph.Phase
	login string
	path  string
}{
	{fakegraph.PhaseDrive, robin, "/tabby.jpg"}, {fakegraph.PhaseNative, robin, "/tabby.jpg"}, {fakegraph.PhaseMonitor, robin, "/tabby.jpg"},
	{fakegraph.PhaseItem, robin, "/tabby.jpg"}, {fakegraph.PhaseItem, kim, "/tabby.jpg"}, {fakegraph.PhasePut, kim, "/tabby.jpg"},
	{fakegraph.PhaseSession, kim, "/large.bin"}, {fakegraph.PhaseFragmentFirst, kim, "/large.bin"}, {fakegraph.PhaseFragmentMiddle, kim, "/large.bin"},
	{fakegraph.PhaseFragmentLast, kim, "/large.bin"}, {fakegraph.PhaseComplete, kim, "/large.bin"}, {fakegraph.PhaseUploadStatus, kim, "/large.bin"},
}

// The fault matrix (security.md §3.3) for the phases of a transfer: each one ends, with at most one
// file, and with a true one when it says completed. testdata/faults.md shows how.
func TestFaultMatrix(t *testing.T) {
	tables := map[int]*grid{1: newGrid("faults.md", "fault, once"), 3: newGrid("faults3.md", "fault, three times")}
	t.Run("faults", func(t *testing.T) {
		for _, phase := range matrix {
			for times, table := range tables {
				for _, h := range hitsAt(phase.phase, times) {
					if h.before != nil && phase.phase == fakegraph.PhaseComplete {
						continue // it is the last fragment's
					}
					c := cell{kind: kindOfPath(phase.path), temper: temperOf(phase.login), hit: h}
					at := fmt.Sprintf("%s of %s", phase.phase, strings.TrimSuffix(phase.login, "@demo.example"))
					t.Run(fmt.Sprintf("%s at %s ×%d", h.name, at, times), func(t *testing.T) {
						sample(t, 8)
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							r := c.run(t)
							c.checkHit(t, r)
							table.set(h.name, at, r.end())
						})
					})
				}
			}
		}
	})
	for _, table := range tables {
		table.compare(t)
	}
}

// sample leaves one of n cells with -short, always the same ones.
func sample(t *testing.T, n uint32) {
	h := fnv.New32a()
	h.Write([]byte(t.Name()))
	if testing.Short() && h.Sum32()%n != 0 {
		t.SkipNow()
	}
}

func kindOfPath(path string) sourceKind {
	return sourceKinds[slices.IndexFunc(sourceKinds, func(k sourceKind) bool { return k.path == path })]
}

func temperOf(login string) temper {
	return tempers[slices.IndexFunc(tempers, func(t temper) bool { return t.login == login && t.change == nil })]
}

// finals are the answers of Microsoft that end a transfer by what they say.
var finals = map[int][]string{
	400: {"invalidRequest", "provisioningNotAllowed"}, 403: {"accessDenied"}, 404: {"itemNotFound", "provisioningNotAllowed"}, 409: {"nameAlreadyExists"},
	410: {"itemNotFound"}, 413: {codeSourceTooLarge}, 416: {"invalidRange"},
}

// checkHit judges the end of a cell in which something went wrong: it is the end that it would have
// had, or the one that Microsoft's answer means.
func (c cell) checkHit(t *testing.T, r *ran) {
	r.check(t, c)
	if r.hits == 0 {
		t.Errorf("the fault at %s hit nothing", c.hit.fault.Phase)
	}
	for _, reason := range r.parked {
		ok := reason == OneDriveFull && c.hit.fault.Status == 507 || reason == SignInRequired && c.hit.fault.Status == 401
		if !ok {
			t.Errorf("waited: %s", reason)
		}
	}
	switch {
	case r.tr.State == Failed && slices.Contains(finals[c.hit.fault.Status], r.tr.Failure.Code):
	case c.temper.route == "" && len(c.kind.content) > onedrive.MaxPut && r.tr.State == Failed:
	case c.kind.code != "":
		if r.tr.State != Failed || r.tr.Failure.Code != c.kind.code {
			t.Errorf("%s; want %s", r.end(), c.kind.code)
		}
	case r.tr.State != Completed:
		t.Errorf("%s %+v; want completed", r.end(), r.tr.Failure)
	}
}

// Every kind of source with every kind of account and every fault, at the phases that this pair
// passes through, in turn: with -short one in three hundred.
func TestEverySourceTemperAndFault(t *testing.T) {
	behaviors := []onedrive.ConflictBehavior{onedrive.Rename, onedrive.Replace, onedrive.Fail}
	for i, temper := range tempers {
		for j, kind := range sourceKinds {
			if kind.evil() {
				continue // nothing gets as far as Microsoft
			}
			t.Run(temper.what+"/"+kind.String(), func(t *testing.T) {
				t.Parallel()
				phases := sync.OnceValue(func() []fakegraph.Phase { return (cell{kind: kind, temper: temper}).passes(t) })
				for k, name := range hitNames() {
					c := cell{kind: kind, temper: temper, behavior: behaviors[(i+j+k)%3]}
					t.Run(fmt.Sprintf("%s ×%d %s", name, 1+k%2, c.behavior), func(t *testing.T) {
						sample(t, 300)
						at := phases()
						switch source := strings.HasPrefix(name, "source "); {
						case source && strings.HasPrefix(kind.path, "data:"), len(at) == 0:
							t.SkipNow()
						case source:
							c.hit = hitNamed(sourceHits(1+k%2), name)
						default:
							c.hit = hitNamed(hitsAt(at[(i+j+k)%len(at)], 1+k%2), name)
						}
						synctest.Test(t, func(t *testing.T) { c.checkHit(t, c.run(t)) })
					})
				}
			})
		}
	}
}

// passes are the phases that the cell's transfer goes through, but those that come by chance.
func (c cell) passes(t *testing.T) (phases []fakegraph.Phase) {
	synctest.Test(t, func(t *testing.T) { phases = c.run(t).phases })
	return slices.DeleteFunc(phases, func(p fakegraph.Phase) bool {
		return p == fakegraph.PhaseUploadCancel || p == fakegraph.PhaseUploadStatus || p == fakegraph.PhaseDelete
	})
}

func hitNames() (names []string) {
	for _, h := range append(hitsAt("", 1), sourceHits(1)...) {
		names = append(names, h.name)
	}
	return names
}

func hitNamed(all []hit, name string) hit {
	return all[slices.IndexFunc(all, func(h hit) bool { return h.name == name })]
}
