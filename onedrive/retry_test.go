package onedrive_test

import (
	"net/http"
	"testing"
	"time"

	"skylift/onedrive"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC)
	rows := []struct {
		what   string
		header http.Header
		want   time.Duration
	}{
		{"nothing said", http.Header{}, 0},
		{"seconds", retryAfter("7"), 7 * time.Second},
		{"seconds with spaces", retryAfter(" 7 "), 7 * time.Second},
		{"a fraction", retryAfter("0.25"), 250 * time.Millisecond},
		{"a date", retryAfter("Mon, 04 May 2026 09:31:30 GMT"), 90 * time.Second},
		{"an old form of a date", retryAfter("Monday, 04-May-26 09:31:30 GMT"), 90 * time.Second},
		{"a date in the past", retryAfter("Mon, 04 May 2026 09:00:00 GMT"), 0},
		{"a date far away", retryAfter("Mon, 04 May 2027 09:00:00 GMT"), time.Hour},
		{"more than an hour", retryAfter("86400"), time.Hour},
		{"more than a Duration holds", retryAfter("1e300"), time.Hour},
		{"more than a float holds", retryAfter("1e999"), time.Hour},
		{"infinity", retryAfter("Inf"), time.Hour},
		{"not a number", retryAfter("NaN"), 0},
		{"negative", retryAfter("-5"), 0},
		{"words", retryAfter("soon"), 0},
		{"the longer one is Reset", http.Header{"Retry-After": {"5"}, "Ratelimit-Reset": {"31"}, "Ratelimit-Remaining": {"0"}}, 31 * time.Second},
		{"the longer one is Retry-After", http.Header{"Retry-After": {"45"}, "Ratelimit-Reset": {"31"}}, 45 * time.Second},
		{"the longer one is Reset, and nothing is said of what remains", http.Header{"Retry-After": {"5"}, "Ratelimit-Reset": {"31"}}, 31 * time.Second},
		{"Reset alone, all used up", http.Header{"Ratelimit-Reset": {"31"}, "Ratelimit-Remaining": {"0"}}, 31 * time.Second},
		{"Reset alone, some left", http.Header{"Ratelimit-Reset": {"31"}, "Ratelimit-Remaining": {"200"}}, 0},
	}
	for _, row := range rows {
		if got := onedrive.RetryAfter(row.header, now); got != row.want {
			t.Errorf("%s: RetryAfter(%v) = %v, want %v", row.what, row.header, got, row.want)
		}
	}
}

func retryAfter(value string) http.Header { return http.Header{"Retry-After": {value}} }
