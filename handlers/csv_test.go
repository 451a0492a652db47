package handlers_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"skylift/handlers"
)

var csvHead = []string{"Date", "Name", "Folder", "Source address", "Page address", "Page title", "Alternative text",
	"Size in bytes", "Type", "Route", "State", "Error code", "Link in OneDrive"}

// table reads an export without its head.
func (a answer) table() [][]string {
	a.t.Helper()
	text, marked := strings.CutPrefix(a.want(200).body, "\ufeff")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || !marked || len(rows) == 0 || !slices.Equal(rows[0], csvHead) {
		a.t.Fatalf("%s: %v, marked %v: %.300q", a.what, err, marked, a.body)
	}
	return rows[1:]
}

// uploads makes n transfers whose bytes never come, and returns the last one's id.
func (b *browser) uploads(n int) (id string) {
	b.s.t.Helper()
	lines := make([]any, n)
	for i := range lines {
		lines[i] = map[string]any{"route": "upload", "name": fmt.Sprintf("Cat %d.jpg", i), "size": 5, "altText": fmt.Sprintf("roof %d", i)}
	}
	for _, v := range b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": lines}).want(202).json()["value"].([]any) {
		id = v.(map[string]any)["id"].(string)
	}
	return id
}

func TestTheHistoryIsATable(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := setup(t, func(o *handlers.Options) { o.Now = func() time.Time { return now } })
	b := s.signIn(robin)
	save := func(of map[string]any) map[string]any {
		return b.final(b.json("POST", "/api/v1/transfers", of).want(202).json()["id"].(string))
	}
	signed := s.sample("meadow.jpg") + "?sig=a,b"
	saved := save(map[string]any{"sourceUrl": signed, "pageUrl": "https://alps.example/", "pageTitle": `=HYPERLINK("https://evil.example"), "Alps"`, "altText": "@SUM(1); =2"})
	failed := save(map[string]any{"sourceUrl": s.sample("missing.jpg"), "name": "Lost.jpg"})
	got := b.get("/transfers.csv")
	rows := got.table()
	item := saved["item"].(map[string]any)
	date := func(t map[string]any) string {
		at, _ := time.Parse(time.RFC3339, t["createdDateTime"].(string))
		return at.UTC().Format(time.RFC3339)
	}
	want := [][]string{
		{date(failed), "Lost.jpg", "OneDrive", s.sample("missing.jpg"), "", "", "", "", "", "", "failed", "sourceNotFound", ""},
		{date(saved), "meadow.jpg", "OneDrive", signed, "https://alps.example/", `'=HYPERLINK("https://evil.example"), "Alps"`, "'@SUM(1); '=2",
			fmt.Sprint(item["size"]), "", saved["route"].(string), "completed", "", item["webUrl"].(string)},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d: %q", len(rows), len(want), rows)
	}
	for i := range want {
		want[i][8] = rows[i][8] // the type is what the site said, if anybody here heard it
		if !slices.Equal(rows[i], want[i]) {
			t.Errorf("row %d is\n%q, want\n%q", i, rows[i], want[i])
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/csv; charset=utf-8; header=present", "Cache-Control": "no-store",
		"Content-Disposition": `attachment; filename="skylift-2026-11-28.csv"`, "X-Content-Type-Options": "nosniff",
	} {
		if got.header(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header(name), want)
		}
	}
	if n := strings.Count(got.body, "\r\n"); n != 3 || strings.Count(got.body, "\n") != n {
		t.Errorf("%d line ends, want 3, as RFC 4180 has them", n)
	}
}

func TestAnExportHasEveryPageAndTheFiltersOfTheHistory(t *testing.T) {
	s := setup(t)
	b := s.signIn(robin)
	b.form("/transfers/" + b.uploads(223) + "/cancel").want(303)
	for query, want := range map[string]int{
		"": 223, "?state=cancelled": 1, "?state=completed": 0, "?q=CAT+7": 11, "?q=roof+12": 11,
		"?q=roof+222&state=cancelled": 1, "?q=nothing": 0, "?state=nonsense": 223,
	} {
		if n := len(b.get("/transfers.csv" + query).table()); n != want {
			t.Errorf("%s: %d rows, want %d", query, n, want)
		}
	}
	var names []string
	for _, r := range b.get("/transfers.csv").table() {
		names = append(names, r[1])
	}
	var want []string
	for cursor, more := "", true; more; {
		l := b.get("/api/v1/transfers?top=100&cursor=" + cursor).want(200).json()
		for _, v := range l["value"].([]any) {
			want = append(want, v.(map[string]any)["name"].(string))
		}
		cursor, more = l["cursor"].(string)
	}
	if len(want) != 223 || !slices.Equal(names, want) {
		t.Errorf("the export has %q, the list %q", names, want)
	}
	page := b.get("/transfers?state=cancelled&q=roof").want(200).page()
	if to := attr(page.one("csv"), "href"); to != "/transfers.csv?q=roof&state=cancelled" {
		t.Errorf("the history links to %q", to)
	}
	if n := len(b.get("/transfers?q=nothing").want(200).page().all("csv")); n != 0 {
		t.Error("nothing can be downloaded")
	}
}

func TestAnExportIsItsOwnersAndInNoFrame(t *testing.T) {
	s := setup(t)
	b, p := s.signIn(robin), newPanel()
	b.uploads(3)
	key := b.makeKey()
	frame, device := s.browser(), s.browser()
	device.key = key
	cookie := panelCookie(t, frame.redeem(s.code(robin, p), p.verifier, false).want(204))
	token, _ := frame.redeem(s.code(robin, p), p.verifier, true).want(200).json()["access_token"].(string)
	for name, c := range map[string]struct {
		by   *browser
		head http.Header
		want int
	}{
		"the person":                      {b, nil, 200},
		"the person, by a link elsewhere": {b, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}, 200},
		"a stranger":                      {s.browser(), nil, 401},
		"a device key":                    {device, nil, 401},
		"an extension with the cookie":    {b, http.Header{"Origin": {"moz-extension://x"}}, 401},
		"a panel's cookie":                {frame, http.Header{"Cookie": {cookie}}, 401},
		"a panel's bearer":                {frame, http.Header{"Authorization": {"Bearer " + token}}, 401},
		"a frame of the same site":        {b, http.Header{"Sec-Fetch-Dest": {"iframe"}, "Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"navigate"}}, 403},
		"another account's page":          {b, http.Header{"Skylift-Account": {"another"}}, 409},
	} {
		got := c.by.do("GET", "/transfers.csv", "", c.head)
		if got.status != c.want || c.want != 200 && (strings.Contains(got.body, "Cat 1.jpg") || got.header("Content-Disposition") != "") {
			t.Errorf("%s: %d, want %d: %.200s", name, got.status, c.want, got.body)
		}
	}
	if rows := s.signIn(kim).get("/transfers.csv").table(); len(rows) != 0 {
		t.Errorf("another person's export has %q", rows)
	}
}

// One of these costs as much as hundreds of pages.
func TestExportsAreCounted(t *testing.T) {
	s := setup(t, stopped)
	b := s.signIn(robin)
	for range 20 {
		b.get("/transfers.csv").want(200)
	}
	b.get("/transfers.csv").limited()
	b.get("/transfers").want(200)
	s.signIn(kim).get("/transfers.csv").want(200)
}

// line is a client's, at whose nth write something happens.
type line struct {
	*httptest.ResponseRecorder
	left int
	then func() error
}

func (l *line) Write(p []byte) (int, error) {
	if l.left--; l.left < 0 {
		if err := l.then(); err != nil {
			return 0, err
		}
	}
	return l.ResponseRecorder.Write(p)
}

// An export that the store cannot go on with must not look whole, and who has hung up is read for no longer:
// here that would be noticed, as the store is gone.
func TestAnExportThatBreaksOff(t *testing.T) {
	gone := errors.New("the client is gone")
	for name, c := range map[string]struct {
		client error
		broken any
	}{"the store goes": {nil, http.ErrAbortHandler}, "the client goes": {gone, nil}} {
		t.Run(name, func(t *testing.T) {
			s := setup(t)
			b := s.signIn(robin)
			b.uploads(423)
			out := &line{httptest.NewRecorder(), 2, func() error {
				_ = s.store.DeleteStream(t.Context(), "KV_transfers")
				return c.client
			}}
			r := httptest.NewRequestWithContext(t.Context(), "GET", s.url+"/transfers.csv", nil)
			r.Header.Set("Cookie", b.cookie())
			var broken any
			func() {
				defer func() { broken = recover() }()
				s.handler.ServeHTTP(out, r)
			}()
			if broken != c.broken || out.Body.Len() == 0 {
				t.Errorf("it ended with %v after %d bytes, want %v", broken, out.Body.Len(), c.broken)
			}
			for text := range strings.Lines(s.log.String()) {
				if strings.Contains(text, `"path":"/transfers.csv"`) && strings.Contains(text, "the answer is not whole") != (c.client == nil) {
					t.Errorf("the log has %s", text)
				}
			}
		})
	}
}
