package transfer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

const (
	robin = "robin2robin2robin2robin2ro"
	kim   = "kim3kim3kim3kim3kim3kim3ki"
)

func TestASubmittedTransferIsFoundByItsOwnerOnly(t *testing.T) {
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{}).store
	want := submit(t, s, robin, picture(1), "")
	got, err := s.Get(t.Context(), robin, want.ID)
	if err != nil || got.ID != want.ID || got.State != transfer.NotStarted || got.Revision != want.Revision || got.Attempts != 1 {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []struct{ owner, id string }{{kim, want.ID}, {robin, "01J"}, {robin, "*"}, {"*", want.ID}, {robin, ""}} {
		if _, err := s.Get(t.Context(), bad.owner, bad.id); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("Get(%q, %q): %v, want ErrNotFound", bad.owner, bad.id, err)
		}
	}
}

func TestTheSameKeyIsTheSameTransferAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	e := openEngine(t, dir, transfer.StoreOptions{})
	first := submit(t, e.store, robin, picture(1), "key")
	again, isNew, err := e.store.Submit(t.Context(), robin, picture(1), "key")
	if err != nil || isNew || again.ID != first.ID {
		t.Errorf("again: %v new=%v %v; want %v", again.ID, isNew, err, first.ID)
	}
	if known, err := e.store.Known(t.Context(), robin, "key"); err != nil || known.ID != first.ID {
		t.Errorf("known: %v %v; want %v", known.ID, err, first.ID)
	}
	for _, none := range [][2]string{{kim, "key"}, {robin, "another"}, {robin, ""}, {"*", "key"}} {
		if _, err := e.store.Known(t.Context(), none[0], none[1]); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("Known%q: %v, want ErrNotFound", none, err)
		}
	}
	if other := submit(t, e.store, kim, picture(1), "key"); other.ID == first.ID {
		t.Error("somebody else's key gave the same transfer")
	}
	e.close()
	e = openEngine(t, dir, transfer.StoreOptions{})
	if again, isNew, err := e.store.Submit(t.Context(), robin, picture(1), "key"); err != nil || isNew || again.ID != first.ID {
		t.Errorf("after a restart: %v new=%v %v; want %v", again.ID, isNew, err, first.ID)
	}
}

func TestOneOfManyEqualSubmitsWins(t *testing.T) {
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{}).store
	rs, keys := make([]transfer.Request, 50), make([]string, 50)
	for i := range rs {
		rs[i], keys[i] = picture(1), "key"
	}
	fresh, ids := 0, map[string]bool{}
	for _, got := range s.SubmitBatch(t.Context(), robin, rs, keys) {
		if got.Err != nil {
			t.Fatal(got.Err)
		}
		if got.New {
			fresh++
		}
		ids[got.Transfer.ID] = true
	}
	if fresh != 1 || len(ids) != 1 {
		t.Errorf("%d new, %d different; want one", fresh, len(ids))
	}
}

func TestUpdateRefusesAnOldRevision(t *testing.T) {
	s := openEngine(t, natsd.Memory, transfer.StoreOptions{}).store
	a := submit(t, s, robin, picture(1), "")
	b := a
	a.Name = "first.jpg"
	if err := s.Update(t.Context(), &a); err != nil {
		t.Fatal(err)
	}
	b.Name = "second.jpg"
	if err := s.Update(t.Context(), &b); !errors.Is(err, transfer.ErrConflict) {
		t.Errorf("second update: %v, want ErrConflict", err)
	}
	a.State = transfer.Completed
	if err := s.Update(t.Context(), &a); err != nil {
		t.Fatal(err)
	}
	b.Revision = a.Revision
	if err := s.Update(t.Context(), &b); !errors.Is(err, transfer.ErrConflict) {
		t.Errorf("update of a final one: %v, want ErrConflict", err)
	}
}

func TestARunMovesEveryTransferToItsEnd(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	m := newMicrosoft()
	e.run(t, m, transfer.RunnerOptions{PerAccount: 20})
	rs := make([]transfer.Request, 40)
	for i := range rs {
		rs[i] = picture(i)
	}
	for _, got := range e.store.SubmitBatch(t.Context(), robin, rs, nil) {
		if got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	eventually(t, "all completed", func() bool {
		p, err := e.store.List(t.Context(), robin, transfer.ListOptions{State: transfer.Completed})
		return err == nil && len(p.Value) == len(rs)
	})
	for id, n := range m.files {
		if n != 1 {
			t.Errorf("%s: %d files", id, n)
		}
	}
}

func TestWatchTellsWhatIsAndWhatComes(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{})
	a := submit(t, e.store, robin, picture(1), "")
	submit(t, e.store, kim, picture(2), "")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	step, last := 0, uint64(0)
	for ev, err := range e.store.Watch(ctx, robin, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.ID <= last || ev.Transfer.ID != a.ID {
			t.Fatalf("event %d of %s after %d", ev.ID, ev.Transfer.ID, last)
		}
		last = ev.ID
		switch step++; step {
		case 1:
			a.State = transfer.Completed
			if err := e.store.Update(t.Context(), &a); err != nil {
				t.Fatal(err)
			}
		case 2:
			if ev.Transfer.State != transfer.Completed {
				t.Fatalf("state %s", ev.Transfer.State)
			}
			if err := e.store.Delete(t.Context(), robin, a.ID); err != nil {
				t.Fatal(err)
			}
		case 3:
			if !ev.Deleted {
				t.Fatalf("got %+v, want a deletion", ev)
			}
			return
		}
	}
	t.Fatal("the stream ended early")
}
