//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk is a file system of its own, so that it can be really full or really read-only.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=160m"); err != nil {
		t.Skipf("only root may mount: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill leaves so many bytes free and gives the function that makes room again.
func fill(t *testing.T, dir string, free int64) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "somebody-else's")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for left := int64(s.Bavail)*s.Bsize - free; left > 0; left -= int64(len(block)) {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() { _ = os.Remove(path) }
}

// TestADiskThatTakesNothingMore: new transfers are refused in words, what runs goes on, and when the
// disk takes data again everything ends as it should, without anybody's doing.
func TestADiskThatTakesNothingMore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		free   int64
		goesOn bool // what runs may still write
	}{
		{"nearly full", 32 << 20, true},
		{"full to the last byte", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := smallDisk(t)
			p := start(t, filepath.Join(dir, "data"))
			c := p.signIn(t, "robin@demo.example")
			running := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/slow.jpg"}`)
			mend := fill(t, dir, tt.free)
			var refused struct{ Code, Title, Detail string }
			body := `{"sourceUrl":"` + p.url + `/demo/samples/meadow.jpg"}`
			res, err := c.http.Post(c.base+"/api/v1/transfers", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if err := json.NewDecoder(res.Body).Decode(&refused); res.StatusCode != http.StatusServiceUnavailable || refused.Code != "storeUnavailable" || refused.Title == "" {
				t.Errorf("a new transfer: %s %+v %v; want 503 storeUnavailable", res.Status, refused, err)
			}
			if tt.goesOn {
				if got := c.follow(t, running.ID)[running.ID]; got.State != "completed" {
					t.Errorf("what ran ended as %+v, want completed", got)
				}
			} else {
				<-time.After(8 * time.Second) // it wants to store its end meanwhile
			}
			mend()
			deadline := time.Now().Add(20 * time.Second)
			for status := 0; status != http.StatusAccepted; time.Sleep(100 * time.Millisecond) {
				res, err := c.http.Post(c.base+"/api/v1/transfers", "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if status = res.StatusCode; time.Now().After(deadline) {
					t.Fatalf("20 s after there is room: %s", res.Status)
				}
			}
			for state := ""; !tt.goesOn && state != "completed"; <-time.After(100 * time.Millisecond) {
				var got seen
				if err := json.Unmarshal([]byte(c.get(t, c.base+"/api/v1/transfers/"+running.ID)), &got); err != nil {
					t.Fatal(err)
				}
				if state = got.State; time.Now().After(deadline.Add(20 * time.Second)) {
					t.Fatalf("40 s after there is room what ran is %s", state)
				}
			}
			if tt.goesOn {
				return
			}
			p.stop(t)
			again := start(t, filepath.Join(dir, "data"), "-listen", strings.TrimPrefix(p.url, "http://"))
			if got := c.get(t, again.url+"/api/v1/transfers/"+running.ID); !strings.Contains(got, `"completed"`) {
				t.Errorf("after a restart: %s", got)
			}
		})
	}
}

// TestADataFolderThatCannotBeWrittenTo while the program runs: new transfers are refused in words, since
// a restart would not know them, and what runs ends. What is open stays open; so a mount over the folder
// stands for a disk that turned read-only.
func TestADataFolderThatCannotBeWrittenTo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, data string) (mend func())
	}{
		{"read-only", func(t *testing.T, data string) func() {
			for _, flags := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY} {
				if err := unix.Mount(data, data, "", flags, ""); err != nil {
					t.Fatal(err)
				}
			}
			mend := sync.OnceFunc(func() { _ = unix.Unmount(data, unix.MNT_DETACH) })
			t.Cleanup(mend)
			return mend
		}},
		{"moved away", func(t *testing.T, data string) func() {
			if err := os.Rename(data, data+".away"); err != nil {
				t.Fatal(err)
			}
			return func() { _ = os.Rename(data+".away", data) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := filepath.Join(smallDisk(t), "data")
			p := start(t, data)
			c := p.signIn(t, "robin@demo.example")
			running := c.post(t, "/api/v1/transfers", `{"sourceUrl":"`+p.url+`/demo/samples/slow.jpg"}`)
			mend := tt.spoil(t, data)
			body := `{"sourceUrl":"` + p.url + `/demo/samples/meadow.jpg"}`
			var refused struct{ Code, Title string }
			res, err := c.http.Post(c.base+"/api/v1/transfers", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if err := json.NewDecoder(res.Body).Decode(&refused); res.StatusCode != http.StatusServiceUnavailable || refused.Code != "storeUnavailable" || refused.Title == "" {
				t.Errorf("a new transfer: %s %+v %v; want 503 storeUnavailable", res.Status, refused, err)
			}
			if res, err := http.Get(p.url + "/readyz"); err != nil || res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("/readyz: %v %v, want 503", res, err)
			}
			if got := c.follow(t, running.ID)[running.ID]; got.State != "completed" {
				t.Errorf("what ran ended as %+v, want completed", got)
			}
			mend()
			saved := c.post(t, "/api/v1/transfers", body)
			if got := c.follow(t, saved.ID)[saved.ID]; got.State != "completed" {
				t.Errorf("when it is mended a new one ended as %+v, want completed", got)
			}
			p.stop(t)
			again := start(t, data, "-listen", strings.TrimPrefix(p.url, "http://"))
			for _, id := range []string{running.ID, saved.ID} {
				if got := c.get(t, again.url+"/api/v1/transfers/"+id); !strings.Contains(got, `"completed"`) {
					t.Errorf("after a restart: %s", got)
				}
			}
		})
	}
}

// TestAReadOnlyFolderIsRefusedInWords, at the start: nothing could be promised.
func TestAReadOnlyFolderIsRefusedInWords(t *testing.T) {
	dir := smallDisk(t)
	p := start(t, dir)
	p.stop(t)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"-listen", "localhost:0", "-data", dir, "-metrics", ""}, nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("error %v, want one that says that %s is read-only", err, dir)
	}
}
