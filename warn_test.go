package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"skylift/auth"
	"skylift/onedrive/transfer/natsd"
)

// TestKeysBesideWhatTheySealAreWarnedOf, but where there is nothing to lose.
func TestKeysBesideWhatTheySealAreWarnedOf(t *testing.T) {
	live := []string{"-client-id", "app", "-client-secret", "secret"}
	for _, tt := range []struct {
		name    string
		data    string
		args    []string
		environ []string
		warned  bool
	}{
		{"keys of its own", t.TempDir(), live, nil, true},
		{"keys from elsewhere", t.TempDir(), live, []string{"SKYLIFT_KEYS=" + auth.NewKey()}, false},
		{"a folder in memory", natsd.Memory, live, nil, false},
		{"the demo", t.TempDir(), nil, nil, false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		out, in := io.Pipe()
		go func() { // ends with the program
			_, _ = io.ReadAtLeast(out, make([]byte, 10), 10)
			cancel()
			_, _ = io.Copy(io.Discard, out)
		}()
		var log bytes.Buffer
		err := run(ctx, append([]string{"-listen", "localhost:0", "-data", tt.data, "-metrics", ""}, tt.args...), tt.environ, in, &log)
		in.Close()
		if warned := strings.Contains(log.String(), "SKYLIFT_KEYS"); err != nil || warned != tt.warned {
			t.Errorf("%s: warned %v, %v; want %v", tt.name, warned, err, tt.warned)
		}
	}
}
