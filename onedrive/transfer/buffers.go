package transfer

import (
	"hash"
	"io"
	"math/bits"
	"sync"

	"skylift/onedrive"
)

// Sizes of the smallest and the largest pooled buffer.
const (
	minBuffer = 64 << 10
	maxBuffer = 16 << 20
)

// buffers are pooled by size: powers of two.
type buffers struct{ pools [9]sync.Pool }

func bufferClass(n int) int { return max(0, bits.Len(uint(n-1))-bits.Len(uint(minBuffer-1))) }

// get is an empty buffer with room for n bytes.
func (b *buffers) get(n int) []byte {
	class := bufferClass(n)
	if p, ok := b.pools[class].Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return make([]byte, 0, minBuffer<<class)
}

func (b *buffers) put(buf []byte) {
	if cap(buf) < minBuffer || cap(buf) > maxBuffer {
		return
	}
	if class := bufferClass(cap(buf)); minBuffer<<class == cap(buf) {
		b.pools[class].Put(&buf)
	}
}

// fill reads from r behind what buf holds until it has n bytes or r ends (io.EOF with fewer). The
// buffer grows as bytes arrive, so that a source which promises much and sends little costs little.
func (b *buffers) fill(r io.Reader, buf []byte, n int) ([]byte, error) {
	if buf == nil {
		buf = b.get(min(n, minBuffer))
	}
	for len(buf) < n {
		if len(buf) == cap(buf) {
			larger := append(b.get(min(4*cap(buf), max(n, 2*cap(buf)))), buf...)
			b.put(buf)
			buf = larger
		}
		got, err := r.Read(buf[len(buf):min(n, cap(buf))])
		buf = buf[:len(buf)+got]
		if err != nil && len(buf) < n {
			return buf, err
		}
	}
	return buf, nil
}

// fragmentSize shares the memory for fragments among the relays that run: two buffers each.
func (s *Saver) fragmentSize() int {
	each := s.opt.Buffers / (2 * max(1, s.streams.Load()))
	n := min(each, onedrive.DefaultFragment) / onedrive.FragmentUnit * onedrive.FragmentUnit
	return int(max(n, onedrive.FragmentUnit))
}

// hashTo adds p to h, which may be nil.
func hashTo(h hash.Hash, p []byte) {
	if h != nil {
		h.Write(p)
	}
}
