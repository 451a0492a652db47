package main

import (
	"bufio"
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

// TestTheNewestKeyIsSpokenOfWhereItMatters: to who has changed it, at each start until the older are gone.
func TestTheNewestKeyIsSpokenOfWhereItMatters(t *testing.T) {
	dir, older, newest := t.TempDir(), auth.NewKey(), auth.NewKey()
	for _, tt := range []struct{ name, keys, want string }{
		{"one key", older, `"DEBUG"`},
		{"a newer one in front", newest + "," + older, `"INFO"`},
		{"the same once more", newest + "," + older, `"INFO"`},
		{"the newer one alone", newest, `"DEBUG"`},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		log, in := io.Pipe()
		ended := make(chan error, 1)
		go func() { // ends with ctx
			ended <- run(ctx, []string{"-listen", "localhost:0", "-data", dir, "-metrics", "", "-log", "debug"}, []string{"SKYLIFT_KEYS=" + tt.keys}, io.Discard, in)
			in.Close()
		}()
		said := ""
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "all is sealed") {
				said = lines.Text()
				cancel()
			}
		}
		cancel()
		if err := <-ended; err != nil || !strings.Contains(said, tt.want) {
			t.Errorf("%s: %v, logged %q, want %s", tt.name, err, said, tt.want)
		}
	}
}
