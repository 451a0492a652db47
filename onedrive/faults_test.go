package onedrive_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

// Every fault of the matrix in every kind of call: the call ends, an error is of a kind that
// callers know and tells no address, and no answer is repeated into a second file.
func TestEveryFaultInEveryCallEndsInAKind(t *testing.T) {
	var logged bytes.Buffer
	before := log.Writer()
	log.SetOutput(onedrive.LogFilter(&logged))
	t.Cleanup(func() { log.SetOutput(before) })

	s := onedrivetest.NewServer(t)
	c, ctx := s.Client(t, "robin@demo.example"), t.Context()
	source, err := url.Parse(s.URL + "/samples/tiles.png")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	name := func() string { n++; return fmt.Sprintf("%d.bin", n) }
	session := func() onedrive.SecretURL {
		u, err := c.CreateUploadSession(ctx, onedrive.Ref{}, name(), onedrive.Fail)
		if err != nil {
			t.Fatal(err)
		}
		return u.URL
	}
	// prepare runs before the fault is ordered and gives the call that meets it.
	calls := map[fakegraph.Phase]func() func() error{
		fakegraph.PhaseDrive: func() func() error {
			return func() error { _, err := c.Drive(ctx, ""); return err }
		},
		fakegraph.PhaseItem: func() func() error {
			return func() error { _, err := c.Item(ctx, onedrive.Ref{}); return err }
		},
		fakegraph.PhaseChildren: func() func() error {
			return func() error { _, _, err := c.ChildrenPage(ctx, onedrive.Ref{}, ""); return err }
		},
		fakegraph.PhaseSearch: func() func() error {
			return func() error { _, err := c.SearchFolders(ctx, "x"); return err }
		},
		fakegraph.PhaseFolder: func() func() error {
			return func() error { _, _, err := c.CreateFolder(ctx, onedrive.Ref{}, name()); return err }
		},
		fakegraph.PhaseNative: func() func() error {
			return func() error {
				_, err := c.CreateFromURL(ctx, onedrive.Ref{}, name(), source, onedrive.Fail)
				return err
			}
		},
		fakegraph.PhaseMonitor: func() func() error {
			monitor, err := c.CreateFromURL(ctx, onedrive.Ref{}, name(), source, onedrive.Fail)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { _, err := c.MonitorStatus(ctx, monitor); return err }
		},
		fakegraph.PhasePut: func() func() error {
			return func() error {
				_, err := c.PutContent(ctx, onedrive.Ref{}, name(), onedrive.Fail, "", 3, strings.NewReader("abc"))
				return err
			}
		},
		fakegraph.PhaseSession: func() func() error {
			return func() error { _, err := c.CreateUploadSession(ctx, onedrive.Ref{}, name(), onedrive.Fail); return err }
		},
		fakegraph.PhaseFragment: func() func() error {
			u := session()
			return func() error { _, err := c.PutFragment(ctx, u, 0, 3, []byte("abc")); return err }
		},
		fakegraph.PhaseUploadStatus: func() func() error {
			u := session()
			return func() error { _, err := c.UploadStatus(ctx, u); return err }
		},
		fakegraph.PhaseUploadCancel: func() func() error {
			u := session()
			return func() error { return c.CancelUpload(ctx, u) }
		},
	}
	matrix := fakegraph.Matrix()
	delete(matrix, "stall") // TestEveryCallHasADeadline
	delete(matrix, "slow")
	// With these the effect has happened or the answer is right in spite of all, so that there need be no error.
	harmless := map[string]bool{"duplicate": true}
	for _, phase := range slices.Sorted(maps.Keys(calls)) {
		for _, what := range slices.Sorted(maps.Keys(matrix)) {
			t.Run(string(phase)+"/"+what, func(t *testing.T) {
				call := calls[phase]()
				s.Graph.CloseIdleConnections() // one that the last fault broke would end this call before the server sees it
				fault := matrix[what]
				fault.Phase, fault.Times = phase, -1
				order := s.Faults().Add(fault)
				defer order.Remove()
				posts := s.Counts()["postSourceUrl"]
				err := call()
				if order.Hits() == 0 {
					t.Fatal("the fault was not met")
				}
				if s.Counts()["postSourceUrl"] > posts+1 {
					t.Errorf("upload from URL was asked for twice")
				}
				if err == nil {
					if !harmless[what] && !passes(phase, what) {
						t.Errorf("no error")
					}
					return
				}
				known := slices.ContainsFunc(slices.Collect(maps.Values(kinds)), func(kind error) bool { return errors.Is(err, kind) })
				if !known || strings.Contains(err.Error(), "http://") || strings.Contains(err.Error(), "\\x") || strings.Contains(err.Error(), "tempauth") || strings.Contains(err.Error(), "/v1.0") {
					t.Errorf("error = %v", err)
				}
			})
		}
	}
	if strings.Contains(logged.String(), "http://") {
		t.Errorf("logged: %s", logged.String())
	}
}

// passes knows the faults that a call rightly takes for an answer.
func passes(phase fakegraph.Phase, what string) bool {
	switch phase {
	case fakegraph.PhaseMonitor: // an end of the job, or accepted and still at it
		return slices.Contains([]string{"400", "403", "404", "409", "410", "412", "413", "416", "423", "507", "truncate", "wrong length"}, what)
	case fakegraph.PhaseUploadCancel: // it is gone, or 2xx was said
		return slices.Contains([]string{"401", "403", "404", "410", "wrong JSON", "wrong shape", "truncate", "wrong length"}, what)
	case fakegraph.PhaseFragment: // 2xx with an unreadable body
		return slices.Contains([]string{"wrong JSON", "wrong shape", "wrong length"}, what)
	case fakegraph.PhaseNative: // its answer has no body that could be too short
		return what == "wrong length"
	}
	return false
}
