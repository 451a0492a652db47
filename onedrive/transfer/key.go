package transfer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"
)

// Keys of the bucket "transfers". Each begins with its kind, the owner's partition and the owner, so
// that one filter covers all that a person has:
//
//	a.<pp>.<owner>.<time>                  a transfer that is not final
//	h.<pp>.<owner>.<state>.<time>.<what>   a final one: c completed, f failed, x cancelled
//	k.<pp>.<owner>.<hash>                  the transfer of an idempotency key
//
// <time> is the transfer's id, a ULID, cut into tokens: 12 days, 9 hours, 17 minutes, 33 seconds,
// 1 second, 32 ms, rest, so that a filter can match a span of time. Lists go by an index of the keys.
// <what> is a hash of folder and source, for "already saved".
const (
	stream        = "KV_transfers"
	subjectPrefix = "$KV.transfers."
	eventPrefix   = "ev." // where JetStream republishes what it stored

	kindActive  = "a"
	kindHistory = "h"
	kindKey     = "k"
	kindShow    = "p" // progress: published, never stored

	partitions = 64
)

// cuts are where an id is cut into tokens.
var cuts = [...]int{4, 5, 6, 7, 8, 9, 26}

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
	return len(id) == 26 && strings.Trim(id, crockford) == ""
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
	return fmt.Sprintf("%s.%02d.%s", kind, partition(owner), owner)
}

// timeTokens cuts an id, or the beginning of one, into tokens.
func timeTokens(id string) string {
	var b strings.Builder
	b.Grow(len(id) + len(cuts))
	from := 0
	for _, to := range cuts {
		if from >= len(id) {
			break
		}
		if from > 0 {
			b.WriteByte('.')
		}
		b.WriteString(id[from:min(to, len(id))])
		from = to
	}
	return b.String()
}

func activeKey(owner, id string) string { return ownerKey(kindActive, owner) + "." + timeTokens(id) }

func historyKey(t *Transfer) string {
	return ownerKey(kindHistory, t.Owner) + "." + stateLetter(t.State) + "." + timeTokens(t.ID) + "." + whatHash(t)
}

// idOf is the id in a key of kind a or h, "" for any other.
func idOf(key string) string {
	tokens := strings.Split(key, ".")
	switch {
	case tokens[0] == kindActive && len(tokens) == 3+len(cuts):
		return strings.Join(tokens[3:], "")
	case tokens[0] == kindHistory && len(tokens) == 5+len(cuts):
		return strings.Join(tokens[4:4+len(cuts)], "")
	}
	return ""
}

func stateLetter(s State) string {
	switch s {
	case Completed:
		return "c"
	case Failed:
		return "f"
	case Cancelled:
		return "x"
	}
	return "*"
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
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return base32Lower.EncodeToString(h.Sum(nil))[:n]
}
