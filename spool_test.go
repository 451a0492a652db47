package main

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestFilesRestInTheDataFolder: the system's folder for temporary files is often in memory. What a crash
// left there is gone after a start.
func TestFilesRestInTheDataFolder(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "spool", "skylift-left")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a crash left: %v", err)
	}
	if f, err := os.Stat(filepath.Dir(left)); err != nil || f.Mode().Perm() != 0o700 {
		t.Errorf("the spool: %v, %v", f, err)
	}
	c := p.signIn(t, "robin@demo.example")
	t.Setenv("TMPDIR", filepath.Join(dir, "nowhere"))
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, _ := w.CreateFormFile("files", "one.txt")
	_, _ = part.Write([]byte("the first file"))
	_ = w.Close()
	r, _ := http.NewRequest("POST", c.base+"/save", &body)
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Request.URL.Path != "/" || resp.StatusCode != http.StatusOK {
		t.Errorf("a shared file: %d at %s", resp.StatusCode, resp.Request.URL.Path)
	}
}
