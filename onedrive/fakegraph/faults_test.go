package fakegraph_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive/fakegraph"
)

func TestEachFaultOfTheMatrixHits(t *testing.T) {
	for name, fault := range fakegraph.Matrix() {
		t.Run(name, func(t *testing.T) {
			m := startDrive(t, fakegraph.Options{Empty: true})
			// On a connection that was used before, Go's client repeats a GET by itself.
			m.client.Transport.(*http.Transport).DisableKeepAlives = true
			fault.Phase, fault.Account = fakegraph.PhaseDrive, strings.ToUpper(robin)
			if fault.Action == fakegraph.Slow {
				fault.BytesPerSecond = 100_000
			}
			order := m.Faults().Add(fault)
			if fault.Action == fakegraph.Stall {
				go func() { <-order.Hit(); order.Release() }()
			}
			if other := m.ask(kim, "GET", "/v1.0/me/drive", nil); other.status != 200 {
				t.Errorf("another account = %d %s", other.status, other.body)
			}
			got := m.ask(robin, "GET", "/v1.0/me/drive", nil)
			whole := got.status == 200 && got.text("driveType") == "personal"
			switch fault.Action {
			case fakegraph.Answer:
				if got.status != fault.Status {
					t.Errorf("= %d %s", got.status, got.body)
				}
			case fakegraph.Stall, fakegraph.Slow, fakegraph.Duplicate:
				if !whole {
					t.Errorf("= %d %s", got.status, got.body)
				}
			default:
				if whole {
					t.Errorf("nothing happened: %d %s", got.status, got.body)
				}
			}
			if again := m.ask(robin, "GET", "/v1.0/me/drive", nil); again.status != 200 || order.Hits() != 1 {
				t.Errorf("after the fault = %d, %d hits", again.status, order.Hits())
			}
		})
	}
}

func TestFaultsFindTheirPhase(t *testing.T) {
	for _, r := range []struct {
		phase fakegraph.Phase
		ask   func(m *microsoft) answer
	}{
		{fakegraph.PhaseItem, func(m *microsoft) answer { return m.ask(robin, "GET", "/v1.0/me/drive/root", nil) }},
		{fakegraph.PhaseChildren, func(m *microsoft) answer { return m.ask(robin, "GET", "/v1.0/me/drive/root/children", nil) }},
		{fakegraph.PhaseFolder, func(m *microsoft) answer {
			return m.ask(robin, "POST", "/v1.0/me/drive/root/children", `{"name":"F","folder":{}}`)
		}},
		{fakegraph.PhaseNative, func(m *microsoft) answer { return m.native(robin, "tiles.png", "a.png") }},
		{fakegraph.PhaseMonitor, func(m *microsoft) answer {
			return m.ask("", "GET", m.native(robin, "tiles.png", "a.png").header.Get("Location"), nil)
		}},
		{fakegraph.PhaseSession, func(m *microsoft) answer {
			return m.ask(robin, "POST", "/v1.0/me/drive/root:/a:/createUploadSession", "{}")
		}},
		{fakegraph.PhaseFragmentFirst, func(m *microsoft) answer { return m.put(m.open(robin, "a", nil), 0, unit-1, 3*unit) }},
		{fakegraph.PhaseFragmentMiddle, func(m *microsoft) answer {
			u := m.open(robin, "a", nil)
			m.put(u, 0, unit-1, 3*unit)
			return m.put(u, unit, 2*unit-1, 3*unit)
		}},
		{fakegraph.PhaseFragmentLast, func(m *microsoft) answer {
			u := m.open(robin, "a", nil)
			m.put(u, 0, unit-1, 2*unit)
			return m.put(u, unit, 2*unit-1, 2*unit)
		}},
		{fakegraph.PhaseComplete, func(m *microsoft) answer { return m.put(m.open(robin, "a", nil), 0, 9, 10) }},
		{fakegraph.PhasePut, func(m *microsoft) answer {
			return m.ask(robin, "PUT", "/v1.0/me/drive/root:/a:/content", []byte("x"))
		}},
		{fakegraph.PhaseUploadStatus, func(m *microsoft) answer { return m.ask("", "GET", m.open(robin, "a", nil), nil) }},
		{fakegraph.PhaseBatch, func(m *microsoft) answer {
			return m.ask(robin, "POST", "/v1.0/$batch", `{"requests":[{"id":"1","method":"GET","url":"/me"}]}`)
		}},
	} {
		t.Run(string(r.phase), func(t *testing.T) {
			m := startDrive(t, fakegraph.Options{Empty: true})
			if clean := r.ask(m); clean.status >= 400 {
				t.Fatalf("without a fault = %d %s", clean.status, clean.body)
			}
			m.Reset()
			order := m.Faults().Add(fakegraph.Fault{Phase: r.phase, Status: 418, Code: "ordered", Account: robin})
			if got := r.ask(m); got.status != 418 || got.code() != "ordered" || order.Hits() != 1 {
				t.Errorf("= %d %s, %d hits", got.status, got.body, order.Hits())
			}
		})
	}
}

func TestALostAnswerHasTakenEffect(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	m.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseFragmentLast, Action: fakegraph.Reset, After: true})
	if got := m.put(m.open(robin, "a", nil), 0, 9, 10); got.status != 0 {
		t.Errorf("= %d", got.status)
	}
	if len(m.Files(robin)) != 1 {
		t.Error("the file isn't there")
	}
	order := m.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseDrive, Status: 500, Nth: 2, Times: 2})
	var statuses []int
	for range 4 {
		statuses = append(statuses, m.ask(robin, "GET", "/v1.0/me/drive", nil).status)
	}
	if statuses[0] != 200 || statuses[1] != 500 || statuses[2] != 500 || statuses[3] != 200 || order.Hits() != 2 {
		t.Errorf("the second and third = %v", statuses)
	}
}

func TestAStallEndsByTheClock(t *testing.T) {
	m := startDrive(t, fakegraph.Options{Empty: true})
	order := m.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseDrive, Action: fakegraph.Stall, For: time.Hour})
	go func() { <-order.Hit(); m.Advance(2 * time.Hour) }()
	token := "Bearer " + m.Token(robin) // before the clock moves
	if got := m.ask("", "GET", "/v1.0/me/drive", nil, "Authorization: "+token); got.status != 200 {
		t.Errorf("= %d %s", got.status, got.body)
	}
}

// A stall counts from when the request came, however soon after that somebody moves the clock.
func TestAStallBeginsWithItsRequest(t *testing.T) {
	start := time.Now()
	var order atomic.Pointer[fakegraph.Order]
	m := startDrive(t, fakegraph.Options{Empty: true, Now: func() time.Time {
		if o := order.Load(); o != nil {
			select {
			case <-o.Hit():
				return start.Add(10 * time.Minute)
			default:
			}
		}
		return start
	}})
	order.Store(m.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseDrive, Action: fakegraph.Stall, For: 5 * time.Minute}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/v1.0/me/drive", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.Token(robin))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("= %d", res.StatusCode)
	}
}

// page fetches one of the stand-in's own pages as a browser that is signed in.
func (m *microsoft) page(method, path, form, cookie string) answer {
	return m.ask("", method, path, strings.NewReader(form), "Content-Type: application/x-www-form-urlencoded", "Cookie: "+cookie, "Sec-Fetch-Site: same-origin")
}

func TestPages(t *testing.T) {
	m := startDrive(t, fakegraph.Options{})
	if got := m.page("GET", "/drive?cid=x", "", ""); got.status != 303 || !strings.HasPrefix(got.header.Get("Location"), "/demo/login?return=%2Fdrive") {
		t.Errorf("signed out = %d %v", got.status, got.header)
	}
	in := m.page("POST", "/login", "return=/drive&login="+robin, "")
	cookie, _, _ := strings.Cut(in.header.Get("Set-Cookie"), ";")
	home := m.page("GET", "/drive", "", cookie)
	for _, want := range []string{"My files", "Pictures", "Archive", "Robin Demo", "of 5 GB used"} {
		if !strings.Contains(string(home.body), want) {
			t.Errorf("the drive page lacks %q", want)
		}
	}
	if home.header.Get("X-Frame-Options") != "DENY" || strings.Contains(home.header.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("headers = %v", home.header)
	}
	picture := m.ask(robin, "GET", "/v1.0/me/drive/root:/Pictures/meadow.jpg", nil)
	if got := m.page("GET", picture.text("webUrl"), "", cookie); got.status != 200 || !strings.Contains(string(got.body), "SHA-256") {
		t.Errorf("webUrl = %d", got.status)
	}
	kims := m.ask(kim, "GET", "/v1.0/me/drive/root:/Pictures/meadow.jpg", nil)
	if got := m.page("GET", kims.text("webUrl"), "", cookie); got.status != 404 || strings.Contains(string(got.body), "meadow") {
		t.Errorf("another's webUrl = %d", got.status)
	}
	if got := m.page("POST", "/control", "do=dials&account="+robin+"&temper=retired&completion=200&failure=&alive=&conflict=fail&slow=4096&refusal=403&missing=pieces&put=7&full=on", cookie); got.status != 303 {
		t.Errorf("dials = %d %s", got.status, got.body)
	}
	if c := m.ConductOf(robin); c.Temper != "retired" || c.Completion != "200" || c.NativeConflict != "fail" || c.Slow != 4096 || !c.Full || c.Stuck || c.RefusalStatus != 403 || c.Missing != "pieces" || c.PutLimit != 0 {
		t.Errorf("conduct = %+v", c)
	}
	m.page("POST", "/control", "do=signin&strict=on&consent=admin&account="+kim, cookie)
	if got := m.page("GET", "/control?account="+kim, "", ""); !strings.Contains(string(got.body), `value="admin" selected`) || !strings.Contains(string(got.body), `value="on" checked data-testid="dial-strict"`) {
		t.Errorf("sign-in dials = %s", got.body)
	}
	m.page("POST", "/control", "do=fault&account="+robin+"&phase=drive&fault=503+page&times=1", cookie)
	if got := m.ask(robin, "GET", "/v1.0/me/drive", nil); got.status != http.StatusServiceUnavailable || !strings.Contains(string(got.body), "<h1>") {
		t.Errorf("ordered fault = %d %s", got.status, got.body)
	}
	for _, login := range []string{robin, kim} {
		m.page("POST", "/control", "do=fault&account="+login+"&phase=drive&fault=404&times=-1", cookie)
	}
	m.page("POST", "/control", "do=healthy&account="+robin, cookie)
	if got := m.ask(robin, "GET", "/v1.0/me/drive", nil); got.status != http.StatusOK || m.ConductOf(robin).Full {
		t.Errorf("after all is normal = %d, %+v", got.status, m.ConductOf(robin))
	}
	if got := m.ask(kim, "GET", "/v1.0/me/drive", nil); got.status != http.StatusNotFound {
		t.Errorf("another account's order is gone with it: %d", got.status)
	}
	m.page("POST", "/control", "do=dials&account="+robin+"&full=on&temper=retired", cookie)
	if got := m.ask("", "POST", "/control", strings.NewReader("do=reset&account="+robin), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: cross-site"); got.status != 403 {
		t.Errorf("a form of another site = %d", got.status)
	}
	m.page("POST", "/control", "do=reset&account="+robin, cookie)
	if c := m.ConductOf(robin); c.Temper != "legacy" || c.Full {
		t.Errorf("after the reset = %+v", c)
	}
	if got := m.page("GET", "/control?account="+kim, "", ""); got.status != 200 || !strings.Contains(string(got.body), "Kim Demo") {
		t.Errorf("control = %d", got.status)
	}
}
