package transfer

import (
	"testing"
	"time"

	"skylift/onedrive/fakegraph"
)

// What a full OneDrive waits for may be over in a moment, so it is asked soon at first.
func TestAFullOneDriveIsAskedSoonAndThenLessOften(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 15 * time.Second, 2: 30 * time.Second, 3: time.Minute, 6: 8 * time.Minute, 7: 10 * time.Minute, 60: 10 * time.Minute} {
		if got := fullWait(n); got != want {
			t.Errorf("wait %d is %v, want %v", n, got, want)
		}
	}
	w := newWorld(t)
	w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.Full = true })
	tr := w.drive(t, w.ask(t, kim, Request{SourceURL: "/tabby.jpg"}))
	if wait := tr.Due.Sub(w.now()); tr.Reason != OneDriveFull || wait > 15*time.Second {
		t.Fatalf("%s %s, asked again in %v; want within 15 s", tr.State, tr.Reason, wait)
	}
	w.pass(15 * time.Second)
	tr = w.drive(t, reload(t, tr))
	if wait := tr.Due.Sub(w.now()); tr.Reason != OneDriveFull || wait < 20*time.Second || wait > 30*time.Second {
		t.Errorf("%s %s, asked again in %v; want about 30 s", tr.State, tr.Reason, wait)
	}
	w.ms.SetConduct(kim, func(c *fakegraph.Conduct) { c.Full = false })
	tr = w.drive(t, reload(t, tr))
	w.check(t, tr, "tabby.jpg", tabby)
}
