package transfer

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
)

// An upload session of whose address nobody heard holds no bytes and never becomes a file. It makes no
// second file and keeps no name for ever: personal drives give the name at once, work accounts when the
// session ends by itself after a day, and until then what may take another name does.
func TestALostUploadSessionIsHarmless(t *testing.T) {
	for _, login := range []string{kim, alex} {
		for behavior, waits := range map[onedrive.ConflictBehavior]bool{onedrive.Rename: false, onedrive.Replace: login == alex, onedrive.Fail: login == alex} {
			for _, times := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s %s ×%d", login, behavior, times), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorldInABubble(t, nil)
						order := w.ms.Faults().Add(fakegraph.Fault{Phase: fakegraph.PhaseSession, Action: fakegraph.Reset, After: true, Times: times})
						began := time.Now()
						tr := w.drive(t, w.ask(t, login, Request{SourceURL: "/large.bin", ConflictBehavior: behavior}))
						name := "large.bin"
						if behavior == onedrive.Rename {
							name = "" // a work account's may have a number
						}
						w.check(t, tr, name, large)
						if took := time.Since(began); took > 26*time.Hour || waits != (took > 5*time.Minute) {
							t.Errorf("took %v", took)
						}
						if order.Hits() == 0 {
							t.Error("no answer was lost")
						}
						time.Sleep(25 * time.Hour)
						if files := w.ms.Files(login); len(files) != 1 {
							t.Errorf("a day later there are %v", files)
						}
						again := w.drive(t, w.ask(t, login, Request{SourceURL: "/larger.bin", Name: "large.bin", ConflictBehavior: onedrive.Replace}))
						w.check(t, again, "large.bin", larger)
					})
				})
			}
		}
	}
}
