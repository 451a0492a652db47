package transfer

import (
	"bytes"
	"net/http"
	"testing"
	"testing/synctest"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// A work drive changes Office, PDF and HTML files as it stores them: what was sent is saved, although
// size and hash are others. That holds when the answer was lost, too.
func TestWhatAWorkDriveRewritesIsSaved(t *testing.T) {
	small, big := append([]byte("PK\x03\x04"), noise(20, 50<<10)...), append([]byte("PK\x03\x04"), noise(21, 5<<20)...)
	for _, tt := range []struct {
		name    string
		content []byte
	}{
		{"report.docx", small}, {"thesis.docx", big},
		{"leaflet.pdf", append([]byte("%PDF-1.7\n"), noise(22, 60<<10)...)}, {"story.html", page},
	} {
		for what, fault := range map[string]fakegraph.Fault{
			"": {}, "answer lost": {Phase: fakegraph.PhaseComplete, Action: fakegraph.Reset, After: true},
			"never sent": {Phase: fakegraph.PhaseComplete, Action: fakegraph.Reset},
		} {
			t.Run(tt.name+" by relay "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorldInABubble(t, nil)
					w.web.file("/"+tt.name, tt.content, http.Header{"Content-Type": {"application/octet-stream"}})
					if what != "" {
						w.ms.Faults().Add(fault)
					}
					tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/" + tt.name, Name: tt.name}))
					w.savedOnce(t, tr, tt.name, tt.content)
				})
			})
		}
		t.Run(tt.name+" by upload", func(t *testing.T) {
			w := newWorld(t)
			store, id := receivingFor(t, ownerAlex, Request{Name: tt.name})
			tr, err := w.saver.Receive(t.Context(), store, ownerAlex, id, Content{Total: int64(len(tt.content)), Body: bytes.NewReader(tt.content)})
			if err != nil {
				t.Fatal(err)
			}
			w.savedOnce(t, &tr, tt.name, tt.content)
		})
	}
}

// savedOnce is check, and that it is there once and nothing lies in the bin.
func (w *world) savedOnce(t *testing.T, tr *Transfer, name string, content []byte) {
	t.Helper()
	w.check(t, tr, name, content)
	if n, binned := w.count(login(tr.Owner), content), w.ms.Binned(login(tr.Owner)); n != 1 || binned != 0 {
		t.Errorf("%d files of %s, %d bytes in the bin", n, name, binned)
	}
}

// Everything else, and everything on a personal drive, has to be what was sent.
func TestWhatIsRewrittenAndWhatIsNot(t *testing.T) {
	nine := int64(9)
	for _, tt := range []struct {
		kind, name string
		size       int64
		want       verdict
	}{
		{"business", "report.docx", 10, right}, {"documentLibrary", "Report.PDF", 10, right}, {"business", "report.docx", 0, empty},
		{"personal", "report.docx", 10, otherSize}, {"business", "tabby.jpg", 10, otherSize}, {"business", "docx", 10, otherSize},
	} {
		item := onedrive.DriveItem{Name: tt.name, Size: tt.size, File: &onedrive.File{}, ParentReference: onedrive.ItemReference{DriveType: tt.kind}}
		if got := judgeItem(&Transfer{Route: Relay, Size: &nine}, item, ""); got != tt.want {
			t.Errorf("%s on a %s drive, %d bytes: %q; want %q", tt.name, tt.kind, tt.size, got, tt.want)
		}
	}
}
