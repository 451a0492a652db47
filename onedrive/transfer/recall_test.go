package transfer

import (
	"testing"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// A crash forgets who had which name. What was begun under one must not end with another's file, and
// nobody may take it meanwhile.
func TestANameThatAnEarlierLifeTookStaysTaken(t *testing.T) {
	w := newWorld(t)
	lost := w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseNative, Action: fakegraph.Reset})
	first := w.ask(t, robin, Request{SourceURL: "/tabby.jpg"})
	for first.Work.Phase != Posting {
		if _, err := w.saver.Step(t.Context(), first, func() error { return nil }, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if lost.Hits() != 1 {
		t.Fatalf("%d POSTs were lost, want 1", lost.Hits())
	}
	first = reload(t, first)
	w.restart(t)
	w.saver.Recall(first)
	second := w.drive(t, w.ask(t, robin, Request{SourceURL: "/tabby.jpg"}))
	w.check(t, second, "tabby 2.jpg", tabby)
	first = w.drive(t, first)
	w.check(t, first, "tabby.jpg", tabby)
	if first.Item != nil && second.Item != nil && first.Item.ID == second.Item.ID {
		t.Error("two transfers ended with one file")
	}
}

// The name of a small file is not looked up before it is sent: it may be another's all along.
func TestAFileOfTheSameNameAndSizeIsNotTakenForOurs(t *testing.T) {
	w := newWorld(t)
	other := append([]byte(nil), tabby...)
	other[len(other)/2] ^= 1
	w.ms.PutFile(alex, "/tabby.jpg", other)
	w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhasePut, Action: fakegraph.Reset})
	saved := w.drive(t, w.ask(t, alex, Request{SourceURL: "/tabby.jpg"}))
	w.check(t, saved, "tabby 2.jpg", tabby)
}

// A crash between making an upload session and storing it leaves one that blocks its name for a day.
func TestANameThatALostSessionBlocksIsLeft(t *testing.T) {
	w := newWorld(t)
	client := w.ms.Client(t, alex) // a work drive: only those refuse a second session of a name
	_, err := client.CreateUploadSession(t.Context(), onedrive.Ref{}, "large.bin", onedrive.Fail)
	if err != nil {
		t.Fatal(err)
	}
	saved := w.drive(t, w.ask(t, alex, Request{SourceURL: "/large.bin"}))
	w.check(t, saved, "large 2.bin", large)
}

// "My drive" is another one for each person.
func TestNamesAreTakenInOnesOwnDriveOnly(t *testing.T) {
	w := newWorld(t)
	w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseNative, Action: fakegraph.Reset})
	begun := w.ask(t, robin, Request{SourceURL: "/tabby.jpg"})
	for begun.Work.Phase != Posting {
		if _, err := w.saver.Step(t.Context(), begun, func() error { return nil }, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	w.check(t, w.drive(t, w.ask(t, kim, Request{SourceURL: "/tabby.jpg"})), "tabby.jpg", tabby)
}
