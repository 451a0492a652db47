package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"skylift/handlers"
	"skylift/onedrive"
)

// logged are the lines of the log that have a request's code.
func (s *site) logged(code string) (lines []map[string]any) {
	for text := range strings.Lines(s.log.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["request"] == code {
			lines = append(lines, line)
		}
	}
	return lines
}

var supportCode = regexp.MustCompile(`^[A-Z2-7]{8}$`)

// broken is a Skylift whose clients of Graph fail in a way that nobody foresaw, or by a bug.
func broken(bug bool) func(*handlers.Options) {
	return func(o *handlers.Options) {
		o.Client = func(context.Context, string) (*onedrive.Client, error) {
			if bug {
				panic("a bug")
			}
			return nil, errors.New("nobody foresaw this")
		}
	}
}

// What a person reads out to whoever runs the server leads to the line that says why.
func TestAnAnswersCodeIsOnItsPageAndInTheLog(t *testing.T) {
	evil := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}
	for name, c := range map[string]struct {
		change func(*handlers.Options)
		method string
		path   string
		head   http.Header
		status int
		shown  bool   // on the page
		level  string // of the request's line
		cause  string // in a line with the code
	}{
		"a page":                       {nil, "GET", "/", nil, 200, false, "DEBUG", ""},
		"a file":                       {nil, "GET", "/manifest.webmanifest", nil, 200, false, "DEBUG", ""},
		"an error that nobody foresaw": {broken(false), "GET", "/folders", nil, 500, true, "ERROR", "nobody foresaw this"},
		"a bug":                        {broken(true), "GET", "/folders", nil, 500, true, "ERROR", "a bug"},
		"a head of it":                 {broken(false), "HEAD", "/folders", nil, 500, false, "ERROR", "nobody foresaw this"},
		"another site":                 {nil, "POST", "/transfers", evil, 403, true, "INFO", ""},
		"a sign-in that failed":        {nil, "GET", "/auth/callback?code=x&state=y", nil, 400, true, "INFO", "sign-in failed"},
		"a transfer that is not there": {nil, "GET", "/transfers/01JD0000000000000000000000/source", nil, 404, true, "INFO", ""},
		"an address that is none":      {nil, "GET", "/no/such/page", nil, 404, false, "DEBUG", ""},
		"a missing sign-in":            {nil, "GET", "/settings", http.Header{"Origin": {"moz-extension://x"}}, 401, false, "DEBUG", ""},

		"an error of the API that nobody foresaw": {broken(false), "GET", "/api/v1/folders", nil, 500, true, "ERROR", "nobody foresaw this"},
		"a bug of the API":                        {broken(true), "GET", "/api/v1/folders", nil, 500, true, "ERROR", "a bug"},
		"another site, on the API":                {nil, "POST", "/api/v1/transfers/retry-failed", evil, 403, true, "INFO", ""},
		"an address of the API that is none":      {nil, "GET", "/api/v1/nothing", nil, 404, true, "DEBUG", ""},
		"a missing sign-in of the API":            {nil, "GET", "/api/v1/me", evil, 401, true, "DEBUG", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*handlers.Options)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			s := setup(t, changes...)
			b := s.signIn(robin)
			got := b.do(c.method, c.path, "", c.head).want(c.status)
			code := got.header("X-Request-Id")
			if !supportCode.MatchString(code) || code == b.get("/").header("X-Request-Id") {
				t.Fatalf("the code is %q", code)
			}
			said := strings.Contains(got.body, "name code "+code+".")
			if strings.HasPrefix(c.path, "/api/") {
				said = got.json()["instance"] == "urn:skylift:request:"+code
			}
			if said != c.shown || !said && strings.Contains(got.body, code) {
				t.Errorf("the answer says it: %v, want %v: %s", said, c.shown, got.body)
			}
			level, cause := "", c.cause == ""
			for _, line := range s.logged(code) {
				if line["msg"] == "request" {
					level = line["level"].(string)
				}
				text, _ := json.Marshal(line)
				cause = cause || strings.Contains(string(text), c.cause)
			}
			if level != c.level || !cause {
				t.Errorf("the request's line is %q, want %q; the cause is told: %v", level, c.level, cause)
			}
		})
	}
}

func TestALineOfABatchLeadsToTheLog(t *testing.T) {
	s := setup(t, broken(false))
	b := s.signIn(robin)
	got := b.json("POST", "/api/v1/transfers/batch", map[string]any{"transfers": []any{map[string]any{"sourceUrl": s.sample("meadow.jpg")}}}).want(202)
	code := got.header("X-Request-Id")
	line := got.json()["value"].([]any)[0].(map[string]any)
	if line["code"] != "internal" || line["instance"] != "urn:skylift:request:"+code {
		t.Errorf("the line is %v, want the code %s", line, code)
	}
	for _, line := range s.logged(code) {
		if text, _ := line["error"].(string); strings.Contains(text, "nobody foresaw this") {
			return
		}
	}
	t.Errorf("the log says nothing of the cause: %v", s.logged(code))
}

// A code from outside would be words of anybody's choice in our log and on our pages.
func TestAClientNamesNoRequest(t *testing.T) {
	s := setup(t)
	for _, header := range []string{"X-Request-Id", "X-Correlation-Id", "Traceparent"} {
		got := s.browser().do("GET", "/no/such/page", "", http.Header{header: {"FORGED22"}})
		if code := got.header("X-Request-Id"); !supportCode.MatchString(code) || code == "FORGED22" {
			t.Errorf("%s: the code is %q", header, code)
		}
	}
	if strings.Contains(s.log.String(), "FORGED22") {
		t.Error("it is in the log")
	}
}
