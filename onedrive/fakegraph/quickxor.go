package fakegraph

import (
	"crypto/subtle"
	"encoding/binary"
)

// quickXor is Microsoft's QuickXorHash: each byte is XORed into a circle of 160 bits, 11 bits
// further than the one before; the length goes over the last eight bytes.
// https://learn.microsoft.com/onedrive/developer/code-snippets/quickxorhash
type quickXor struct {
	// lanes holds the XOR of all bytes whose position is the same modulo 160: 160 bytes on, the
	// circle is back where it was, so a whole lane block costs one XORBytes.
	lanes  [quickXorLanes]byte
	length uint64
}

const (
	quickXorSize  = 20
	quickXorShift = 11
	quickXorLanes = quickXorSize * 8
)

// Write adds p; it never fails.
func (q *quickXor) Write(p []byte) (int, error) {
	n := len(p)
	at := int(q.length % quickXorLanes)
	q.length += uint64(n)
	for len(p) > 0 {
		k := min(len(p), quickXorLanes-at)
		subtle.XORBytes(q.lanes[at:at+k], q.lanes[at:at+k], p[:k])
		p, at = p[k:], 0
	}
	return n, nil
}

// Sum is the hash of all that was written.
func (q *quickXor) Sum() (sum [quickXorSize]byte) {
	for i, b := range q.lanes {
		bit := i * quickXorShift % quickXorLanes
		wide := uint16(b) << (bit % 8)
		sum[bit/8] ^= byte(wide)
		sum[(bit/8+1)%quickXorSize] ^= byte(wide >> 8)
	}
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], q.length)
	subtle.XORBytes(sum[quickXorSize-8:], sum[quickXorSize-8:], length[:])
	return sum
}
