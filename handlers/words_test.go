package handlers

import (
	"testing"
	"time"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/views"
)

func TestEveryKindOfFailedSignInHasWords(t *testing.T) {
	kinds := []auth.Kind{auth.Declined, auth.Expired, auth.Replayed, auth.WrongState, auth.Untrusted, auth.AdminNeeded, auth.ConsentNeeded,
		auth.WrongAccountType, auth.Misconfigured, auth.RedirectUnknown, auth.ClientUnknown, auth.SecretWrong, auth.SecretExpired,
		auth.AudienceMismatch, auth.SessionExpired, auth.InteractionNeeded, auth.Blocked, auth.AccountLocked, auth.Loop, auth.TryAgain}
	for _, k := range kinds {
		if w := signIns[k]; w.status < 400 || w.what == "" || w.do == "" {
			t.Errorf("%s: %+v", k, w)
		}
	}
	if len(signIns) != len(kinds) {
		t.Errorf("%d kinds have words, %d are tested", len(signIns), len(kinds))
	}
}

func TestWordsAreWhole(t *testing.T) {
	for name, table := range map[string]map[string]words{"failures": failures, "requests": requests} {
		for code, w := range table {
			if w.status < 400 || w.status > 599 || w.what == "" || w.what[len(w.what)-1] != '.' {
				t.Errorf("%s[%s] = %+v", name, code, w)
			}
		}
	}
	for _, k := range kinds {
		if _, ok := requests[k.code]; !ok && failures[k.code].what == "" {
			t.Errorf("%v leads to %q, which has no words", k.err, k.code)
		}
	}
}

// A person whose source failed learns what happened, what was done about it, and what they can do.
func TestWhatIsWrongWithASourceIsToldInThreeParts(t *testing.T) {
	for _, code := range []string{"sourceRefused", "sourceUnreachable", "sourceInsecure", "sourceTooManyRedirects", "sourceNotFound", "sourceUnauthorized",
		"sourceTooManyRequests", "sourceUnavailable", "sourceTooSlow", "sourceTooLarge", "sourceNotAFile", "sourceHotlinkRefused", "sourceIncomplete",
		"emptyFile", "sizeMismatch"} {
		if w := failures[code]; w.status != 422 || w.what == "" || w.did == "" || w.do == "" {
			t.Errorf("%s: %+v", code, w)
		}
	}
}

func TestWhoCanDoNothingButWaitIsToldHowLong(t *testing.T) {
	for err, want := range map[error]time.Duration{
		transfer.ErrTaken: time.Minute, transfer.ErrFull: 5 * time.Second, transfer.ErrUnavailable: 5 * time.Second, transfer.ErrBusy: 5 * time.Second,
		onedrive.ErrThrottled: 5 * time.Second, rateError{20 * time.Millisecond}: 20 * time.Millisecond, &onedrive.Error{RetryAfter: time.Hour}: 0,
		onedrive.ErrUnavailable: 0, transfer.ErrNotFound: 0, errSignedOut: 0,
	} {
		if got := retryAfter(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

// A source's trouble is told in a transfer's words, where a request has the code too.
func TestASourcesTroubleHasASourcesWords(t *testing.T) {
	if code, w := judge(&transfer.SourceError{Code: "sizeMismatch"}); code != "sizeMismatch" || w != failures[code] {
		t.Errorf("%s: %+v", code, w)
	}
	if code, w := judge(transfer.ErrBusy); code != "tooManyRequests" || w.status != 429 {
		t.Errorf("%s: %+v", code, w)
	}
}

func ptr[T any](v T) *T { return &v }

func TestProgressSaysWhatIsKnown(t *testing.T) {
	for _, c := range []struct {
		name  string
		t     transfer.Transfer
		speed float64
		want  string
		bar   string
	}{
		{"OneDrive tells a percentage", transfer.Transfer{Route: transfer.Native, Percent: ptr(41.5)}, 0, "41 %", "41.5"},
		{"OneDrive tells nothing", transfer.Transfer{Route: transfer.Native}, 0, "OneDrive gives no percentage", ""},
		{"zero is a percentage too", transfer.Transfer{Route: transfer.Native, Percent: ptr(0.0)}, 0, "0 %", "0"},
		{"a relay of known size", transfer.Transfer{Route: transfer.Relay, BytesTransferred: ptr[int64](25e6), Size: ptr[int64](100e6)}, 5e6,
			"25 % · 25 MB of 100 MB · 5.0 MB/s · about 15 seconds left", "25"},
		{"a relay of unknown size", transfer.Transfer{Route: transfer.Relay, BytesTransferred: ptr[int64](999)}, 100, "999 bytes, the whole size is not known · 100 bytes/s", ""},
		{"an empty relay", transfer.Transfer{Route: transfer.Relay, BytesTransferred: ptr[int64](0), Size: ptr[int64](0)}, 0, "0 bytes, the whole size is not known", ""},
	} {
		p := progressOf(c.t, c.speed)
		if p.Text() != c.want || p.Percent != c.bar {
			t.Errorf("%s: %q with bar %q, want %q with %q", c.name, p.Text(), p.Percent, c.want, c.bar)
		}
	}
}

func TestBytesAndTimesInWords(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 82_400: "82 kB", 999_499: "999 kB", 999_600: "1.0 MB",
		1_234_567: "1.2 MB", 10_500_000: "10 MB", 1_073_741_824: "1.1 GB", 5e12: "5.0 TB", 9e15: "9000 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "a second", time.Second: "1 second", 89 * time.Second: "89 seconds", 2 * time.Minute: "2 minutes", 3 * time.Hour: "3 hours"} {
		if got := durationText(d); got != want {
			t.Errorf("durationText(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSpeedIsMeasuredFromWhatPassesBy(t *testing.T) {
	m, now := meters{}, time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	at := func(bytes int64, after time.Duration) float64 {
		return m.speed(transfer.Transfer{ID: "a", State: transfer.InProgress, BytesTransferred: &bytes}, now.Add(after))
	}
	if got := at(0, 0); got != 0 {
		t.Errorf("at first %v", got)
	}
	if got := at(1000, time.Second); got != 1000 {
		t.Errorf("after a second %v, want 1000", got)
	}
	if got := at(4000, 2*time.Second); got != 0.7*1000+0.3*3000 {
		t.Errorf("smoothed %v", got)
	}
	if got := at(10, 3*time.Second); got != 0 {
		t.Errorf("after a new start %v", got)
	}
	m.speed(transfer.Transfer{ID: "a", State: transfer.Completed}, now)
	if len(m) != 0 {
		t.Error("a finished transfer is still measured")
	}
}

func TestEveryStateHasWordsAndATone(t *testing.T) {
	h := &Handler{now: time.Now}
	for _, s := range []transfer.State{transfer.NotStarted, transfer.InProgress, transfer.Waiting, transfer.Completed, transfer.Failed, transfer.Cancelled} {
		for _, route := range []transfer.Route{"", transfer.Native, transfer.Relay, transfer.Upload} {
			r := h.row(transfer.Transfer{ID: "x", State: s, Route: route, SourceURL: "https://www.a.example/b.jpg", Created: time.Now()}, 0)
			if r.Words == "" || r.Words == string(s) || r.Tone == views.Plain || r.Source != "a.example" {
				t.Errorf("%s by %q: %+v", s, route, r)
			}
			if r.Cancel == s.Final() || r.Remove != s.Final() {
				t.Errorf("%s: cancel %v, remove %v", s, r.Cancel, r.Remove)
			}
		}
	}
	inline := h.row(transfer.Transfer{State: transfer.Completed, SourceURL: "data:image/gif;base64,R0lG"}, 0)
	if inline.Link != "" || inline.Source != "From your browser" {
		t.Errorf("a data: URL links to %q as %q", inline.Link, inline.Source)
	}
}

// A row that is over speaks of its route in the past.
func TestTheRouteIsToldInItsTime(t *testing.T) {
	for _, tt := range []struct {
		state transfer.State
		route transfer.Route
		want  string
	}{
		{transfer.NotStarted, transfer.Upload, ""},
		{transfer.InProgress, transfer.Native, "OneDrive fetches it itself"}, {transfer.Completed, transfer.Native, "OneDrive fetched it itself"},
		{transfer.Failed, transfer.Native, "OneDrive was to fetch it itself"}, {transfer.Cancelled, transfer.Native, ""},
		{transfer.InProgress, transfer.Relay, "This server carries it"}, {transfer.Waiting, transfer.Relay, "This server carries it"},
		{transfer.Completed, transfer.Relay, "Carried by this server"}, {transfer.Failed, transfer.Relay, "This server was to carry it"},
		{transfer.Waiting, transfer.Upload, "Your browser hands it over"}, {transfer.Completed, transfer.Upload, "Handed over by your browser"},
		{transfer.Failed, transfer.Upload, "Your browser was to hand it over"},
	} {
		if got, _ := routeWords(transfer.Transfer{State: tt.state, Route: tt.route}); got != tt.want {
			t.Errorf("%s %s: %q; want %q", tt.state, tt.route, got, tt.want)
		}
	}
	for left, want := range leftoverText {
		for _, route := range []transfer.Route{transfer.Native, transfer.Relay, transfer.Upload} {
			if got, why := routeWords(transfer.Transfer{State: transfer.Cancelled, Route: route, RouteReason: "workAccount", Leftover: left}); got != want || why != "" {
				t.Errorf("%s of a %s: %q %q; want %q", left, route, got, why, want)
			}
		}
	}
}

// A row that failed says one thing: the site that was thought to want the page's address has no such file.
func TestAFailedRowDoesNotSayWhyTheFirstWayWasLeft(t *testing.T) {
	for state, want := range map[transfer.State]string{
		transfer.InProgress: "because the site wants to know the page it is on", transfer.Completed: "because the site wants to know the page it is on",
		transfer.Failed: "",
	} {
		r := (&Handler{now: time.Now}).row(transfer.Transfer{State: state, Route: transfer.Relay, RouteReason: "needsReferer", Failure: &transfer.Failure{Code: "sourceNotFound"}}, 0)
		if r.Why != want {
			t.Errorf("%s: %q, want %q", state, r.Why, want)
		}
	}
}

// What waits for a browser has no next try of its own: the time that is known is when it is given up.
func TestWaitingForABrowserNamesNoNextTry(t *testing.T) {
	now := time.Now()
	for reason, want := range map[transfer.Reason]string{transfer.ClientBytes: "", transfer.Throttled: "Next try in about 2 minutes."} {
		n := waitingNotice(transfer.Transfer{State: transfer.Waiting, Reason: reason, Due: now.Add(2 * time.Minute)}, now)
		if (n.Did == "") != (want == "") {
			t.Errorf("%s: %q", reason, n.Did)
		}
	}
}
