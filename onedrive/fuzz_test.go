package onedrive_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"skylift/onedrive"
)

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "7", "0.25", "1e999", "-0", "NaN", "Mon, 04 May 2026 09:31:30 GMT", "0x1p-2", "१"} {
		f.Add(seed, seed)
	}
	now := time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, after, reset string) {
		got := onedrive.RetryAfter(http.Header{"Retry-After": {after}, "Ratelimit-Reset": {reset}, "Ratelimit-Remaining": {"0"}}, now)
		if got < 0 || got > time.Hour {
			t.Errorf("RetryAfter of %q, %q = %v", after, reset, got)
		}
	})
}

func FuzzSafeName(f *testing.F) {
	for _, seed := range []string{"tabby.jpg", "con.jpg", " ~a. ", "&amp;&#47;", "_vti_", strings.Repeat("🐈", 101) + ".jpeg", "a\xff\u202e", "Ka\u0308se"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) { checkSafeName(t, name) })
}

// answering is a client for which every call is answered by the same bytes.
func answering(f testing.TB, status int, header http.Header, body string) *onedrive.Client {
	f.Helper()
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	g, err := onedrive.New(onedrive.Config{Graph: &http.Client{Transport: transport}, Bare: &http.Client{Transport: transport}})
	if err != nil {
		f.Fatal(err)
	}
	return g.Client(fixedToken)
}

// seeds adds the bodies of the documented answers.
func seeds(f *testing.F, folder string, add func(status int, location, body string)) {
	f.Helper()
	files, err := filepath.Glob("testdata/" + folder + "/*.http")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		head, body, _ := strings.Cut(string(text), "\n\n")
		location := regexp.MustCompile(`Location: (.*)`).FindStringSubmatch(head + "\nLocation: ")[1]
		add(200+len(body)%400, location, body)
	}
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.:-]{0,100}$`)

func FuzzGraphError(f *testing.F) {
	seeds(f, "error", func(status int, _, body string) { f.Add(status, body) })
	f.Add(400, `{"error":{"code":"a","innerError":{"code":"b","innererror":{"code":{"c":1}}}}}`)
	f.Add(400, `{"error":{"code":"<script>","message":7,"innerError":[]}}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		status = 300 + abs(status)%300
		_, err := answering(t, status, http.Header{"Request-Id": {body}}, body).Item(t.Context(), onedrive.Ref{})
		var e *onedrive.Error
		if !errors.As(err, &e) || e.Status != status {
			t.Fatalf("%d %q: %v", status, body, err)
		}
		for _, word := range append(e.Inner, e.Code, e.RequestID) {
			if !plainWord.MatchString(word) {
				t.Errorf("%d %q: %q is no code", status, body, word)
			}
		}
		found := 0
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				found++
			}
		}
		if found != 1 || strings.ContainsAny(err.Error(), "<>\n") {
			t.Errorf("%d %q: %v is of %d kinds", status, body, err, found)
		}
	})
}

func FuzzMonitor(f *testing.F) {
	seeds(f, "monitor", func(status int, location, body string) { f.Add(status, location, body) })
	f.Fuzz(func(t *testing.T, status int, location, body string) {
		status = 200 + abs(status)%400
		job, err := answering(t, status, http.Header{"Location": {location}}, body).MonitorStatus(t.Context(), "https://api.onedrive.com/monitor/x")
		switch {
		case err != nil && !errors.Is(err, onedrive.ErrUnavailable) && !errors.Is(err, onedrive.ErrThrottled):
			t.Errorf("%d %q: %v", status, body, err)
		case job.Percent != nil && !(*job.Percent >= 0 && *job.Percent <= 100):
			t.Errorf("%d %q: %v %%", status, body, *job.Percent)
		case !plainWord.MatchString(job.Code), !plainWord.MatchString(job.Status), strings.ContainsAny(job.Description, "\n\u202e"):
			t.Errorf("%d %q: %+v", status, body, job)
		case err == nil && job.State == completed && status >= 400:
			t.Errorf("%d %q is taken for completed", status, body)
		case err == nil && job.State == completed && status < 300 && !strings.Contains(strings.ToLower(body), "completed") && job.Item == nil && !strings.Contains(body, `\u`):
			t.Errorf("%d %q is taken for completed", status, body)
		}
	})
}

var idShape = regexp.MustCompile(`^[A-Za-z0-9!._-]{0,128}$`)

func FuzzLocation(f *testing.F) {
	seeds(f, "monitor", func(_ int, location, _ string) { f.Add(location) })
	f.Add("/drives/d/items/../x")
	f.Add("https://a/items/items('b')/x?items=c#items/d")
	f.Fuzz(func(t *testing.T, location string) {
		job, err := answering(t, 303, http.Header{"Location": {location}}, "").MonitorStatus(t.Context(), "https://api.onedrive.com/monitor/x")
		if err != nil || job.State != completed {
			t.Fatalf("%q: %+v, %v", location, job, err)
		}
		if !idShape.MatchString(job.ItemID) || job.ItemID == ".." || job.ItemID == "." {
			t.Errorf("%q: id %q", location, job.ItemID)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
