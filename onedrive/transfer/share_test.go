package transfer_test

import (
	"errors"
	"testing"

	"skylift/onedrive/transfer"
	"skylift/onedrive/transfer/natsd"
)

// end stores that tr has ended as s.
func end(t *testing.T, s *transfer.Store, tr transfer.Transfer, state transfer.State) transfer.Transfer {
	t.Helper()
	tr.State = state
	if err := s.Update(t.Context(), &tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

// tooMany submits what must not be taken.
func tooMany(t *testing.T, s *transfer.Store, owner string, r transfer.Request) {
	t.Helper()
	if _, _, err := s.Submit(t.Context(), owner, r, ""); !errors.Is(err, transfer.ErrTooMany) {
		t.Errorf("one more of %s: %v, want ErrTooMany", owner, err)
	}
}

// TestOnePersonHasAShareOfTransfers: whoever has as many as one may have waits, and nobody else does.
func TestOnePersonHasAShareOfTransfers(t *testing.T) {
	dir, o := t.TempDir(), transfer.StoreOptions{MaxUnfinished: 5}
	e := openEngine(t, dir, o)
	r := transfer.NewRunner(e.store, newMicrosoft(), transfer.RunnerOptions{}) // nothing runs
	var mine []transfer.Transfer
	for i, s := range e.store.SubmitBatch(t.Context(), robin, []transfer.Request{picture(0), picture(1), picture(2)}, nil) {
		if s.Err != nil {
			t.Fatalf("%d of 3: %v", i, s.Err)
		}
		mine = append(mine, s.Transfer)
	}
	for i, s := range e.store.SubmitBatch(t.Context(), robin, []transfer.Request{picture(3), picture(4), picture(5)}, nil) {
		if full := errors.Is(s.Err, transfer.ErrTooMany); full != (i == 2) {
			t.Errorf("%d of 3 more, where there is room for two: %v", i, s.Err)
		}
	}
	tooMany(t, e.store, robin, picture(6))
	submit(t, e.store, kim, picture(6), "")

	failed := end(t, e.store, mine[0], transfer.Failed)
	submit(t, e.store, robin, picture(6), "")
	tooMany(t, e.store, robin, picture(7))
	if _, err := r.Retry(t.Context(), robin, failed.ID); !errors.Is(err, transfer.ErrTooMany) {
		t.Errorf("a failed one tried again: %v, want ErrTooMany", err)
	}
	e.close()

	e = openEngine(t, dir, o)
	if _, err := e.store.List(t.Context(), robin, transfer.ListOptions{}); err != nil { // else the first one comes before they are counted
		t.Fatal(err)
	}
	tooMany(t, e.store, robin, picture(7))
	end(t, e.store, mine[1], transfer.Completed)
	submit(t, e.store, robin, picture(7), "")
	if err := e.store.Delete(t.Context(), robin, mine[1].ID); err != nil {
		t.Fatal(err)
	}
	tooMany(t, e.store, robin, picture(8))
}

// TestOnePersonHasAShareOfTheStore: small pictures in addresses take it until they are saved or cancelled.
func TestOnePersonHasAShareOfTheStore(t *testing.T) {
	e := openEngine(t, natsd.Memory, transfer.StoreOptions{MaxRecords: 700 << 10})
	m := newMicrosoft()
	r := transfer.NewRunner(e.store, m, transfer.RunnerOptions{}) // nothing runs
	first := submit(t, e.store, robin, inline(transfer.MaxInline), "")
	tooMany(t, e.store, robin, inline(transfer.MaxInline))
	submit(t, e.store, robin, picture(1), "")
	submit(t, e.store, kim, inline(transfer.MaxInline), "")

	if _, err := r.Cancel(t.Context(), robin, first.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Retry(t.Context(), robin, first.ID); !errors.Is(err, transfer.ErrNotPossible) {
		t.Errorf("a cancelled one whose bytes have gone, tried again: %v", err)
	}
	second := submit(t, e.store, robin, inline(transfer.MaxInline), "")
	end(t, e.store, second, transfer.Failed)
	tooMany(t, e.store, robin, inline(transfer.MaxInline))
	again, err := r.Retry(t.Context(), robin, second.ID)
	if err != nil || len(again.Work.Inline) != transfer.MaxInline {
		t.Errorf("a failed one tried again has %d bytes, %v", len(again.Work.Inline), err)
	}
	end(t, e.store, again, transfer.Completed)
	submit(t, e.store, robin, inline(transfer.MaxInline), "")
}
