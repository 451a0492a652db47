package e2e

import (
	"net/url"
	"strconv"
	"testing"
)

// dial turns dials of login's account on the demo's control page: selects by value, switches by
// "on", and presses what applies them.
func (p *Page) dial(a *app, login, button string, dials map[string]string) {
	p.t.Helper()
	p.Open(a.URL + "/demo/control?account=" + url.QueryEscape(login))
	for name, value := range dials {
		eval[bool](p, `(() => { const d = document.getElementById(`+strconv.Quote(name)+`);
			if (d.type === 'checkbox') d.checked = `+strconv.FormatBool(value == "on")+`; else d.value = `+strconv.Quote(value)+`;
			return d.type === 'checkbox' || d.value === `+strconv.Quote(value)+`; })()`)
	}
	p.Click(button)
	p.WaitVisible("done")
}

// TestControlPage orders faults as a person does in the demo and looks how the row copes.
func TestControlPage(t *testing.T) {
	a, p := signedIn(t, robin)
	p.dial(a, robin, "apply", map[string]string{"temper": "retired"})
	p.Axe()
	p.FullShot("control")
	p.Open(a.URL + "/")
	p.Save(a.URL + "/demo/samples/tiles.png")
	p.WaitFinal("tiles.png", "completed")
	p.Shot("retired")

	p.dial(a, robin, "apply", map[string]string{"full": "on"})
	p.Open(a.URL + "/")
	p.Save(a.URL + "/demo/samples/pulse.gif")
	p.WaitState("pulse.gif", "waiting")
	p.Shot("full")
}
