package onedrive

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a Retry-After can ask for.
const maxRetryAfter = time.Hour

// RetryAfter is how long an answer asks its caller to wait, from 0 (not said) to one hour:
// Retry-After in seconds, fractions or as a date, and the longer of it and RateLimit-Reset.
// https://learn.microsoft.com/sharepoint/dev/general-development/how-to-avoid-getting-throttled-or-blocked-in-sharepoint-online
func RetryAfter(h http.Header, now time.Time) time.Duration {
	wait := parseWait(h.Get("Retry-After"), now)
	if h.Get("RateLimit-Remaining") == "0" || wait > 0 {
		wait = max(wait, parseWait(h.Get("RateLimit-Reset"), now))
	}
	return wait
}

func parseWait(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil || math.IsInf(seconds, 1) {
		if math.IsNaN(seconds) || seconds <= 0 {
			return 0
		}
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
