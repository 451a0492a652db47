package transfer

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

func TestSpooledBytesAreBoundedTogetherAndLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	s := NewSaver(SaverOptions{SpoolDir: dir, MaxSpool: 10})
	first, err := s.Spool(strings.NewReader("12345678"))
	if err != nil || first.Size != 8 {
		t.Fatalf("%+v, %v", first, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("%v would be left after a crash", names)
	}
	if _, err := s.Spool(strings.NewReader("123")); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("11 bytes of 10: %v", err)
	}
	cut := errors.New("the client is gone")
	if _, err := s.Spool(io.MultiReader(strings.NewReader("1"), failing{cut})); !errors.Is(err, cut) {
		t.Errorf("a body that breaks: %v", err)
	}
	if got, err := io.ReadAll(first); string(got) != "12345678" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	first.Close()
	first.Close()
	again, err := s.Spool(strings.NewReader("1234567890"))
	if err != nil {
		t.Fatalf("with all room given back: %v", err)
	}
	again.Close()
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
