package onedrive

import (
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// Sizes of QuickXorHash: a circle of 160 bits, into which each byte goes 11 bits after the last.
const (
	quickXorSize  = 20
	quickXorShift = 11
	quickXorBits  = 8 * quickXorSize
	quickXorBlock = 10 * quickXorBits // a multiple of the period, 160 bytes, long enough for fast XOR
)

// quickXor keeps the XOR of all bytes whose places on the circle are the same; Sum turns them there.
type quickXor struct {
	block [quickXorBlock]byte
	size  uint64
}

// QuickXor is the hash that every OneDrive keeps of its files, in base64 at file.hashes.quickXorHash.
// https://learn.microsoft.com/onedrive/developer/code-snippets/quickxorhash
func QuickXor() hash.Hash { return new(quickXor) }

func (q *quickXor) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		at := int(q.size % quickXorBlock)
		n := subtle.XORBytes(q.block[at:], q.block[at:], rest)
		q.size += uint64(n)
		rest = rest[n:]
	}
	return len(p), nil
}

func (q *quickXor) Sum(b []byte) []byte {
	var sum [quickXorSize + 1]byte // the last byte takes what runs over the end
	for i, x := range q.block {
		bit := i * quickXorShift % quickXorBits
		wide := uint16(x) << (bit % 8)
		sum[bit/8] ^= byte(wide)
		sum[bit/8+1] ^= byte(wide >> 8)
	}
	sum[0] ^= sum[quickXorSize]
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], q.size)
	subtle.XORBytes(sum[quickXorSize-8:], sum[quickXorSize-8:quickXorSize], size[:])
	return append(b, sum[:quickXorSize]...)
}

func (q *quickXor) Reset()         { *q = quickXor{} }
func (q *quickXor) Size() int      { return quickXorSize }
func (q *quickXor) BlockSize() int { return 64 }
