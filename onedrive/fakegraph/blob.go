package fakegraph

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding"
	"hash"
	"image"
	"io"
	"sync"
)

// blob is what a file holds: its size and hashes always, its bytes only when they were kept.
type blob struct {
	size   int64
	xor    [quickXorSize]byte
	sha1   [sha1.Size]byte
	sha256 [sha256.Size]byte
	hashed bool
	kept   bool
	chunks [][]byte // in order; nil when not kept

	sent []byte // sha256 of what came, if the drive has changed it

	width, height int32 // of a picture that was kept and can be read
}

// reader gives the bytes; zeros of the same length when they were not kept.
func (b *blob) reader() *io.SectionReader {
	return io.NewSectionReader(b, 0, b.size)
}

// ReadAt is an io.ReaderAt over the chunks.
func (b *blob) ReadAt(p []byte, off int64) (int, error) {
	if off >= b.size {
		return 0, io.EOF
	}
	if !b.kept {
		n := int(min(int64(len(p)), b.size-off))
		clear(p[:n])
		return n, eofIf(n < len(p))
	}
	n := 0
	for _, chunk := range b.chunks {
		if off >= int64(len(chunk)) {
			off -= int64(len(chunk))
			continue
		}
		n += copy(p[n:], chunk[off:])
		off = 0
		if n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

func eofIf(end bool) error {
	if end {
		return io.EOF
	}
	return nil
}

// bytes is the whole content in one piece; false when it was not kept.
func (b *blob) bytes() ([]byte, bool) {
	if !b.kept {
		return nil, false
	}
	return bytes.Join(b.chunks, nil), true
}

// eicar is the harmless text that every virus scanner reports, cut in two so that this file is none.
// https://www.eicar.org/download-anti-malware-testfile/
var eicar = []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR` + `-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`)

// intake takes in the bytes of one file piece by piece. A piece that breaks off can be taken back
// by restore (microsoft.md §4.4: a fragment that breaks off is discarded as a whole).
type intake struct {
	keep     bool
	reserved int64 // what the drive counts as kept for it meanwhile
	noHash   bool
	size     int64
	chunks   [][]byte
	head     []byte // the first bytes, to look for malware
	xor      quickXor
	sha1     hash.Hash
	sha256   hash.Hash
}

func newIntake(keep, noHash bool) *intake {
	return &intake{keep: keep, noHash: noHash, sha1: sha1.New(), sha256: sha256.New()}
}

// copyBuffers are for reading bodies; 256 KiB costs few system calls and stays in the cache.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// readFrom takes at most limit bytes of body.
func (in *intake) readFrom(body io.Reader, limit int64) (int64, error) {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	var total int64
	for total < limit {
		n, err := body.Read((*buffer)[:min(int64(len(*buffer)), limit-total)])
		in.write((*buffer)[:n])
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (in *intake) write(p []byte) {
	if len(p) == 0 {
		return
	}
	in.size += int64(len(p))
	if room := len(eicar) + 64 - len(in.head); room > 0 {
		in.head = append(in.head, p[:min(room, len(p))]...)
	}
	if in.keep {
		in.store(p)
	}
	if !in.noHash {
		in.xor.Write(p)
		in.sha1.Write(p)
		in.sha256.Write(p)
	}
}

// chunkSize is how large a stored chunk grows before the next one is begun.
const chunkSize = 1 << 20

func (in *intake) store(p []byte) {
	for len(p) > 0 {
		last := len(in.chunks) - 1
		if last < 0 || len(in.chunks[last]) >= chunkSize {
			in.chunks = append(in.chunks, nil)
			last++
		}
		n := min(len(p), chunkSize-len(in.chunks[last]))
		in.chunks[last] = append(in.chunks[last], p[:n]...)
		p = p[n:]
	}
}

// malware reports whether the content is the EICAR test file.
func (in *intake) malware() bool { return bytes.Contains(in.head, eicar) }

// drop forgets the bytes and keeps counting and hashing.
func (in *intake) drop() { in.keep, in.chunks = false, nil }

// mark is a point that an intake can go back to.
type mark struct {
	size         int64
	head         int
	chunks, last int
	xor          quickXor
	sha1, sha256 []byte
}

func (in *intake) mark() mark {
	m := mark{size: in.size, head: len(in.head), chunks: len(in.chunks), xor: in.xor}
	if m.chunks > 0 {
		m.last = len(in.chunks[m.chunks-1])
	}
	if !in.noHash {
		m.sha1, _ = in.sha1.(encoding.BinaryMarshaler).MarshalBinary()
		m.sha256, _ = in.sha256.(encoding.BinaryMarshaler).MarshalBinary()
	}
	return m
}

func (in *intake) restore(m mark) {
	in.size, in.head, in.xor = m.size, in.head[:m.head], m.xor
	if in.keep {
		in.chunks = in.chunks[:m.chunks]
		if m.chunks > 0 {
			in.chunks[m.chunks-1] = in.chunks[m.chunks-1][:m.last]
		}
	}
	if !in.noHash {
		// The state was written by the same hash, so it always fits.
		_ = in.sha1.(encoding.BinaryUnmarshaler).UnmarshalBinary(m.sha1)
		_ = in.sha256.(encoding.BinaryUnmarshaler).UnmarshalBinary(m.sha256)
	}
}

// blob is the finished content.
func (in *intake) blob() *blob {
	b := &blob{size: in.size, hashed: !in.noHash, kept: in.keep}
	if in.keep {
		b.chunks = clipped(in.chunks)
		if config, _, err := image.DecodeConfig(b.reader()); err == nil && config.Width > 0 && config.Height > 0 {
			b.width, b.height = int32(min(config.Width, 1<<20)), int32(min(config.Height, 1<<20))
		}
	}
	if b.hashed {
		b.xor = in.xor.Sum()
		in.sha1.Sum(b.sha1[:0])
		in.sha256.Sum(b.sha256[:0])
	}
	return b
}

// clipped gives the last chunk the room that it needs and no more.
func clipped(chunks [][]byte) [][]byte {
	if n := len(chunks); n > 0 && cap(chunks[n-1]) > len(chunks[n-1])+512 {
		chunks[n-1] = bytes.Clone(chunks[n-1])
	}
	return chunks
}

// blobOf is a kept blob of p.
func blobOf(p []byte) *blob {
	in := newIntake(true, false)
	in.write(p)
	return in.blob()
}

// properties are what enriching adds, after the end, where readers of these files do not mind it.
const properties = "\n<!-- ContentTypeId 0x0101 -->\n"

// enriched is b with the properties of a SharePoint library written into it.
func (b *blob) enriched() *blob {
	in := newIntake(b.kept, !b.hashed)
	_, _ = in.readFrom(b.reader(), b.size)
	in.write([]byte(properties))
	changed := in.blob()
	changed.sent = b.sha256[:]
	return changed
}

// peekMore reports whether body has another byte, and takes it in.
func (in *intake) peekMore(body io.Reader) (bool, error) {
	n, err := in.readFrom(body, 1)
	return n > 0, err
}
