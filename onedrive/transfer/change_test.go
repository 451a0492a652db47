package transfer

import (
	"errors"
	"testing"

	"skylift/onedrive/fakegraph"
)

// retryAs tries s's transfer again under another name.
func (s *scene) retryAs(name string) error {
	s.Helper()
	tr, err := s.store.load(s.Context(), sceneOwner, s.id)
	if err != nil {
		s.Fatal(err)
	}
	as := tr.Request()
	as.Name = name
	_, err = s.runner.RetryAs(s.Context(), sceneOwner, s.id, as)
	return err
}

// TestAChangeNeverMakesTwoFiles: what OneDrive may still finish under the old name begins anew under another
// only when that is over, also after a restart.
func TestAChangeNeverMakesTwoFiles(t *testing.T) {
	for _, tt := range []struct {
		what  string
		begin func(*scene)
	}{
		{"while OneDrive fetches", func(s *scene) { s.held(); s.at(Polling) }},
		{"when nobody heard the answer to the POST", func(s *scene) {
			s.order(fakegraph.Fault{Phase: fakegraph.PhaseNative, Action: fakegraph.Reset, After: true})
			s.held()
			s.at(Posting)
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := newScene(t)
			tt.begin(s)
			s.cancel()
			if err := s.retryAs("other.jpg"); !errors.Is(err, ErrMayArrive) || !errors.Is(err, ErrNotPossible) {
				t.Fatalf("a change while the file may come: %v", err)
			}
			if tr, _ := s.store.load(t.Context(), sceneOwner, s.id); tr.State != Cancelled || tr.Name != "tabby.jpg" {
				t.Errorf("it was refused, and left the row as %s %q", tr.State, tr.Name)
			}
			s.onward()
			s.settled()
			s.stop()
			s.w.restart(t)
			s.runner = NewRunner(s.store, s.w.saver, RunnerOptions{Now: s.w.now}) // not started: as if it died just then
			if err := s.retryAs("other.jpg"); err != nil {
				t.Fatal(err)
			}
			s.start()
			tr, _ := s.settled()
			if tr.State != Completed || tr.Name != "other.jpg" || tr.Attempts != 2 {
				t.Errorf("the row says %s %q after %d attempts: %+v", tr.State, tr.Name, tr.Attempts, tr.Failure)
			}
			if files := s.w.ms.Files(robin); len(files) != 1 || files[0].Name != "other.jpg" {
				t.Errorf("the drive holds %v, want other.jpg", s.files())
			}
		})
	}
}

func TestWhatMayBeAFileAlreadyIsNotBegunAsAnother(t *testing.T) {
	for _, tt := range []struct {
		what string
		t    Transfer
		want bool
	}{
		{"cancelled while OneDrive fetched", Transfer{State: Cancelled, Route: Native, Leftover: MayArrive, Work: Work{Phase: Polling}}, true},
		{"cancelled, and its file is in the bin", Transfer{State: Cancelled, Route: Native, Leftover: Recycled, Work: Work{Phase: Polling}}, false},
		{"cancelled while it was looked at, and nothing was there", Transfer{State: Cancelled, Route: Native, Work: Work{Phase: Verifying}}, false},
		{"cancelled when OneDrive had all bytes", Transfer{State: Cancelled, Route: Relay, Work: Work{Phase: Verifying}}, true},
		{"cancelled while bytes were sent", Transfer{State: Cancelled, Route: Relay, Work: Work{Phase: Sending}}, false},
		{"failed", Transfer{State: Failed, Route: Relay, Work: Work{Phase: Verifying}}, false},
	} {
		if got := tt.t.MayArrive(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, got, tt.want)
		}
	}
}
