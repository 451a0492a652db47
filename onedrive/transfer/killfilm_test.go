package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// film is a source of one large file that counts the bytes it gives. It holds its first reader at 60 %.
type film struct {
	URL    string
	Person person // who saves it

	content []byte
	served  atomic.Int64
	first   sync.Once
	held    chan struct{} // closed when the first reader was given 60 %
}

// socketBuffer is what each of the source's two sockets may hold; Linux makes twice of it.
const socketBuffer = 64 << 10

// onTheWay is what was served and had not reached the killed process: both sockets' buffers, and the
// few KiB that net/http reads ahead.
const onTheWay = 2*2*socketBuffer + 64<<10

func (o *outside) serveFilm(t *testing.T, owner string, size int) *film {
	t.Helper()
	f := &film{content: make([]byte, size), held: make(chan struct{})}
	_, _ = rand.NewChaCha8([32]byte{byte(size >> 20)}).Read(f.content)
	for _, p := range o.People {
		if p.Owner == owner {
			f.Person = p
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: f, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(socketBuffer)
		return ctx
	}}
	go s.Serve(l) // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	f.URL = "http://" + l.Addr().String() + "/film.bin"
	o.Film = f
	return f
}

func (f *film) host() string {
	if f == nil {
		return ""
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(f.URL, "http://"), "/")
	return host
}

func (f *film) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"film"`)
	out, hold := served{w, &f.served}, false
	if r.Method == http.MethodGet {
		f.first.Do(func() { hold = true })
	}
	if !hold {
		http.ServeContent(out, r, "film.bin", time.Time{}, bytes.NewReader(f.content))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(f.content)))
	_, _ = out.Write(f.content[:len(f.content)*6/10])
	_ = http.NewResponseController(w).Flush()
	close(f.held)
	<-r.Context().Done()
}

// served counts what a handler writes.
type served struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (s served) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.n.Add(int64(n))
	return n, err
}

// The process is killed when the source has given 60 % of a file of several fragments. The next one
// goes on where OneDrive is: fetched again is what the dead process held, one fragment at most, and
// what had not reached it.
func TestKillAt60Percent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, owner string
		buffers     int64
		size        int
	}{
		{"a personal account, as the program is set up", "kim", 0, 40 << 20},
		{"a work account, with little memory", "alex", 2 << 20, 12<<20 + 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, dir := newOutside(t), t.TempDir()
			o.Buffers = tt.buffers
			f := o.serveFilm(t, tt.owner, tt.size)
			first := o.startVictim(t, dir, "", "")
			if _, ok := first.submit("film"); !ok {
				t.Fatal("not promised")
			}
			select {
			case <-f.held:
			case <-time.After(time.Minute):
				t.Error("the source was not read to 60 %")
			}
			first.kill()

			second := o.startVictim(t, dir, "", "")
			defer second.kill()
			ends, lost := second.ends(t, map[string]bool{"film": true})
			if end := ends["film"]; end.State != transfer.Completed || len(lost) > 0 {
				t.Fatalf("ended %+v, lost %v", end, lost)
			}
			hash := sha256.Sum256(f.content)
			sum := hex.EncodeToString(hash[:])
			copies, contents := o.files()
			if len(copies) != 1 || len(copies[sum]) != 1 || contents[ends["film"].Item] != sum {
				t.Errorf("in the drive: %v; want the file once", copies)
			}
			if n := o.ms.Uploads(f.Person.Login); n > 0 {
				t.Errorf("%d upload sessions are left", n)
			}
			fragment := int64(onedrive.DefaultFragment)
			if tt.buffers > 0 {
				fragment = min(fragment, tt.buffers)
			}
			again := f.served.Load() - int64(tt.size)
			t.Logf("fetched again: %d of %d bytes; a fragment has %d", again, tt.size, fragment)
			if again > fragment+onTheWay {
				t.Errorf("fetched %d bytes again; want at most a fragment and what was on the way, %d", again, fragment+onTheWay)
			}
		})
	}
}
