package transfer

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A source that breaks off is asked again a few times, for the rest where it can be told that the rest
// is of the same file, and what it ends as says that it was the source.
func TestWhatBreaksOffIsAskedForAgain(t *testing.T) {
	const most = 1 << 20 // that one answer gives
	for _, tt := range []struct {
		what, eTag string
		content    []byte
		upTo       int // the source gives nothing from here on
		code       string
		asked      int
		resumed    bool
	}{
		{"a MiB at a time", `"v1"`, large, len(large), "", 6, true},
		{"a MiB and no more", `"v1"`, large, most, codeSourceIncomplete, 1 + maxSourceErrors, true},
		{"a MiB at a time, with a weak validator", `W/"v1"`, large, len(large), codeSourceIncomplete, 1 + maxSourceErrors, false},
		{"a MiB at a time, with none", "", large, len(large), codeSourceIncomplete, 1 + maxSourceErrors, false},
		{"half of a picture", "", tabby, len(tabby) / 2, codeSourceIncomplete, 1 + maxSourceErrors, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldInABubble(t, nil, func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 })
				var mu sync.Mutex
				var asked []http.Header
				w.web.mux.HandleFunc("/breaks", func(rw http.ResponseWriter, r *http.Request) {
					mu.Lock()
					asked = append(asked, r.Header)
					mu.Unlock()
					if tt.eTag != "" {
						rw.Header().Set("ETag", tt.eTag)
					}
					from, status := 0, http.StatusOK
					if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 1 {
						status = http.StatusPartialContent
						rw.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(tt.content)-1, len(tt.content)))
					}
					rw.Header().Set("Content-Length", fmt.Sprint(len(tt.content)-from))
					rw.WriteHeader(status)
					rw.Write(tt.content[from:max(from, min(from+most, tt.upTo))])
					http.NewResponseController(rw).Flush()
					panic(http.ErrAbortHandler)
				})
				tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/breaks"}))
				if tt.code == "" {
					w.check(t, tr, "", tt.content)
				} else if tr.State != Failed || tr.Failure.Code != tt.code {
					t.Errorf("%s %+v; want %s", tr.State, tr.Failure, tt.code)
				}
				if len(asked) != tt.asked {
					t.Errorf("asked %d times; want %d", len(asked), tt.asked)
				}
				for _, h := range asked[1:] {
					if resumed := h.Get("Range") != ""; resumed != tt.resumed || resumed && h.Get("If-Range") != tt.eTag {
						t.Errorf("asked again with Range %q, If-Range %q", h.Get("Range"), h.Get("If-Range"))
					}
				}
				if n := w.ms.Uploads(alex); n > 0 || tt.code != "" && len(w.ms.Files(alex)) > 0 {
					t.Errorf("%d upload sessions and %v are left", n, w.ms.Files(alex))
				}
			})
		})
	}
}

// A source that is fast enough at each moment, and would still take for ever, is the one that is too slow.
func TestASourceHasNotAllTheTimeInTheWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldInABubble(t, nil)
		w.web.mux.HandleFunc("/drizzle", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", fmt.Sprint(len(larger)))
			for rest := larger; len(rest) > 0 && r.Context().Err() == nil; rest = rest[min(10<<10, len(rest)):] {
				rw.Write(rest[:min(10<<10, len(rest))])
				http.NewResponseController(rw).Flush()
				time.Sleep(time.Second)
			}
		})
		if tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/drizzle"})); tr.State != Failed || tr.Failure.Code != codeSourceTooSlow {
			t.Errorf("%s %+v", tr.State, tr.Failure)
		}
	})
}
