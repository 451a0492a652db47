package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// display is a virtual X screen of 1200 by 900 pixels for what only a real window shows: context
// menus, permission prompts, drags between windows. Windows are placed without a window manager.
type display struct {
	Name string // ":99"
	t    testing.TB
	dir  string // holds the screen's content
}

// newDisplay starts an X server on a free display for the length of the test.
func newDisplay(t testing.TB) *display {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	dir := t.TempDir()
	cmd := exec.Command("/usr/bin/Xvfb", "-displayfd", "3", "-screen", "0", "1200x900x24", "-nolisten", "tcp", "-fbdir", dir)
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
	return &display{Name: ":" + strings.TrimSpace(number), t: t, dir: dir}
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

// Shot keeps a picture of the whole screen, with menus and prompts, if pictures are wanted.
func (d *display) Shot(name string) {
	d.t.Helper()
	if !shots() {
		return
	}
	var b bytes.Buffer
	if err := png.Encode(&b, d.screen()); err != nil {
		d.t.Fatal(err)
	}
	shot(d.t, name, b.Bytes())
}

// screen is what the screen shows now.
func (d *display) screen() image.Image {
	d.t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, "Xvfb_screen0"))
	if err != nil {
		d.t.Fatal(err)
	}
	return xwd(raw)
}

// Until runs an xdotool command line, and once more every three seconds as long as it is not done:
// a busy browser can lose a key.
func (d *display) Until(line, what string, done func() bool) {
	d.t.Helper()
	var last time.Time
	eventually(d.t, what, func() bool {
		if done() {
			return true
		}
		if time.Since(last) > 3*time.Second {
			d.Do(line)
			last = time.Now()
		}
		return false
	})
}

// top is a sum of what the screen shows where browsers put their questions: below the address, in
// the middle.
func (d *display) top() (sum uint32) {
	d.t.Helper()
	screen := d.screen().(*image.NRGBA)
	for y := 100; y < 420; y++ {
		sum = crc32.Update(sum, crc32.IEEETable, screen.Pix[screen.PixOffset(300, y):screen.PixOffset(900, y)])
	}
	return sum
}

// dimmed reports whether the browser has laid a shadow over its light page, as it does behind its
// own questions.
func (d *display) dimmed() bool {
	d.t.Helper()
	_, green, _, _ := d.screen().At(20, 880).RGBA()
	return green < 0xc000
}

// xwd reads the X window dump that Xvfb keeps of its screen: a header that says its own length,
// a colour map, then four bytes a pixel.
func xwd(raw []byte) image.Image {
	field := func(i int) int { return int(binary.BigEndian.Uint32(raw[4*i:])) }
	header, width, height, stride, colors := field(0), field(4), field(5), field(12), field(19)
	pixels := raw[header+12*colors:]
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			p := pixels[y*stride+4*x:]
			img.SetNRGBA(x, y, color.NRGBA{R: p[2], G: p[1], B: p[0], A: 255})
		}
	}
	return img
}
