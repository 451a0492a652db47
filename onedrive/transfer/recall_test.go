package transfer

import (
	"context"
	"net/http"
	"sync/atomic"
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

// What a killed process sent may arrive after its successor has looked for it.
func TestAFileThatArrivesAfterTheLookIsNotSentTwice(t *testing.T) {
	w := newWorld(t)
	w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhasePut, Action: fakegraph.Reset, After: true})
	tr := w.ask(t, alex, Request{SourceURL: "/tabby.jpg"})
	var stored *Transfer
	for stored == nil {
		if _, err := w.saver.Step(t.Context(), tr, func() error { stored = reload(t, tr); return nil }, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	w.restart(t)
	w.saver.Recall(stored)
	w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseItem, Status: 404, Code: "itemNotFound", Times: 2})
	w.check(t, w.drive(t, stored), "tabby.jpg", tabby)
	if n := w.count(alex, tabby); n != 1 {
		t.Errorf("%d files, want 1", n)
	}
}

// A folder may hold hundreds of one name, and a restart forgets how many.
func TestAFreeNameAmongHundredsIsFoundInAFewLooks(t *testing.T) {
	w := newWorld(t)
	asked := &askedCalls{}
	graph, err := onedrive.New(onedrive.Config{GraphURL: w.ms.GraphURL, Graph: &http.Client{Transport: asked}})
	if err != nil {
		t.Fatal(err)
	}
	tokens := w.ms.Tokens(alex)
	w.opt.Client = func(context.Context, string) (*onedrive.Client, error) { return graph.Client(tokens), nil }
	for n := 1; n <= 300; n++ {
		w.ms.PutFile(alex, "/"+onedrive.NumberedName("tabby.jpg", n), whisker)
	}
	w.restart(t)
	w.check(t, w.drive(t, w.ask(t, alex, Request{SourceURL: "/tabby.jpg"})), "tabby 301.jpg", tabby)
	if n := asked.Load(); n > 35 {
		t.Errorf("%d calls to find a name; want few", n)
	}
}

// askedCalls counts requests.
type askedCalls struct{ atomic.Int64 }

func (c *askedCalls) RoundTrip(r *http.Request) (*http.Response, error) {
	c.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}
