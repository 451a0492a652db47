package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// ErrSpoolFull is returned when what is spooled already leaves no room.
var ErrSpoolFull = errSpoolFull

var errSpoolFull = errors.New("no room to spool")

// Spooled is bytes that rest in a temporary file until they are sent, because their number has to
// be known first. The file has no name: it goes with its handle, whatever becomes of the process.
type Spooled struct {
	Size int64
	file *os.File
	held *spoolWriter
}

// Spool takes all of owner's body, within the bound of all spooled bytes together (ErrSpoolFull) and of
// owner's bodies at once (ErrManyBodies). Other errors are body's, or the file's.
func (s *Saver) Spool(ctx context.Context, owner string, body io.Reader) (*Spooled, error) {
	leave, err := s.takeBody(ctx, owner)
	if err != nil {
		return nil, err
	}
	defer leave()
	f, err := os.CreateTemp(s.opt.SpoolDir, "skylift-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	os.Remove(f.Name())
	p := &Spooled{file: f, held: &spoolWriter{s: s, f: f, owner: owner}}
	if p.Size, err = io.Copy(p.held, body); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Read reads on from where the last one ended.
func (p *Spooled) Read(b []byte) (int, error) { return p.file.Read(b) }

// Close gives the room back.
func (p *Spooled) Close() error {
	p.held.release()
	p.held.n = 0
	return p.file.Close()
}

// spooled counts the bytes in spool files, and whose they are.
type spooled struct {
	mu    sync.Mutex
	total int64
	of    map[string]int64 // nil: none yet
}

// take has room for n bytes of owner's, who may hold as much as is left for all others: half of it alone,
// and there is always some for who comes next.
func (s *spooled) take(owner string, n, most int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[owner]+n > most-s.total-n {
		return false
	}
	if s.of == nil {
		s.of = map[string]int64{}
	}
	s.total += n
	s.of[owner] += n
	return true
}

func (s *spooled) release(owner string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		return
	}
	s.total -= n
	if s.of[owner] -= n; s.of[owner] <= 0 {
		delete(s.of, owner)
	}
}

// spoolWriter writes what fits into the spool.
type spoolWriter struct {
	s     *Saver
	f     *os.File
	owner string
	n     int64
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	n := int64(len(p))
	if w.s.opt.Space != nil && w.s.opt.Space() != nil || !w.s.spooled.take(w.owner, n, w.s.opt.MaxSpool) {
		return 0, errSpoolFull
	}
	w.n += n
	return w.f.Write(p)
}

func (w *spoolWriter) release() { w.s.spooled.release(w.owner, w.n) }
