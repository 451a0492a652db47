package e2e

import (
	"slices"
	"testing"
)

// The server is killed in the middle of a transfer and started again. The transfer completes, and
// the page that stayed open catches up by itself.
func TestARestartLosesNothing(t *testing.T) {
	for name, login := range map[string]string{"while OneDrive fetches": robin, "while the server carries": alex} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMicrosoft(t)
			a := m.live(t)
			p := m.open(t, "")
			p.SignIn(a, login)
			p.Allow("net::ERR_") // the event stream breaks with the server
			p.NewFolder("Trip")
			p.Save(m.sample("slow.jpg"))
			p.WaitState("slow.jpg", "inProgress")
			p.WaitVisible("route")
			stayed := p.stay()
			a.Kill()
			if got := p.attrNow(row("slow.jpg"), "data-state"); got != "inProgress" {
				t.Fatalf("the server died too late: the transfer is %s", got)
			}
			a.Restart()
			p.WaitFinal("slow.jpg", "completed")
			stayed()
			p.Shot("after")
			if got := m.paths(login, "/Trip/"); !slices.Equal(got, []string{"/Trip/slow.jpg"}) {
				t.Errorf("the folder holds %q, want slow.jpg once", got)
			}
			got, _ := m.Content(login, "/Trip/slow.jpg")
			if want := fetch(t, m.sample("garden.jpg")); string(got) != string(want) {
				t.Errorf("%d bytes arrived, which are not the %d that were sent", len(got), len(want))
			}
		})
	}
}
