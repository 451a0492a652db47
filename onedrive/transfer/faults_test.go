package transfer

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"skylift/onedrive/fakegraph"
)

// The fault matrix (security.md §3.3) for the phases of a transfer: each one ends, with at most one
// file, and with a true one when it says completed.
func TestFaultMatrix(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	var mu sync.Mutex
	ends := map[string]int{}
	t.Run("faults", func(t *testing.T) {
		var all errgroup.Group
		all.SetLimit(24) // they wait more than they work
		defer all.Wait()
		for name, fault := range fakegraph.Matrix() {
			if testing.Short() && !slices.Contains([]string{"401", "507", "reset", "answer lost"}, name) {
				continue
			}
			for _, phase := range []struct {
				phase fakegraph.Phase
				login string
				path  string
			}{
				{fakegraph.PhaseDrive, robin, "/tabby.jpg"}, {fakegraph.PhaseNative, robin, "/tabby.jpg"}, {fakegraph.PhaseMonitor, robin, "/tabby.jpg"},
				{fakegraph.PhaseItem, robin, "/tabby.jpg"}, {fakegraph.PhaseItem, kim, "/tabby.jpg"}, {fakegraph.PhasePut, kim, "/tabby.jpg"},
				{fakegraph.PhaseSession, kim, "/large.bin"}, {fakegraph.PhaseFragmentFirst, kim, "/large.bin"}, {fakegraph.PhaseFragmentMiddle, kim, "/large.bin"},
				{fakegraph.PhaseFragmentLast, kim, "/large.bin"}, {fakegraph.PhaseComplete, kim, "/large.bin"}, {fakegraph.PhaseUploadStatus, kim, "/large.bin"},
			} {
				for _, times := range []int{1, 3} {
					if times > 1 && testing.Short() {
						continue
					}
					fault := fault
					fault.Phase, fault.Times = phase.phase, times
					switch fault.Action {
					case fakegraph.Stall:
						fault.For = 100 * time.Millisecond
					case fakegraph.Slow:
						fault.BytesPerSecond = 5000
					}
					all.Go(func() error {
						t.Run(fmt.Sprintf("%s at %s of %s ×%d", name, phase.phase, phase.login, times), func(t *testing.T) {
							end := oneFault(t, phase.login, phase.path, fault)
							mu.Lock()
							ends[end]++
							mu.Unlock()
						})
						return nil
					})
				}
			}
		}
	})
	t.Logf("ends: %v", ends)
	if err := goleak.Find(leaks); err != nil {
		t.Error(err)
	}
}

func oneFault(t *testing.T, login, path string, fault fakegraph.Fault) string {
	w := newWorld(t, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 3 << 20 })
	if fault.Phase == fakegraph.PhaseUploadStatus { // asked after a fragment that failed
		w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseFragmentMiddle, Status: 502})
	}
	order := w.ms.Faults().Add(fault)
	content := map[string][]byte{"/tabby.jpg": tabby, "/large.bin": large}[path]
	tr := w.drive(t, w.ask(t, login, Request{SourceURL: path}))
	copies := w.count(login, content)
	if order.Hits() == 0 {
		t.Errorf("the fault hit nothing")
	}
	switch {
	case tr.State == Completed:
		w.check(t, tr, "", content)
		if copies != 1 {
			t.Errorf("%d copies", copies)
		}
		return "completed by " + string(tr.Route)
	case tr.State == Waiting && tr.Reason == OneDriveFull && fault.Status == 507:
		tr = w.drive(t, tr) // there is room again
		for range 4 {
			if tr.State == Waiting {
				tr = w.drive(t, tr)
			}
		}
		w.check(t, tr, "", content)
		return "full, then completed"
	case tr.State == Waiting && tr.Reason == SignInRequired && fault.Status == 401:
		tr = w.drive(t, tr)
		w.check(t, tr, "", content)
		return "signed out, then completed"
	case tr.State == Failed && copies <= 1:
		// Some answers are final by what they say.
		ok := []string{"accessDenied", "itemNotFound", "nameAlreadyExists", "invalidRequest", "provisioningNotAllowed", codeSourceTooLarge}
		if !slices.Contains(ok, tr.Failure.Code) || fault.Status < 400 || fault.Status >= 500 {
			t.Errorf("failed with %+v", tr.Failure)
		}
		if copies == 1 {
			t.Errorf("failed with %+v, but the file is there", tr.Failure)
		}
		return "failed: " + tr.Failure.Code
	}
	t.Errorf("ended as %s %s %+v with %d copies", tr.State, tr.Reason, tr.Failure, copies)
	return "wrong"
}
