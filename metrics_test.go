package main

import (
	"fmt"
	"strings"
	"testing"

	"skylift/onedrive/transfer/natsd"
)

// TestMetricsTellWhatAnOperatorAsks saves one file, fails at another, and reads /metrics as a
// monitoring system does.
func TestMetricsTellWhatAnOperatorAsks(t *testing.T) {
	p := start(t, natsd.Memory, "-metrics", "localhost:0")
	c := p.signIn(t, "robin@demo.example")
	saved := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/meadow.jpg"}`)
	missing := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/missing.jpg"}`)
	last := c.follow(t, saved.ID, missing.ID)

	c.base = "http://" + p.metrics
	text := ""
	for try := 0; try < 100 && strings.Count(text, "skylift_transfers_ended_total{") < 2; try++ {
		text = c.get(t, c.base+"/metrics") // an end is counted just after it is told
	}
	for _, want := range []string{
		`skylift_transfers_ended_total{route="native",state="completed"} 1`,
		`skylift_transfers_ended_total{route="none",state="failed"} 1`,
		fmt.Sprintf(`skylift_saved_bytes_total{route="native"} %d`, last[saved.ID].Item.Size),
		`skylift_microsoft_calls_total{call="save from URL",status="202"} 1`,
		`skylift_transfers{doing="resting",reason=""} 0`,
		`skylift_http_requests_total{method="POST",route="/api/v1/transfers",status="202"} 2`,
		`go_build_info`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if told := p.log.failures(); len(told) != 1 || !strings.Contains(told[0], `"transfer":"`+missing.ID+`"`) || !strings.Contains(told[0], `"code":"sourceNotFound"`) || strings.Contains(told[0], "missing.jpg") {
		t.Errorf("the log says of what failed: %q", told)
	}
	for _, secret := range []string{"meadow", "robin", saved.ID, last[saved.ID].Item.ID} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, secret) {
				t.Errorf("/metrics tells %q: %s", secret, line)
			}
		}
	}
}
