package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	chromiumPath = "/usr/bin/chromium"
	firefoxPath  = "/usr/bin/firefox-esr"
	axePath      = "node_modules/axe-core/axe.min.js"

	aptLine = "apt-get install -y --no-install-recommends chromium firefox-esr xvfb xdotool libnss3-tools curl fonts-dejavu-core"
	npmLine = "npm ci --omit=dev --prefix handlers/e2e"
)

// patience is how long a step may take before a test gives up on it: generous, because a busy
// machine is slow and a passing test never waits for it. E2E_PATIENCE shortens it while one works
// on a test.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("E2E_PATIENCE")); err == nil {
		return d
	}
	return 40 * time.Second
}()

// TestMain refuses to run without the browsers: a skipped browser test looks like a passed one.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if problem := missing(); problem != "" {
		fmt.Fprintln(os.Stderr, problem)
		return 1
	}
	dir, err := os.MkdirTemp("", "skylift-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	workDir = dir
	ctx, cancel := context.WithCancel(context.Background())
	defer sharedBrowser.stop()
	defer cancel()
	suite = ctx
	return m.Run()
}

var (
	suite   context.Context // ends with the last test
	workDir string          // removed after the last test
)

func missing() string {
	for _, program := range []string{chromiumPath, firefoxPath, "/usr/bin/Xvfb", "/usr/bin/xdotool", "/usr/bin/curl"} {
		if _, err := os.Stat(program); err != nil {
			return "browser tests need " + program + ": " + aptLine
		}
	}
	if _, err := os.Stat(axePath); err != nil {
		return "browser tests need axe-core: " + npmLine
	}
	return ""
}

// shot writes a picture for people to look at, if E2E_SHOTS says where.
func shot(t testing.TB, name string, png []byte) {
	t.Helper()
	dir := os.Getenv("E2E_SHOTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := strings.NewReplacer("/", "_", " ", "-").Replace(t.Name()+"-"+name) + ".png"
	if err := os.WriteFile(filepath.Join(dir, file), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// shots reports whether screenshots are wanted at all.
func shots() bool { return os.Getenv("E2E_SHOTS") != "" }

// eventually asks again and again until check reports true: for things of a browser or of
// another process that announce nothing. The pause is short, the patience long.
func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting for %s", what)
		}
		<-tick.C
	}
}
