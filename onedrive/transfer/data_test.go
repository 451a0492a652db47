package transfer_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// gcm is a Sealer as the app's key ring is one.
type gcm struct{ a cipher.AEAD }

func newGCM() gcm {
	b := must(aes.NewCipher(bytes.Repeat([]byte{7}, 32)))
	return gcm{must(cipher.NewGCMWithRandomNonce(b))}
}

func (g gcm) Seal(purpose, binding string, plain []byte) []byte {
	return g.a.Seal(nil, nil, plain, []byte(purpose+"|"+binding))
}

func (g gcm) Open(purpose, binding string, sealed []byte) ([]byte, error) {
	return g.a.Open(nil, nil, sealed, []byte(purpose+"|"+binding))
}

// TestNothingSecretLiesInTheDataFolder takes transfers through their lives and greps what is left.
func TestNothingSecretLiesInTheDataFolder(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, transfer.StoreOptions{Sealer: newGCM()})
	m := newMicrosoft()
	e.run(t, m, transfer.RunnerOptions{})
	for i := range 5 {
		submit(t, e.store, robin, picture(i), fmt.Sprintf("a very secret idempotency key %d", i))
	}
	eventually(t, "all completed", func() bool {
		p, err := e.store.List(t.Context(), robin, transfer.ListOptions{State: transfer.Completed})
		return err == nil && len(p.Value) == 5 && p.Value[0].SourceURL != ""
	})
	e.close()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for _, mark := range []string{"verysecret", "averysecretmonitor", "images.example", "very secret", "monitor.example"} {
			if bytes.Contains(b, []byte(mark)) {
				t.Errorf("%s holds %q", path, mark)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestARecordOpensForItsOwnerOnly: a row that was moved to somebody else's key stays closed.
func TestARecordOpensForItsOwnerOnly(t *testing.T) {
	s := newGCM()
	data := append([]byte{'s'}, s.Seal("transfer", robin+"/01JD0000000000000000000000", []byte(`{"v":1,"id":"01JD0000000000000000000000","owner":"`+robin+`"}`))...)
	if _, err := transfer.Decode(s, robin, "01JD0000000000000000000000", data); err != nil {
		t.Errorf("its owner: %v", err)
	}
	if _, err := transfer.Decode(s, kim, "01JD0000000000000000000000", data); err == nil {
		t.Error("it opened for somebody else")
	}
}

// TestOldRecordsAreReadable holds the code against records as earlier versions wrote them.
func TestOldRecordsAreReadable(t *testing.T) {
	size, percent := int64(183422), 41.5
	want := transfer.Transfer{
		Version: 1, ID: "01JD0000000000000000000000", Owner: robin, State: transfer.InProgress, Route: transfer.Native, Attempts: 1,
		SourceURL: "https://images.example/cats/tabby.jpg", Name: "tabby.jpg", Folder: transfer.Folder{DriveID: "d", ID: "f", Name: "Pictures", Path: "/Pictures"},
		ConflictBehavior: onedrive.Rename, Percent: &percent, Size: &size,
		Created: time.Date(2026, 11, 22, 16, 0, 0, 0, time.UTC), Modified: time.Date(2026, 11, 22, 16, 0, 1, 0, time.UTC),
		Work: transfer.Work{Phase: transfer.Polling, Monitor: "https://monitor.example/?token=t", PostedAt: time.Date(2026, 11, 22, 16, 0, 1, 0, time.UTC)},
	}
	for file, newer := range map[string][2]string{"v1.json": {`"v":1`, `"v":99`}, "v1.cbor": {"\x01\x01\x02", "\x01\x17\x02"}} {
		data, err := os.ReadFile("testdata/records/" + file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := transfer.Decode(nil, robin, want.ID, bytes.TrimSpace(data))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", file, got, err, want)
		}
		newer := bytes.Replace(data, []byte(newer[0]), []byte(newer[1]), 1)
		if _, err := transfer.Decode(nil, robin, want.ID, newer); err == nil || bytes.Equal(newer, data) {
			t.Errorf("%s: a record of a newer version was taken for one that is understood", file)
		}
	}
}

// TestEachFieldHasANumber of its own, or it is not stored; which one is held by the record in testdata.
func TestEachFieldHasANumber(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[transfer.Transfer](), reflect.TypeFor[transfer.Work](), reflect.TypeFor[transfer.Folder](), reflect.TypeFor[transfer.Item](), reflect.TypeFor[transfer.Failure]()} {
		seen := map[string]string{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			number, how, _ := strings.Cut(f.Tag.Get("cbor"), ",")
			if f.Name == "Revision" {
				continue
			}
			if _, err := strconv.Atoi(number); err != nil || !strings.HasPrefix(how, "keyasint,omit") || seen[number] != "" {
				t.Errorf("%s.%s has the number %q %q, as %s", typ.Name(), f.Name, number, how, seen[number])
			}
			seen[number] = f.Name
		}
	}
}

// A record holds whatever bytes a page calls its title.
func TestARecordTakesAnyText(t *testing.T) {
	want := transfer.Transfer{Version: 1, ID: "01JD0000000000000000000000", Owner: robin, PageTitle: "caf\xe9 \x00"}
	data, err := transfer.Encode(nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := transfer.Decode(nil, robin, want.ID, data); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestDiffersKnowsEveryField fails when a field is added that the comparison forgets.
func TestDiffersKnowsEveryField(t *testing.T) {
	progress := map[string]bool{"Version": true, "ID": true, "Owner": true, "Percent": true, "BytesTransferred": true, "Created": true, "Modified": true, "Revision": true, "Work.LastSign": true, "Work.Best": true, "Work.NativeStatus": true}
	var check func(prefix string, index []int, typ reflect.Type)
	check = func(prefix string, index []int, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			at := append(append([]int{}, index...), i)
			if f.Name == "Work" {
				check("Work.", at, f.Type)
				continue
			}
			var a, b transfer.Transfer
			change(t, reflect.ValueOf(&b).Elem().FieldByIndex(at))
			if got := transfer.Differs(&a, &b); got == progress[prefix+f.Name] {
				t.Errorf("a change of %s%s: differs %v", prefix, f.Name, got)
			}
		}
	}
	check("", nil, reflect.TypeFor[transfer.Transfer]())
}

func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		change(t, v.Field(0))
	default:
		t.Fatalf("what is a changed %s?", v.Type())
	}
}

// TestNothingRunsOnAfterTheEnd looks for goroutines that outlive their owner.
func TestNothingRunsOnAfterTheEnd(t *testing.T) {
	before := goleak.IgnoreCurrent()
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	r := transfer.NewRunner(e.store, newMicrosoft(), transfer.RunnerOptions{})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	submit(t, e.store, robin, picture(1), "")
	ctx, cancel := context.WithCancel(t.Context())
	for _, err := range e.store.Watch(ctx, robin, 0) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	cancel()
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	e.close()
	goleak.VerifyNone(t, before)
}

// TestATornTailLosesNothingSilently cuts or garbles the end of the newest data file of a copy: the
// store starts with everything but the last records, or refuses. A hundred cuts; 10 with -short.
func TestATornTailLosesNothingSilently(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, transfer.StoreOptions{})
	const n = 200
	for i := range n {
		submit(t, e.store, robin, picture(i), "")
	}
	e.close()
	cuts := 100
	if testing.Short() {
		cuts = 10
	}
	started, refused, worst := 0, 0, n
	for range cuts {
		broken := t.TempDir()
		if err := os.CopyFS(broken, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		cut := 1 + mrand.IntN(4096)
		tear(t, broken, cut)
		node, err := natsd.Start(natsd.Options{Dir: broken})
		if err != nil {
			refused++
			continue
		}
		s, err := transfer.OpenStore(t.Context(), node.JetStream(), node.Conn(), transfer.StoreOptions{})
		if err != nil {
			refused++
		} else {
			started++
			count := 0
			for cursor := ""; ; {
				p, err := s.List(t.Context(), robin, transfer.ListOptions{Top: 200, Cursor: cursor})
				if err != nil {
					t.Fatalf("cut %d: list: %v", cut, err)
				}
				if count += len(p.Value); p.Cursor == "" {
					break
				}
				cursor = p.Cursor
			}
			if worst = min(worst, count); count < n-4096/300-2 {
				t.Errorf("cut of %d bytes: %d of %d records left", cut, count, n)
			}
			if _, _, err := s.Submit(t.Context(), robin, picture(1), ""); err != nil {
				t.Errorf("cut of %d bytes: submit: %v", cut, err)
			}
			s.Close()
		}
		_ = node.Close(context.Background())
	}
	t.Logf("%d started, %d refused, at least %d of %d records", started, refused, worst, n)
}

// tear damages the last cut bytes of the stream's newest block.
func tear(t *testing.T, dir string, cut int) {
	t.Helper()
	var newest string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".blk") && strings.Contains(path, "KV_transfers") {
			newest = max(newest, path)
		}
		return nil
	})
	b, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	cut = min(cut, len(b))
	if mrand.IntN(2) == 0 {
		b = b[:len(b)-cut]
	} else {
		_, _ = rand.Read(b[len(b)-cut:])
	}
	if err := os.WriteFile(newest, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAFullDiskRefusesTheNewAndLetsTheRunningEnd.
func TestAFullDiskRefusesTheNewAndLetsTheRunningEnd(t *testing.T) {
	full := false
	e := openEngine(t, t.TempDir(), transfer.StoreOptions{Space: func() error {
		if full {
			return natsd.ErrNoSpace
		}
		return nil
	}})
	m := newMicrosoft()
	m.delay = 300 * time.Millisecond
	e.run(t, m, transfer.RunnerOptions{})
	running := submit(t, e.store, robin, picture(1), "")
	full = true
	_, _, err := e.store.Submit(t.Context(), robin, picture(2), "")
	if !errors.Is(err, transfer.ErrFull) || !errors.Is(err, transfer.ErrUnavailable) {
		t.Errorf("submit on a full disk: %v", err)
	}
	eventually(t, "the running one ends", func() bool {
		got, err := e.store.Get(t.Context(), robin, running.ID)
		return err == nil && got.State == transfer.Completed
	})
	full = false
	submit(t, e.store, robin, picture(2), "")
}
