package transfer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/fakegraph"
	"skylift/onedrive/onedrivetest"
)

// lingers is a OneDrive that notices late that a fragment broke off, and takes no other meanwhile.
type lingers struct{ http.RoundTripper }

const lingersFor = 2 * time.Second

func (l lingers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/uploadSession") {
		return l.RoundTripper.RoundTrip(r)
	}
	body := &lingering{ReadCloser: r.Body, broke: make(chan error, 1)}
	on := r.Clone(context.WithoutCancel(r.Context()))
	on.Body, on.GetBody = body, nil
	type answer struct {
		res *http.Response
		err error
	}
	got := make(chan answer, 1)
	go func() { // ends when OneDrive has noticed
		res, err := l.RoundTripper.RoundTrip(on)
		got <- answer{res, err}
	}()
	select {
	case a := <-got:
		return a.res, a.err
	case err := <-body.broke:
		return nil, err
	}
}

// lingering is a body whose failure is felt at once on this side, and late on the other.
type lingering struct {
	io.ReadCloser
	broke chan error
}

func (l *lingering) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		l.broke <- err
		time.Sleep(lingersFor)
	}
	return n, err
}

func newLingeringWorld(t *testing.T) *world {
	net := newWire()
	l := net.listen()
	ms := onedrivetest.NewServerOn(t, l, lingers{net.transport(t)}, fakegraph.Options{Fetch: net.transport(t), Empty: true})
	w := &world{wire: net, web: newWebOn(t, net.listen()), ms: ms}
	return w.furnish(t, []func(*SaverOptions, *SourceOptions){func(o *SaverOptions, _ *SourceOptions) { o.Buffers = 2 << 20 }})
}

// However a source breaks off in the middle, the transfer ends with a word about the source and not
// with "something went wrong in Skylift", also when OneDrive still waits for the rest of a fragment.
func TestASourceThatBreaksOffIsNoFaultOfOurs(t *testing.T) {
	const size = 5_000_000
	breaks := map[string]func(*http.Request){
		"stalls": func(r *http.Request) { <-r.Context().Done() },
		"resets": func(*http.Request) { panic(http.ErrAbortHandler) },
		"resets late": func(r *http.Request) {
			select {
			case <-time.After(time.Second):
				panic(http.ErrAbortHandler)
			case <-r.Context().Done():
			}
		},
	}
	for name, end := range breaks {
		for _, at := range []int{10, 100_000, 2_000_000, 3_932_160, 4_950_000} {
			for _, eTag := range []string{"", `"v1"`} {
				t.Run(fmt.Sprintf("%s after %d bytes %s", name, at, eTag), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newLingeringWorld(t)
						w.web.mux.HandleFunc("/breaks.bin", func(rw http.ResponseWriter, r *http.Request) {
							rw.Header().Set("Content-Length", fmt.Sprint(size))
							if eTag != "" {
								rw.Header().Set("ETag", eTag)
							}
							if r.Method == http.MethodHead {
								return
							}
							rw.Write(large[:at])
							http.NewResponseController(rw).Flush()
							end(r)
						})
						tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/breaks.bin"}))
						w.pass(2 * lingersFor) // until OneDrive has noticed the last one, too
						fair := []string{codeSourceTooSlow, codeSourceIncomplete}
						if tr.State != Failed || !slices.Contains(fair, tr.Failure.Code) {
							t.Errorf("%s %+v; want failed by one of %v", tr.State, tr.Failure, fair)
						}
						if n := w.ms.Uploads(alex); n > 0 {
							t.Errorf("%d upload sessions are left", n)
						}
					})
				})
			}
		}
	}
}

// What had arrived when the source broke off is sent as soon as OneDrive lets go of the broken
// fragment, and not fetched again.
func TestWhatArrivedIsSentToALingeringOneDrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLingeringWorld(t)
		fetched := w.web.dropAt("/lingered.bin", larger, len(larger)*6/10, nil)
		tr := w.drive(t, w.ask(t, alex, Request{SourceURL: "/lingered.bin"}))
		w.pass(2 * lingersFor)
		w.check(t, tr, "lingered.bin", larger)
		if again := fetched.Load() - int64(len(larger)); again > onedrive.FragmentUnit {
			t.Errorf("fetched %d bytes again; want less than the smallest fragment", again)
		}
	})
}
