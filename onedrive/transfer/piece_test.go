package transfer

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

// slowFragments is a OneDrive that takes a while to answer to each fragment.
type slowFragments struct {
	http.RoundTripper
	by time.Duration
}

func (s slowFragments) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.RoundTripper.RoundTrip(r)
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "uploadSession") {
		time.Sleep(s.by)
	}
	return res, err
}

// A slow source and a slow OneDrive work at the same time: the next piece arrives while one is sent.
func TestTheNextPieceArrivesWhileOneIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const unit, units = 400 * time.Millisecond, 64 // of one block of the source: too slow to be sent while it arrives
		sending := 16 * unit                           // of a piece: as long as it takes to arrive
		net := newWire()
		l := net.listen()
		way := slowFragments{net.transport(t), sending}
		w := &world{wire: net, web: newWebOn(t, net.listen()), ms: onedrivetest.NewServerOn(t, l, way, fakegraph.Options{Fetch: net.transport(t), Empty: true})}
		w.furnish(t, nil)
		content := noise(13, units*onedrive.FragmentUnit)
		w.web.mux.HandleFunc("/steady.bin", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", fmt.Sprint(len(content)))
			for i := range units {
				time.Sleep(unit)
				rw.Write(content[i*onedrive.FragmentUnit:][:onedrive.FragmentUnit])
				http.NewResponseController(rw).Flush()
			}
		})
		began := time.Now()
		tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/steady.bin"}))
		w.check(t, tr, "steady.bin", content)
		if took := time.Since(began); took > units*unit+sending+time.Second {
			t.Errorf("took %v; the source alone %v, one piece at OneDrive %v", took, units*unit, sending)
		}
		if w.saver.blocks.used != 0 {
			t.Errorf("%d bytes of memory are still reserved", w.saver.blocks.used)
		}
	})
}

// An answer that comes before OneDrive has read the fragment is believed no more than any other, and
// what has not arrived yet is not taken for what was sent.
func TestAnAnswerBeforeTheBytes(t *testing.T) {
	for _, way := range []fakegraph.Fault{{Action: fakegraph.WrongJSON}, {Status: 404}, {Status: 416}, {Status: 503}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
			w.web.mux.HandleFunc("/pauses.bin", func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Length", fmt.Sprint(len(large)))
				rw.Header().Set("ETag", `"v1"`)
				if r.Method == http.MethodHead || r.Header.Get("Range") != "" {
					http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(large))
					return
				}
				rw.Write(large[:len(large)-onedrive.FragmentUnit])
				http.NewResponseController(rw).Flush()
				time.Sleep(time.Second)
				rw.Write(large[len(large)-onedrive.FragmentUnit:])
			})
			way.Phase = fakegraph.PhaseFragmentLast
			w.ms.Faults().Add(way)
			tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/pauses.bin"}))
			w.check(t, tr, "pauses.bin", large)
			if n := w.count(alex, large); n != 1 {
				t.Errorf("%+v: %d files", way, n)
			}
		})
	}
}
