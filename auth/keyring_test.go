package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestSealedOpensOnlyWhereItWasSealed(t *testing.T) {
	k := testKeyring(t)
	sealed := k.Seal("tokens", robin.ID, []byte("secret"))
	if plain, err := k.Open("tokens", robin.ID, sealed); err != nil || string(plain) != "secret" {
		t.Fatalf("got %q, %v", plain, err)
	}
	if again := k.Seal("tokens", robin.ID, []byte("secret")); bytes.Equal(again, sealed) {
		t.Error("sealing twice gives the same bytes")
	}
	for name, open := range map[string]func() ([]byte, error){
		"another user's row":  func() ([]byte, error) { return k.Open("tokens", alex.ID, sealed) },
		"another purpose":     func() ([]byte, error) { return k.Open("session", robin.ID, sealed) },
		"the border moved":    func() ([]byte, error) { return k.Open("token", "s"+robin.ID, sealed) },
		"a stranger's ring":   func() ([]byte, error) { return testKeyring(t).Open("tokens", robin.ID, sealed) },
		"another version":     func() ([]byte, error) { return k.Open("tokens", robin.ID, append([]byte{2}, sealed[1:]...)) },
		"nothing":             func() ([]byte, error) { return k.Open("tokens", robin.ID, nil) },
		"the header only":     func() ([]byte, error) { return k.Open("tokens", robin.ID, sealed[:5]) },
		"one byte at the end": func() ([]byte, error) { return k.Open("tokens", robin.ID, append(bytes.Clone(sealed), 0)) },
	} {
		if plain, err := open(); !errors.Is(err, ErrSealed) || plain != nil {
			t.Errorf("%s: got %q, %v", name, plain, err)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Open("tokens", robin.ID, bad); !errors.Is(err, ErrSealed) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := k.Open("tokens", robin.ID, sealed[:i]); !errors.Is(err, ErrSealed) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func TestTwentyRotationsWithWritesBetween(t *testing.T) {
	var keys []string
	var rows [][]byte
	for round := range 20 {
		keys = append([]string{NewKey()}, keys...)
		k, err := OpenKeyring(strings.Join(keys, ","))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			rows = append(rows, k.Seal("row", fmt.Sprint(round*5+i), fmt.Append(nil, "value ", round*5+i)))
		}
		for i, row := range rows {
			if plain, err := k.Open("row", fmt.Sprint(i), row); err != nil || string(plain) != fmt.Sprint("value ", i) {
				t.Fatalf("round %d row %d: %q, %v", round, i, plain, err)
			}
			if stale := k.Stale(row); stale != (i < round*5) {
				t.Fatalf("round %d row %d: stale is %v", round, i, stale)
			}
		}
	}
	newest, err := OpenKeyring(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if _, err := newest.Open("row", fmt.Sprint(i), row); (err == nil) != (i >= 95) {
			t.Errorf("row %d with the newest key alone: %v", i, err)
		}
	}
}

func TestOpenKeyringReadsAndRefuses(t *testing.T) {
	raw := randomBytes(32)
	std, urlSafe := base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw)
	for _, text := range []string{std, urlSafe, strings.TrimRight(std, "="), " " + std + "\r\n", NewKey() + ",\n " + std} {
		if _, err := OpenKeyring(text); err != nil {
			t.Errorf("%d characters: %v", len(text), err)
		}
	}
	for name, text := range map[string]string{
		"nothing":        " ,\n",
		"not base64":     "pass phrase!",
		"too short":      base64.StdEncoding.EncodeToString(raw[:31]),
		"too long":       base64.StdEncoding.EncodeToString(append(raw, 1)),
		"the same twice": std + "," + urlSafe,
		"a bad second":   std + ",x",
	} {
		k, err := OpenKeyring(text)
		if err == nil || k != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), std[:20]) || strings.Contains(err.Error(), "phrase") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestKeyFileIsMadeOnceAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var rings [8]*Keyring
	var all sync.WaitGroup
	for i := range rings {
		all.Go(func() {
			var err error
			if rings[i], err = LoadOrCreateKeyring(dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	sealed := rings[0].Seal("p", "b", []byte("x"))
	for i, k := range rings {
		if _, err := k.Open("p", "b", sealed); err != nil {
			t.Errorf("ring %d has another key: %v", i, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	name := filepath.Join(dir, "keys")
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateKeyring(dir); runtime.GOOS != "windows" && err == nil {
		t.Error("a key file that all can read is accepted")
	}
}

func TestMemoryKeyringTouchesNoDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := LoadOrCreateKeyring(":memory:"); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir("."); len(files) != 0 {
		t.Errorf("wrote %v", files)
	}
}

func TestKeyringHidesItself(t *testing.T) {
	key := NewKey()
	k, err := OpenKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k)} {
		if text != "[hidden]" {
			t.Errorf("got %q", text)
		}
	}
}

func TestDerivedKeysDiffer(t *testing.T) {
	k, err := OpenKeyring(NewKey() + "," + NewKey())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, purpose := range []string{"a", "b"} {
		keys := k.Derive(purpose, 64)
		if len(keys) != 2 {
			t.Fatalf("%d keys", len(keys))
		}
		for _, key := range keys {
			if len(key) != 64 || seen[string(key)] {
				t.Error("a derived key is short or comes twice")
			}
			seen[string(key)] = true
		}
	}
	if !bytes.Equal(k.Derive("a", 64)[0], k.Derive("a", 64)[0]) {
		t.Error("the same purpose gives another key")
	}
}

func TestSealRoundTrip(t *testing.T) {
	k := testKeyring(t)
	rapid.Check(t, func(t *rapid.T) {
		purpose, binding := rapid.String().Draw(t, "purpose"), rapid.String().Draw(t, "binding")
		otherPurpose, otherBinding := rapid.String().Draw(t, "other purpose"), rapid.String().Draw(t, "other binding")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed := k.Seal(purpose, binding, plain)
		if got, err := k.Open(purpose, binding, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, err := k.Open(otherPurpose, otherBinding, sealed); (err == nil) != (purpose == otherPurpose && binding == otherBinding) {
			t.Fatalf("opened elsewhere: %v", err)
		}
	})
}

func FuzzOpenSealed(f *testing.F) {
	k := testKeyring(f)
	good := k.Seal("p", "b", []byte("x"))
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:7])
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plain, err := k.Open("p", "b", sealed); err == nil && !bytes.Equal(sealed, good) {
			t.Errorf("opened %x as %q", sealed, plain)
		}
	})
}

func FuzzOpenKeyring(f *testing.F) {
	f.Add(NewKey())
	f.Add("a,b\n" + NewKey())
	f.Fuzz(func(t *testing.T, text string) {
		k, err := OpenKeyring(text)
		if (k == nil) == (err == nil) {
			t.Fatalf("ring and error do not fit: %v", err)
		}
	})
}
