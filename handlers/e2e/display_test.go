package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// display is a virtual X screen of 1200 by 900 pixels for what only a real window shows: context
// menus, permission prompts, drags between windows. Windows are placed without a window manager.
type display struct {
	Name string // ":99"
	t    testing.TB
}

// newDisplay starts an X server on a free display for the length of the test.
func newDisplay(t testing.TB) *display {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command("/usr/bin/Xvfb", "-displayfd", "3", "-screen", "0", "1200x900x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{write}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb named no display: %v", err)
	}
	return &display{Name: ":" + strings.TrimSpace(number), t: t}
}

// Do runs one xdotool command line on the display: "mousemove 10 20 click 3", "key Up Return".
func (d *display) Do(line string) string {
	d.t.Helper()
	cmd := exec.Command("/usr/bin/xdotool", strings.Fields(line)...)
	cmd.Env = append(os.Environ(), "DISPLAY="+d.Name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("xdotool %s: %v\n%s", line, err, out)
	}
	return string(out)
}
