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
	s := NewSaver(SaverOptions{SpoolDir: dir, MaxSpool: 20})
	spool := func(owner string, body io.Reader) (*Spooled, error) { return s.Spool(t.Context(), owner, body) }
	first, err := spool(robin, strings.NewReader("12345678"))
	if err != nil || first.Size != 8 {
		t.Fatalf("%+v, %v", first, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("%v would be left after a crash", names)
	}
	if _, err := spool(robin, strings.NewReader("123")); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("11 bytes of 20 by one person: %v", err)
	}
	second, err := spool(kim, strings.NewReader("123456"))
	if err != nil {
		t.Errorf("6 bytes of the 12 that are left: %v", err)
	}
	if _, err := spool(alex, strings.NewReader("1234")); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("4 bytes of the 6 that are left: %v", err)
	}
	third, err := spool(alex, strings.NewReader("123"))
	if err != nil {
		t.Errorf("3 bytes of the 6 that are left: %v", err)
	}
	second.Close()
	third.Close()
	cut := errors.New("the client is gone")
	if _, err := spool(kim, io.MultiReader(strings.NewReader("1"), failing{cut})); !errors.Is(err, cut) {
		t.Errorf("a body that breaks: %v", err)
	}
	if got, err := io.ReadAll(first); string(got) != "12345678" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	first.Close()
	first.Close()
	again, err := spool(robin, strings.NewReader("1234567890"))
	if err != nil {
		t.Fatalf("with all room given back: %v", err)
	}
	again.Close()
}

func TestNothingIsSpooledWithoutSpace(t *testing.T) {
	full := errors.New("full")
	s := NewSaver(SaverOptions{SpoolDir: t.TempDir(), Space: func() error { return full }})
	if _, err := s.Spool(t.Context(), robin, strings.NewReader("1")); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("on a full disk: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
