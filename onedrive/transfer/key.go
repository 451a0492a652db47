package transfer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Keys of the bucket "transfers". Each begins with its kind, the owner's partition and the owner, so
// that one filter covers all that a person has:
//
//	t.<pp>.<owner>.<id>     a transfer, from its beginning to its end and after it
//	k.<pp>.<owner>.<hash>   the transfer of an idempotency key
//
// A transfer keeps its key when it ends, because JetStream replaces a message cheaply and deletes one
// dearly: a record of the deletion, synced by itself. A header says that a record is final (see ending).
const (
	stream        = "KV_transfers"
	subjectPrefix = "$KV.transfers."
	eventPrefix   = "ev." // where JetStream republishes what it stored, on a cluster

	kindTransfer = "t"
	kindKey      = "k"
	kindShow     = "p" // progress: published, never stored

	partitions = 64
)

const idLength = 26

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ids makes ULIDs that grow within a process, also inside one millisecond.
type ids struct {
	mu   sync.Mutex
	ms   uint64
	high uint16
	low  uint64
}

func (g *ids) next(now time.Time) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ms := uint64(now.UnixMilli()); ms > g.ms {
		var b [10]byte
		_, _ = rand.Read(b[:]) // never fails
		g.ms, g.high, g.low = ms, binary.BigEndian.Uint16(b[:2])>>1, binary.BigEndian.Uint64(b[2:])
	} else if g.low++; g.low == 0 {
		g.high++
	}
	return ulid(g.ms, g.high, g.low)
}

// ulid writes 48 bits of time and 80 of chance as 26 letters.
func ulid(ms uint64, high uint16, low uint64) string {
	var out [26]byte
	hi := ms<<16 | uint64(high) // the upper 64 of 128 bits
	for i := 25; i >= 0; i-- {
		out[i] = crockford[low&31]
		low = low>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

func validID(id string) bool {
	return len(id) == idLength && strings.Trim(id, crockford) == ""
}

func validOwner(owner string) bool {
	if owner == "" || len(owner) > 64 {
		return false
	}
	for _, c := range []byte(owner) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// partition is the share of the work that owner's transfers belong to.
func partition(owner string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(owner))
	return int(h.Sum32() % partitions)
}

// ownerKey is "<kind>.<pp>.<owner>".
func ownerKey(kind, owner string) string {
	return kind + "." + twoDigits(partition(owner)) + "." + owner
}

func transferKey(owner, id string) string {
	return kindTransfer + "." + twoDigits(partition(owner)) + "." + owner + "." + id
}

func twoDigits(n int) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }

// idOf is the id in a transfer's key, "" for any other.
func idOf(key string) string {
	if at := len(key) - idLength; at > 0 && strings.HasPrefix(key, kindTransfer+".") && key[at-1] == '.' {
		return key[at:]
	}
	return ""
}

// ownerOf is the owner in a key.
func ownerOf(key string) string {
	_, rest, _ := strings.Cut(key, ".")
	_, rest, _ = strings.Cut(rest, ".")
	owner, _, _ := strings.Cut(rest, ".")
	return owner
}

// ending is what a final record's header says, so that lists and the runner need not open it: a
// letter for its state and a hash of what was saved where, for "already saved". "" is not final.
type ending string

func endingOf(t *Transfer) ending {
	if !t.State.Final() {
		return ""
	}
	return ending(stateLetter(t.State) + whatHash(t))
}

// stateLetter is how an ending begins.
func stateLetter(s State) string {
	switch s {
	case Completed:
		return "c"
	case Failed:
		return "f"
	case Cancelled:
		return "x"
	}
	return ""
}

// whatHash names what was saved where; "-" for what came without an address.
func whatHash(t *Transfer) string {
	if t.SourceURL == "" {
		return "-"
	}
	return hashToken(10, t.Folder.ID, t.SourceURL)
}

// hashToken is n letters that stand for parts in a key.
func hashToken(n int, parts ...string) string {
	text := make([]byte, 0, 256)
	for _, p := range parts {
		text = append(strconv.AppendInt(text, int64(len(p)), 10), ':')
		text = append(text, p...)
	}
	sum := sha256.Sum256(text)
	return base32Lower.EncodeToString(sum[:])[:n]
}
