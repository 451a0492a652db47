package transfer

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

// A file that goes in one request shows how far it is when it takes longer than a blink, whichever
// side is slow; one that does not costs no event.
func TestProgressOfSmallFiles(t *testing.T) {
	const steps, each = 20, 64 << 10
	small := noise(21, steps*each)
	for _, tt := range []struct {
		name             string
		source, oneDrive time.Duration // for each 64 KiB
		length           bool          // is announced
		shown            bool
	}{
		{"a slow source", 200 * time.Millisecond, 0, true, true},
		{"a slow OneDrive", 0, 200 * time.Millisecond, true, true},
		{"a slow source of unknown length", 200 * time.Millisecond, 0, false, true},
		{"both quick", 0, 0, true, false},
		{"over in a blink", 20 * time.Millisecond, 0, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newWire()
				l := net.listen()
				way := slowly{net.transport(t), tt.oneDrive}
				w := &world{wire: net, web: newWebOn(t, net.listen()), ms: onedrivetest.NewServerOn(t, l, way, fakegraph.Options{Fetch: net.transport(t), Empty: true})}
				w.furnish(t, nil)
				w.web.mux.HandleFunc("/small.bin", func(rw http.ResponseWriter, r *http.Request) {
					if tt.length {
						rw.Header().Set("Content-Length", fmt.Sprint(len(small)))
					}
					for i := range steps {
						time.Sleep(tt.source)
						rw.Write(small[i*each:][:each])
						http.NewResponseController(rw).Flush()
					}
				})
				tr := w.ask(t, alex, Request{SourceURL: "/small.bin"})
				var bytes []int64
				w.shown = func() {
					if tr.BytesTransferred == nil {
						return // that it begins
					}
					bytes = append(bytes, *tr.BytesTransferred)
					if tr.Size != nil && (tr.Percent == nil || *tr.Percent < 0 || *tr.Percent > 100) {
						t.Errorf("%d of %d bytes, but %v %%", *tr.BytesTransferred, *tr.Size, tr.Percent)
					}
				}
				w.check(t, w.drive(t, tr), "small.bin", small)
				for i := 1; i < len(bytes); i++ {
					if bytes[i] < bytes[i-1] {
						t.Errorf("went back: %d", bytes)
					}
				}
				if shown := len(bytes) > 5; shown != tt.shown || !tt.shown && len(bytes) > 0 {
					t.Errorf("shown: %d", bytes)
				}
				if tt.shown && (bytes[0] == 0 || bytes[0] > int64(len(small))*3/4) {
					t.Errorf("shown first: %d of %d", bytes[0], len(small))
				}
			})
		})
	}
}

// slowly is a OneDrive that takes a file in slowly.
type slowly struct {
	http.RoundTripper
	each time.Duration // for 64 KiB
}

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && s.each > 0 {
		r = r.Clone(r.Context())
		r.Body = slowBody{r.Body, s.each}
	}
	return s.RoundTripper.RoundTrip(r)
}

type slowBody struct {
	io.ReadCloser
	each time.Duration
}

func (s slowBody) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	time.Sleep(s.each * time.Duration(n) / (64 << 10))
	return n, err
}
