package transfer

import (
	"fmt"
	"io"
	"os"
)

// ErrSpoolFull is returned when what is spooled already leaves no room.
var ErrSpoolFull = errSpoolFull

// Spooled is bytes that rest in a temporary file until they are sent, because their number has to
// be known first. The file has no name: it goes with its handle, whatever becomes of the process.
type Spooled struct {
	Size int64
	file *os.File
	held *spoolWriter
}

// Spool takes all of body, within the bound of all spooled bytes together (ErrSpoolFull). Other
// errors are body's, or the file's.
func (s *Saver) Spool(body io.Reader) (*Spooled, error) {
	f, err := os.CreateTemp(s.opt.SpoolDir, "skylift-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	os.Remove(f.Name())
	p := &Spooled{file: f, held: &spoolWriter{s: s, f: f}}
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
