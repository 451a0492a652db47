package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program builds skylift once for all tests and returns its path.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("E2E_BINARY"); path != "" {
		return path, nil
	}
	path := filepath.Join(workDir, "skylift")
	build := exec.Command("go", "build", "-o", path, "skylift")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build skylift: %w\n%s", err, out)
	}
	return path, nil
})

// app is a running skylift.
type app struct {
	URL string // http://localhost:port, no slash at the end

	t    testing.TB
	dir  string // it runs here, and so does what it keeps in memory
	env  []string
	cmd  *exec.Cmd
	done chan struct{} // closed once the process is gone and its log complete
	log  *logBuffer
}

// start runs skylift as a demo that keeps nothing, on a free port; env adds to or replaces
// settings ("SKYLIFT_DATA=/tmp/x"). It is killed at the test's end: an orderly end waits some
// seconds for connections that browsers open in advance and never use.
func start(t testing.TB, env ...string) *app {
	t.Helper()
	return startAt(t, "localhost:0", env...)
}

// startAt is start on a given address: for settings that need to know it before.
func startAt(t testing.TB, listen string, env ...string) *app {
	t.Helper()
	a := &app{t: t, env: env, dir: t.TempDir()}
	a.run(listen)
	t.Cleanup(func() {
		a.Kill()
		if n := a.policyReports(); n > 0 {
			t.Errorf("browsers reported %d times that the Content-Security-Policy stopped something", n)
		}
		if t.Failed() {
			t.Logf("the end of skylift's log:\n%s", lastLines(a.Log(), 60))
		}
	})
	return a
}

// policyReports counts what browsers reported. A stand-in on another address gives thumbnails by
// http, which the policy stops: Microsoft's come by https.
func (a *app) policyReports() int {
	log := a.Log()
	return strings.Count(log, `"path":"/csp-report"`) - len(thumbnails.FindAllString(log, -1))
}

var thumbnails = regexp.MustCompile(`"path":"/transfers/\w+/thumbnail","status":302`)

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (a *app) run(listen string) {
	a.t.Helper()
	path, err := program()
	if err != nil {
		a.t.Fatal(err)
	}
	a.log = newLogBuffer()
	a.done = make(chan struct{})
	a.cmd = exec.Command(path)
	a.cmd.Dir = a.dir
	a.cmd.Env = append(plainEnvironment(), "SKYLIFT_LISTEN="+listen, "SKYLIFT_DATA=:memory:", "SKYLIFT_METRICS=", "SKYLIFT_LOG=debug")
	a.cmd.Env = append(a.cmd.Env, "TMPDIR="+a.dir)
	a.cmd.Env = append(a.cmd.Env, a.env...)
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	a.cmd.WaitDelay = 5 * time.Second
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) { // ends with the process
		_ = cmd.Wait()
		close(done)
	}(a.cmd, a.done)
	a.URL = a.waitAddress(listen)
}

// plainEnvironment is ours without settings of a skylift that somebody works with on this machine.
func plainEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SKYLIFT_") })
}

var address = regexp.MustCompile(`https?://(?:localhost|127\.0\.0\.1|\[::1\]):[1-9][0-9]*`)

// waitAddress waits until skylift has printed where it listens and says that it is ready. What
// it prints is the public address, which can be another where the port was given.
func (a *app) waitAddress(listen string) string {
	a.t.Helper()
	var url string
	eventually(a.t, "the address that skylift prints", func() bool {
		url = address.FindString(a.log.String())
		if !strings.HasSuffix(listen, ":0") {
			url = "http://" + listen
		}
		select {
		case <-a.done:
			a.t.Fatalf("skylift ended before it listened:\n%s", a.log)
		default:
		}
		return url != ""
	})
	eventually(a.t, "skylift to be ready", func() bool {
		res, err := http.Get(url + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return url
}

// Stop ends skylift as an operator does and waits until it is gone.
func (a *app) Stop() {
	a.t.Helper()
	select {
	case <-a.done:
		return
	default:
	}
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.done:
	case <-time.After(patience):
		a.Kill()
		a.t.Errorf("skylift did not stop on SIGTERM:\n%s", a.log)
	}
}

// Kill ends skylift without a chance to tidy up.
func (a *app) Kill() {
	_ = a.cmd.Process.Kill()
	<-a.done
}

// Restart starts skylift again on the same address: after Stop or Kill.
func (a *app) Restart() {
	a.t.Helper()
	a.run(strings.TrimPrefix(strings.TrimPrefix(a.URL, "http://"), "https://"))
}

// in is the same program for a part of its test.
func (a *app) in(t testing.TB) *app {
	part := *a
	part.t = t
	return &part
}

// Log is all that skylift has printed since it was started.
func (a *app) Log() string { return a.log.String() }

// API sends a JSON request to the API as a device would and decodes the answer into out, unless
// that is nil. It returns the status code.
func (a *app) API(method, path, key string, body, out any) int {
	a.t.Helper()
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			a.t.Fatal(err)
		}
		reader = bytes.NewReader(encoded)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.URL+"/api/v1"+path, reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	if out != nil {
		if err := json.NewDecoder(res.Body).Decode(out); err != nil {
			a.t.Fatalf("%s %s: %d: %v", method, path, res.StatusCode, err)
		}
	}
	return res.StatusCode
}

// logBuffer keeps what a process prints; safe while it still prints.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func newLogBuffer() *logBuffer { return &logBuffer{} }

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
