package handlers_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skylift/handlers"
)

// panel is a framed panel that signs in: what its script would hold.
type panel struct {
	verifier, challenge string
}

func newPanel() panel {
	verifier := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	return panel{verifier, base64.RawURLEncoding.EncodeToString(sum[:])}
}

// signInFor walks window B of a panel's sign-in and returns the page that hands the code over.
func (s *site) signInFor(b *browser, login, challenge string) answer {
	s.t.Helper()
	at := must(url.Parse(b.get("/auth/panel/start?c=" + challenge).want(303).header("Location")))(s.t)
	q := at.Query()
	if q.Get("prompt") != "select_account" {
		s.t.Errorf("prompt = %q: somebody who is signed in at Microsoft would not be asked", q.Get("prompt"))
	}
	q.Set("prompt", "none")
	q.Set("login_hint", login)
	at.RawQuery = q.Encode()
	done := b.get(b.get(at.String()).header("Location")).want(303)
	if to := done.header("Location"); to != "/auth/panel/done" {
		s.t.Fatalf("the sign-in ends at %q: a code in an address is a code in a history", to)
	}
	return b.get("/auth/panel/done").want(200)
}

// code is the one-time code for this panel, as its script gets it at the end of the relay.
func (s *site) code(login string, p panel) string {
	s.t.Helper()
	code := attr(s.signInFor(s.browser(), login, p.challenge).page().one("handoff"), "data-code")
	if code == "" {
		s.t.Fatal("no code to hand over")
	}
	return code
}

func (b *browser) redeem(code, verifier string, bearer bool) answer {
	return b.json("POST", "/panel/redeem", map[string]any{"code": code, "code_verifier": verifier, "bearer": bearer})
}

// panelCookie is the Cookie header of a panel's session. Go's jar sends no Secure cookie by http.
func panelCookie(t *testing.T, a answer) string {
	t.Helper()
	for _, line := range a.head.Values("Set-Cookie") {
		if name, _, _ := strings.Cut(line, "="); name == "__Host-skylift-panel" {
			for _, part := range []string{"Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"} {
				if !strings.Contains(line, "; "+part) {
					t.Errorf("the panel's cookie has no %s: a frame would not keep it, or others could read it", part)
				}
			}
			pair, _, _ := strings.Cut(line, ";")
			return pair
		}
	}
	t.Fatal("no panel cookie was set")
	return ""
}

func TestOnlyThePanelMayBeFramed(t *testing.T) {
	const ours = "chrome-extension://bjgecgimfofkefcmdobdciomjkpnaeno moz-extension:"
	for name, c := range map[string]struct {
		list []string
		want string
	}{
		"nobody is on the list":  {nil, ours},
		"origins":                {[]string{"https://intranet.example", "https://wiki.example:8443"}, ours + " https://intranet.example https://wiki.example:8443"},
		"office and one origin":  {[]string{"office", "https://wiki.example"}, ours + " https://wiki.example https://*.officeapps.live.com https://*.office.com"},
		"an origin with a slash": {[]string{"https://Wiki.example/"}, ours + " https://wiki.example;"},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup(t, func(o *handlers.Options) { o.EmbedOrigins = c.list })
			framed := map[string]bool{"/panel": true, "/panel/sign-out": true, "/panel/office": true}
			b := s.signIn(robin)
			for _, r := range s.handler.Routes() {
				b := b
				if strings.HasSuffix(r.Path, "/events") || strings.HasPrefix(r.Path, "/settings") || r.Path == "/auth/logout" {
					b = s.browser() // a stream would not end, and the session should
				}
				got := b.do(r.Method, fill(r.Path, "01K0000000000000000000000A"), "", http.Header{"Content-Type": {"application/json"}, "Accept": {"text/html"}})
				policy := got.header("Content-Security-Policy") + ";"
				if !framed[r.Path] {
					if !strings.Contains(policy, "frame-ancestors 'none';") || got.header("X-Frame-Options") != "DENY" {
						t.Errorf("%s %s can be framed: %s", r.Method, r.Path, policy)
					}
					continue
				}
				if !strings.Contains(policy, "frame-ancestors "+c.want) || got.header("X-Frame-Options") != "" {
					t.Errorf("%s %s: X-Frame-Options %q, policy %s", r.Method, r.Path, got.header("X-Frame-Options"), policy)
				}
			}
		})
	}
}

func TestAPanelSignsInByTwoWindows(t *testing.T) {
	s := setup(t)
	p := newPanel()
	for _, path := range []string{"/auth/panel?c=" + p.challenge, "/auth/panel/start?c=" + p.challenge, "/auth/panel/done"} {
		if coop := s.browser().get(path).header("Cross-Origin-Opener-Policy"); coop != "" {
			t.Errorf("%s: Cross-Origin-Opener-Policy %q cuts the tie to the panel", path, coop)
		}
	}
	shown := s.browser().get("/auth/panel?c=" + p.challenge + "&from=https://wiki.example:8443/x").want(200)
	if strings.Contains(shown.body, "wiki.example") {
		t.Error("the window names a site as the one that asks by its address alone")
	}
	frame := s.browser()
	if len(frame.get("/panel").want(200).page().all("panel-sign-in")) != 1 {
		t.Error("a stranger's panel has no way in")
	}
	cookie := panelCookie(t, frame.redeem(s.code(robin, p), p.verifier, false).want(204))
	in := frame.do("GET", "/panel", "", http.Header{"Cookie": {cookie}}).want(200)
	if who := text(in.page().one("panel-who")); !strings.Contains(who, robin) {
		t.Errorf("the panel is %q's", who)
	}
	form := http.Header{"Cookie": {cookie}, "Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {s.url}, "Sec-Fetch-Site": {"same-origin"}}
	sent := url.Values{"urls": {s.sample("meadow.jpg")}, "return": {"/panel"}}.Encode()
	if to := frame.do("POST", "/transfers", sent, form).want(303).header("Location"); !strings.HasPrefix(to, "/panel?") {
		t.Errorf("after saving the panel goes to %q", to)
	}
	form.Set("Sec-Fetch-Site", "cross-site")
	form.Set("Origin", "https://wiki.example")
	frame.do("POST", "/transfers", sent, form).want(403)
	frame.do("POST", "/panel/sign-out", "", http.Header{"Cookie": {cookie}}).want(303)
	frame.do("GET", "/api/v1/transfers", "", http.Header{"Cookie": {cookie}}).want(401)
}

func TestAPanelWithoutCookiesUsesABearer(t *testing.T) {
	s := setup(t)
	p := newPanel()
	token, _ := s.browser().redeem(s.code(robin, p), p.verifier, true).want(200).json()["access_token"].(string)
	frame := s.browser()
	frame.key = token
	if who := text(frame.get("/panel").want(200).page().one("panel-who")); !strings.Contains(who, robin) {
		t.Errorf("the panel is %q's", who)
	}
	frame.final(frame.submit(s.sample("meadow.jpg")))
	frame.get("/settings").want(401)
	second, _ := frame.do("POST", "/panel/renew", "", nil).want(200).json()["access_token"].(string)
	frame.do("POST", "/panel/renew", "", nil).want(401)
	frame.get("/api/v1/transfers").want(401)
	frame.key = second
	frame.get("/api/v1/transfers").want(200)
	frame.do("POST", "/panel/sign-out", "", nil).want(204)
	frame.get("/api/v1/transfers").want(401)
	if log := s.log.String(); strings.Contains(log, token) || strings.Contains(log, second) {
		t.Error("a bearer is in the log")
	}
}

// The attack table of a handoff. Each line has a control that it needs; see the comments.
func TestAttacksOnTheHandoff(t *testing.T) {
	many := func(o *handlers.Options) { o.Limits.SignIn = handlers.Limit{PerSecond: 1000, Burst: 1000} }
	t.Run("a code is no good without its verifier", func(t *testing.T) {
		s, p := setup(t, many), newPanel()
		code := s.code(robin, p)
		thief := s.browser()
		for _, verifier := range []string{"", newPanel().verifier, p.challenge, strings.Repeat("a", 43)} {
			if got := thief.redeem(code, verifier, false); got.status != 400 || len(got.head.Values("Set-Cookie")) > 0 {
				t.Errorf("verifier %q: %d %v", verifier, got.status, got.head.Values("Set-Cookie"))
			}
		}
		s.browser().redeem(code, p.verifier, false).want(204) // and trying did not spoil it
	})
	t.Run("of a hundred at once one wins", func(t *testing.T) {
		s, p := setup(t, many), newPanel()
		code := s.code(robin, p)
		var won, refused atomic.Int32
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				switch s.browser().redeem(code, p.verifier, true).status {
				case 200:
					won.Add(1)
				case 400:
					refused.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || refused.Load() != 99 {
			t.Errorf("%d won and %d were refused, want 1 and 99", won.Load(), refused.Load())
		}
	})
	t.Run("a code is old after a minute", func(t *testing.T) {
		late := time.Now()
		s, p := setup(t, many, func(o *handlers.Options) { o.Handoffs.Now = func() time.Time { return late } }), newPanel()
		code := s.code(robin, p)
		late = late.Add(61 * time.Second)
		s.browser().redeem(code, p.verifier, false).want(400)
		late = late.Add(-2 * time.Second)
		s.browser().redeem(code, p.verifier, false).want(204)
	})
	t.Run("a code opens no other door", func(t *testing.T) {
		s, p := setup(t, many), newPanel()
		code := s.code(robin, p)
		s.browser().json("POST", "/api/v1/devices/token", map[string]string{"code": code, "code_verifier": p.verifier}).want(400)
	})
	t.Run("a reload hands nothing over again", func(t *testing.T) {
		s, p := setup(t, many), newPanel()
		b := s.browser()
		first := attr(s.signInFor(b, robin, p.challenge).page().one("handoff"), "data-code")
		again := attr(b.get("/auth/panel/done").want(200).page().one("handoff"), "data-code")
		if first == "" || again != "" {
			t.Errorf("codes %q, then %q; want one, then none", first, again)
		}
	})
	t.Run("a lured victim's window gives nothing to a link", func(t *testing.T) {
		s, p := setup(t, many), newPanel()
		victim := s.signIn(robin)
		for _, path := range []string{"/auth/panel?c=" + p.challenge, "/auth/panel/start?c=" + p.challenge, "/auth/panel/done"} {
			if got := victim.get(path); strings.Contains(got.body, "data-code") {
				t.Errorf("opening %s makes a code", path)
			}
		}
		for name, head := range map[string]http.Header{
			"a form of another site": {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
			"a sibling site":         {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.skylift.example"}},
		} {
			head.Set("Content-Type", "application/x-www-form-urlencoded")
			if got := victim.do("POST", "/auth/panel", "c="+p.challenge, head); got.status != 403 {
				t.Errorf("%s: %d, want 403", name, got.status)
			}
		}
		if got := s.browser().form("/auth/panel", "c", p.challenge).want(401); strings.Contains(got.body, "data-code") {
			t.Error("a stranger got a code")
		}
	})
	t.Run("a challenge that is none is refused", func(t *testing.T) {
		s := setup(t, many)
		b := s.signIn(robin)
		for _, c := range []string{"", "x", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("A", 42) + "'", strings.Repeat("a", 43) /* its last bits fit no bytes */, "javascript:alert(1)"} {
			for _, path := range []string{"/auth/panel", "/auth/panel/start", "/auth/office"} {
				s.browser().get(path + "?c=" + url.QueryEscape(c)).want(400)
			}
			b.form("/auth/panel", "c", c).want(400)
		}
	})
	t.Run("the code reaches no address and no log", func(t *testing.T) {
		s, p := setup(t, many), newPanel()
		code := s.code(robin, p)
		s.browser().redeem(code, p.verifier, false).want(204)
		if log := s.log.String(); strings.Contains(log, code) || strings.Contains(log, p.verifier) {
			t.Error("code or verifier is in the log")
		}
	})
	t.Run("the same answer of Microsoft twice signs in once", func(t *testing.T) {
		s, p := setup(t, many), newPanel()
		b := s.browser()
		at := must(url.Parse(b.get("/auth/panel/start?c=" + p.challenge).header("Location")))(t)
		q := at.Query()
		q.Set("prompt", "none")
		q.Set("login_hint", robin)
		at.RawQuery = q.Encode()
		back := b.get(at.String()).header("Location")
		var cookies []string
		for _, c := range b.http.Jar.Cookies(must(url.Parse(s.url))(t)) {
			cookies = append(cookies, c.String())
		}
		head := http.Header{"Cookie": {strings.Join(cookies, "; ")}}
		var in atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if s.browser().do("GET", back, "", head).status == 303 {
					in.Add(1)
				}
			})
		}
		all.Wait()
		if in.Load() != 1 {
			t.Errorf("%d sign-ins from one answer, want 1", in.Load())
		}
	})
}

func TestAPanelDestroysNothing(t *testing.T) {
	s := setup(t)
	b, p := s.signIn(robin), newPanel()
	id := b.submit(s.sample("meadow.jpg"))
	b.final(id)
	frame := s.browser()
	cookie := panelCookie(t, frame.redeem(s.code(robin, p), p.verifier, false).want(204))
	token, _ := frame.redeem(s.code(robin, p), p.verifier, true).want(200).json()["access_token"].(string)
	replace, _ := json.Marshal(map[string]any{"sourceUrl": s.sample("meadow.jpg"), "conflictBehavior": "replace"})
	for name, head := range map[string]http.Header{"its cookie": {"Cookie": {cookie}}, "its bearer": {"Authorization": {"Bearer " + token}}} {
		t.Run(name, func(t *testing.T) {
			try := func(method, path, body, typ string, want int) {
				t.Helper()
				h := head.Clone()
				h.Set("Content-Type", typ)
				if got := frame.do(method, path, body, h); got.status != want {
					t.Errorf("%s %s = %d, want %d", method, path, got.status, want)
				}
			}
			const form, json = "application/x-www-form-urlencoded", "application/json"
			try("GET", "/api/v1/transfers/"+id, "", "", 200) // it is somebody
			try("POST", "/transfers/"+id+"/undo", "", form, 401)
			try("POST", "/transfers/"+id+"/remove", "", form, 401)
			try("POST", "/api/v1/transfers/"+id+"/undo", "", json, 401)
			try("DELETE", "/api/v1/transfers/"+id, "", "", 401)
			try("GET", "/transfers/"+id+"/confirm?do=undo", "", "", 401)
			try("POST", "/settings/delete", "confirm=yes", form, 401)
			try("POST", "/settings/devices", "name=x", form, 401)
			try("POST", "/settings/rules", "kind=picture", form, 401)
			try("POST", "/settings/sign-out-everywhere", "", form, 401)
			try("POST", "/auth/panel", "c="+p.challenge, form, 401)
			try("POST", "/transfers", url.Values{"urls": {s.sample("meadow.jpg")}, "conflict": {"replace"}}.Encode(), form, 403)
			try("POST", "/api/v1/transfers", string(replace), json, 403)
			h := head.Clone()
			h.Set("Content-Type", json)
			batch := frame.do("POST", "/api/v1/transfers/batch", `{"transfers":[`+string(replace)+`]}`, h).want(202).json()["value"].([]any)
			if code := batch[0].(map[string]any)["code"]; code != "notInFrame" {
				t.Errorf("a line of a batch that replaces a file: %v", batch[0])
			}
		})
	}
	// The main pages' cookie, which browsers send in a frame of the same site.
	for name, head := range map[string]http.Header{
		"the main cookie in a frame":                    {"Sec-Fetch-Dest": {"iframe"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"same-origin"}},
		"the main cookie in a frame by a script":        {"Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"}},
		"the main cookie in a frame of an old browser":  {},
		"the main cookie in a frame of an old sort":     {"Sec-Fetch-Dest": {"frame"}},
		"the main cookie in a frame that is an element": {"Sec-Fetch-Dest": {"object"}},
	} {
		t.Run(name, func(t *testing.T) {
			const back = "return=/panel&"
			_, told := head["Sec-Fetch-Dest"]
			told = told && head.Get("Sec-Fetch-Dest") != "empty"
			try := func(path, body string) {
				t.Helper()
				h := head.Clone()
				h.Set("Content-Type", "application/x-www-form-urlencoded")
				if got := b.do("POST", path, body, h); got.status != 403 || !strings.Contains(got.body, "This is not done inside a frame.") {
					t.Errorf("%s = %d, want 403", path, got.status)
				}
			}
			try("/transfers/"+id+"/undo", back)
			try("/transfers/"+id+"/remove", back)
			try("/transfers", back+url.Values{"urls": {s.sample("meadow.jpg")}, "conflict": {"replace"}}.Encode())
			if !told { // none of the others is in the panel
				return
			}
			try("/transfers/remove-failed", "")
			try("/settings", "conflict=replace")
			try("/settings/devices", "name=x")
			try("/settings/rules", "kind=picture")
			try("/settings/rules/delete", "kind=picture")
			try("/settings/delete", "confirm=yes")
			try("/settings/sign-out-everywhere", "")
			try("/auth/panel", "c="+p.challenge)
		})
	}
	if state := b.get("/api/v1/transfers/" + id).json()["state"]; state != "completed" {
		t.Errorf("the transfer is %v now", state)
	}
	asked := b.get("/transfers/" + id + "/confirm?do=undo").want(200)
	if !strings.Contains(asked.body, "meadow.jpg") || len(asked.page().all("confirm")) != 1 {
		t.Error("the window of its own asks nothing")
	}
	if to := b.form("/transfers/"+id+"/undo", "return", "/panel/done").want(303).header("Location"); to != "/panel/done" {
		t.Errorf("after the confirmation: %q", to)
	}
}

// The address of a framed panel fills its field for those only who may talk with it.
func TestWhoFramesThePanelDoesNotFillIt(t *testing.T) {
	s := setup(t, func(o *handlers.Options) { o.EmbedOrigins = []string{"office", "https://intranet.example"} })
	b := s.signIn(robin)
	const address = "https://evil.example/malware.exe"
	for name, c := range map[string]struct {
		dest, referer string
		filled        bool
	}{
		"a tab of its own":                  {"document", "https://evil.example/", true},
		"an old browser":                    {"", "", true},
		"a frame of a named origin":         {"iframe", "https://intranet.example/", true},
		"a frame of a named origin's page":  {"iframe", "https://Intranet.example/some/page?x=1", true},
		"a frame of Office's hosts":         {"iframe", "https://evil.sharepoint.com/", false},
		"a frame that tells no origin":      {"iframe", "", false},
		"a frame of a named origin's port":  {"iframe", "https://intranet.example:8443/", false},
		"a frame of a name that looks like": {"iframe", "https://intranet.example.evil.example/", false},
		"a frame by http":                   {"iframe", "http://intranet.example/", false},
	} {
		t.Run(name, func(t *testing.T) {
			head := http.Header{}
			if c.dest != "" {
				head.Set("Sec-Fetch-Dest", c.dest)
				head.Set("Sec-Fetch-Mode", "navigate")
				head.Set("Sec-Fetch-Site", "cross-site")
			}
			if c.referer != "" {
				head.Set("Referer", c.referer)
			}
			got := b.do("GET", "/panel?url="+url.QueryEscape(address), "", head).want(200)
			if filled := strings.Contains(got.body, address); filled != c.filled {
				t.Errorf("the field is filled: %v, want %v", filled, c.filled)
			}
		})
	}
}

func TestSigningOutEverywhereEndsPanels(t *testing.T) {
	s := setup(t)
	b, p := s.signIn(robin), newPanel()
	frame := s.browser()
	cookie := panelCookie(t, frame.redeem(s.code(robin, p), p.verifier, false).want(204))
	token, _ := frame.redeem(s.code(robin, p), p.verifier, true).want(200).json()["access_token"].(string)
	b.form("/settings/sign-out-everywhere").want(200)
	frame.do("GET", "/api/v1/transfers", "", http.Header{"Cookie": {cookie}}).want(401)
	frame.do("GET", "/api/v1/transfers", "", http.Header{"Authorization": {"Bearer " + token}}).want(401)
}
