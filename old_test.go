package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDataOfTheFirstLayoutIsThereAfterAnUpdate starts the program on a data folder that an earlier
// version has filled: records of every kind, under the keys that it used.
func TestDataOfTheFirstLayoutIsThereAfterAnUpdate(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "onedrive/transfer/testdata/records/first-layout.tgz", dir)
	data := filepath.Join(dir, "data")
	for _, start := range []string{"first", "second"} { // what was moved is not moved again
		t.Run(start, func(t *testing.T) { seeOldTransfers(t, data) })
	}
}

func seeOldTransfers(t *testing.T, data string) {
	p := start(t, data, "-retention", "876000h")
	c := p.signIn(t, "robin@demo.example")
	var list struct{ Value []seen }
	if err := json.Unmarshal([]byte(c.get(t, p.url+"/api/v1/transfers")), &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range list.Value {
		got[s.Name] = s.State
	}
	for name, want := range map[string]string{"meadow.jpg": "completed", "missing.jpg": "failed", "no.bin": "cancelled"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	// It waited for bytes; it may have waited too long by the time of this test.
	if s := got["half.bin"]; s != "waiting" && s != "failed" {
		t.Errorf("half.bin is %q, want waiting or failed", s)
	}
	if len(got) != 4 {
		t.Errorf("the list has %v, want four", got)
	}
}

// TestDataOfAnEarlierBuildIsThereAfterAnUpdate starts the program on the data folder that the build of
// commit e9ace54 left when it was killed. Its lives were made long, so that the archive does not age: who was
// signed in still is, a device's key and the sealed tokens work, and every transfer goes on from its state.
func TestDataOfAnEarlierBuildIsThereAfterAnUpdate(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "onedrive/transfer/testdata/records/each-state.tgz", dir)
	text, err := os.ReadFile(filepath.Join(dir, "caller.json"))
	if err != nil {
		t.Fatal(err)
	}
	var who struct{ Cookie, Key string }
	if err := json.Unmarshal(text, &who); err != nil {
		t.Fatal(err)
	}
	p := start(t, filepath.Join(dir, "data"), "-retention", "876000h", "-native-stall", "1s")
	ask := func(header, value, path string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header, value)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s by %s: %s %v", path, header, res.Status, err)
		}
		return string(body)
	}
	if page := ask("Cookie", who.Cookie, "/"); !strings.Contains(page, "completed.jpg") || !strings.Contains(page, "Sign out") {
		t.Errorf("the page of who was signed in: %s", page)
	}
	if me := ask("Authorization", "Bearer "+who.Key, "/api/v1/me"); !strings.Contains(me, "Robin") {
		t.Errorf("the device's owner: %s", me)
	}
	ask("Authorization", "Bearer "+who.Key, "/api/v1/folders") // needs the sealed refresh token

	want := map[string]string{"completed.jpg": "completed", "failed.jpg": "failed", "cancelled.bin": "cancelled", "waiting.bin": "waiting failed"}
	for i := range 5 { // three were at Microsoft, two in the queue; their source is gone with the old stand-in
		want[fmt.Sprintf("running%d.jpg", i)] = "failed"
	}
	var wrong string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		var list struct {
			Value []struct{ Name, State, SourceURL string }
		}
		if err := json.Unmarshal([]byte(ask("Authorization", "Bearer "+who.Key, "/api/v1/transfers")), &list); err != nil {
			t.Fatal(err)
		}
		if wrong = ""; len(list.Value) != len(want) {
			wrong = fmt.Sprintf("the list has %d, want %d", len(list.Value), len(want))
		}
		for _, got := range list.Value {
			if !strings.Contains(want[got.Name], got.State) {
				wrong += fmt.Sprintf(" %s is %s, want %s", got.Name, got.State, want[got.Name])
			}
			if got.Name == "completed.jpg" && !strings.HasSuffix(got.SourceURL, "/meadow.jpg?secret=of-the-source") {
				wrong += " its source is " + got.SourceURL
			}
		}
		if wrong == "" {
			return
		}
	}
	t.Error(wrong)
}

func unpack(t *testing.T, file, to string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(to, h.Name)
		if h.FileInfo().IsDir() {
			err = os.MkdirAll(path, 0o700)
		} else {
			var content []byte
			if content, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
