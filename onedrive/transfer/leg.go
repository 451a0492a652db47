package transfer

import (
	"io"
	"time"
)

// blink is how long a small file may take before its progress is shown: most are there by then.
const blink = 500 * time.Millisecond

// leg is half the way of a file that comes to us as a whole before it goes on: a small one, and one of
// unknown length. Each byte counts half on each leg, so that all of them are there only at the end.
type leg struct {
	r     *saving
	from  io.Reader
	size  int64 // of the file; -1: unknown
	moved int64 // on this leg and the one before
}

// first counts what comes from a source.
func (r *saving) first(from io.Reader, size int64) io.Reader { return &leg{r, from, size, 0} }

// second counts what OneDrive takes.
func (r *saving) second(data io.ReadSeeker, size int64) io.ReadSeeker {
	if r.t.Route != Relay { // whoever sends the bytes knows how many have gone
		return data
	}
	return &leg{r, data, size, size}
}

func (l *leg) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	if l.moved += int64(n); n > 0 && time.Since(l.r.began) > blink {
		l.show()
	}
	return n, err
}

// Seek serves a request that is sent again.
func (l *leg) Seek(offset int64, whence int) (int64, error) {
	at, err := l.from.(io.Seeker).Seek(offset, whence)
	l.moved = l.size + at
	return at, err
}

func (l *leg) show() {
	if l.size >= 0 { // else nobody knows how long the way is
		l.r.t.Size = &l.size
	}
	l.r.advance(l.moved / 2)
}
