package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
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
