package handlers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// slowLine is a connection on which each read takes a while and gives some bytes.
type slowLine struct {
	clock *time.Time
	takes time.Duration
	gives int
}

func (l slowLine) Read(p []byte) (int, error) {
	*l.clock = l.clock.Add(l.takes)
	return min(l.gives, len(p)), nil
}

// TestABodyThatDripsIsEnded: a client that is silent for a while, or on a slow line, is waited for; one
// that keeps a body open by a byte now and then is not. Nor does OneDrive's slowness count against it.
func TestABodyThatDripsIsEnded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		gives int
		other time.Duration // between reads
		reads int
		slow  bool
	}{
		{"a byte a second", time.Second, 1, 0, 31, true},
		{"a byte every 29 seconds", 29 * time.Second, 1, 0, 2, true},
		{"a little too slow", time.Second, 8<<10 - 1, 0, 31, true},
		{"slow enough", time.Second, 8 << 10, 0, 3600, false},
		{"in gusts", 20 * time.Second, 512 << 10, 0, 100, false},
		{"a fast one that is seldom asked", time.Millisecond, 1000, time.Minute, 100, false},
	} {
		clock := time.Now()
		s := steadyReader{r: slowLine{&clock, tt.takes, tt.gives}, control: http.NewResponseController(httptest.NewRecorder()), now: func() time.Time { return clock }}
		var err error
		n := 0
		for ; n < tt.reads && err == nil; n++ {
			_, err = s.Read(make([]byte, 1<<20))
			clock = clock.Add(tt.other)
		}
		if slow := err != nil && strings.Contains(err.Error(), "bodyTooSlow"); slow != tt.slow || s.slow != tt.slow {
			t.Errorf("%s: after %d reads: %v", tt.name, n, err)
		}
	}
}
