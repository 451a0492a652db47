package fakegraph

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The drive types of microsoft.md §3.5.
const (
	personal = "personal"
	business = "business"
)

// Bounds of what one account keeps in memory.
const (
	defaultKeptBytes = 256 << 20
	defaultMaxItems  = 200_000
	maxTombstones    = 10_000
	maxJobs          = 100_000
	maxUploads       = 1_000
)

// quotas of the demo's drives: 5 GB is what a free personal account has.
const (
	personalQuota = 5 << 30
	businessQuota = 1 << 40
)

// drive is one account's OneDrive. Its own lock guards all of it, so accounts don't wait for each other.
type drive struct {
	who  atomic.Pointer[Account] // whose it is; see owner
	id   string
	kind string

	mu       sync.RWMutex
	conduct  Conduct
	items    map[string]*item
	root     *item
	number   int              // last item number handed out
	change   uint64           // last change number, for delta
	used     int64            // bytes of all files, the owner's quota
	binned   int64            // bytes in the recycle bin
	kept     int64            // bytes held in memory, open sessions included
	pasts    []past           // for Conduct.Lag, oldest first
	commits  []*uploadSession // that become files later
	late     []*item          // whose metadata is still to come
	graves   []tombstone
	special  map[string]*item
	sessions map[string]*uploadSession
	jobs     []*job // waiting for their turn, oldest first
	working  bool   // a goroutine works on jobs
	alive    int    // monitors that still answer
	ended    []*job // ended jobs in order, to forget them in time
	units    float64
	unitsAt  time.Time
}

// tombstone is a deleted item, for delta.
type tombstone struct {
	id     string
	parent string
	folder bool
	change uint64
}

// newDrive makes an empty drive with a root.
func newDrive(a *Account, now time.Time) *drive {
	d := &drive{
		id: driveID(a), kind: kindOf(a),
		items: map[string]*item{}, special: map[string]*item{}, sessions: map[string]*uploadSession{},
		conduct: conductOf(a),
	}
	d.who.Store(a)
	d.root = &item{id: d.newItemID(), drive: d, name: "root", children: map[string]*item{}, created: now, modified: now, version: 1}
	d.items[d.root.id] = d.root
	d.touch(d.root, now)
	return d
}

// owner is whose drive it is.
func (d *drive) owner() *Account { return d.who.Load() }

func kindOf(a *Account) string {
	if a.DriveType == business {
		return business
	}
	return personal
}

// driveID is the same for an account at each start. Personal ids are sixteen hex digits, of which the first
// is a zero that remoteItem leaves out (microsoft.md §3.3), work ids begin with b!.
func driveID(a *Account) string {
	sum := sha256.Sum256([]byte("drive " + strings.ToLower(a.Login)))
	if kindOf(a) == business {
		return "b!" + base64.RawURLEncoding.EncodeToString(append(sum[:], sum[:16]...))
	}
	return "0" + hex.EncodeToString(sum[:8])[1:]
}

// newItemID makes an opaque id. Its shape varies on purpose: clients must not parse it (microsoft.md §3.3).
func (d *drive) newItemID() string {
	d.number++
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], uint64(d.number))
	sum := sha256.Sum256(append([]byte("item "+d.id), seed[:]...))
	if d.kind == business {
		return "01" + strings.ToUpper(base32Text(sum[:20]))
	}
	if d.number%2 == 0 {
		return fmt.Sprintf("%s!%d", strings.ToUpper(d.id), 100+d.number)
	}
	return strings.ToUpper(d.id) + "!s" + hex.EncodeToString(sum[:16])
}

func base32Text(b []byte) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = letters[c&31]
	}
	return string(out)
}

// touch marks a change of it: new tags, a new place in delta, and a new cTag for the folder that shows it.
func (d *drive) touch(it *item, now time.Time) {
	d.change++
	it.change = d.change
	it.version++
	if p := it.parent; p != nil {
		d.change++
		p.change = d.change
		p.content++
		p.modified = now
		p.sorted.Store(nil)
	}
}

// bury deletes it and all below: to the bin, with tombstones for delta.
func (d *drive) bury(it *item, now time.Time) {
	d.remember(now)
	for _, child := range it.children {
		d.bury(child, now)
	}
	if it.blob != nil {
		d.used -= it.blob.size
		d.binned += it.blob.size
		d.release(it.blob)
	}
	delete(d.items, it.id)
	delete(it.parent.children, nameKey(it.name))
	maps.DeleteFunc(d.special, func(_ string, s *item) bool { return s == it })
	d.touch(it, now)
	d.graves = append(d.graves, tombstone{id: it.id, parent: it.parent.id, folder: it.isFolder(), change: it.change})
	if len(d.graves) > maxTombstones {
		d.graves = slices.Delete(d.graves, 0, len(d.graves)-maxTombstones)
	}
}

// release gives back the memory of a blob.
func (d *drive) release(b *blob) {
	if b != nil && b.kept {
		d.kept -= b.size
	}
}

// total is the size of the drive in bytes.
func (d *drive) total() int64 {
	if d.conduct.Quota > 0 {
		return d.conduct.Quota
	}
	if d.kind == business {
		return businessQuota
	}
	return personalQuota
}

// room reports whether size more bytes fit; the error is Graph's 507 (microsoft.md §3.5).
func (d *drive) room(size int64) *wireError {
	if d.conduct.Full || size > d.total()-d.used {
		return refuse(507, "quotaLimitReached", "The user has reached their quota limit.")
	}
	return nil
}

// wireQuota is the quota facet; states by what is left (microsoft.md §3.5).
type wireQuota struct {
	Total     int64  `json:"total"`
	Used      int64  `json:"used"`
	Remaining *int64 `json:"remaining,omitempty"`
	Deleted   int64  `json:"deleted"`
	State     string `json:"state,omitempty"`
	FileCount *int   `json:"fileCount,omitempty"`
}

func (d *drive) quota() *wireQuota {
	switch d.conduct.HideQuota {
	case "absent":
		return nil
	case "zeros":
		return &wireQuota{Remaining: new(int64), State: "normal"}
	}
	total, used := d.total(), d.used
	if d.conduct.Full {
		used = max(used, total)
	}
	left := max(0, total-used)
	q := &wireQuota{Total: total, Used: used, Remaining: &left, Deleted: d.binned, State: "normal"}
	switch {
	case left == 0:
		q.State = "exceeded"
	case left < total/100:
		q.State = "critical"
	case left < total/10:
		q.State = "nearing"
	}
	if d.conduct.HideQuota == "noRemaining" {
		q.Remaining, q.State = nil, ""
	}
	if d.kind == business { // fileCount is not on personal drives
		n := len(d.items)
		q.FileCount = &n
	}
	return q
}

// wireDrive is Graph's drive resource, https://learn.microsoft.com/graph/api/resources/drive
type wireDrive struct {
	Context     string         `json:"@odata.context,omitempty"`
	ID          string         `json:"id"`
	DriveType   string         `json:"driveType"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	WebURL      string         `json:"webUrl"`
	CreatedBy   map[string]any `json:"createdBy"`
	Owner       map[string]any `json:"owner"`
	Quota       *wireQuota     `json:"quota,omitempty"`
}

// render is the drive as Graph shows it.
func (d *drive) render(base string) wireDrive {
	owner := map[string]any{"displayName": d.owner().Name, "id": d.id}
	if d.kind == business {
		owner = map[string]any{"displayName": d.owner().Name, "id": d.owner().ObjectID, "email": d.owner().Login}
	}
	return wireDrive{
		Context: base + "/v1.0/$metadata#drives/$entity", ID: d.id, DriveType: d.kind, Name: "OneDrive",
		WebURL:    base + "/drive?cid=" + d.id,
		CreatedBy: map[string]any{"user": map[string]any{"displayName": "System Account"}},
		Owner:     map[string]any{"user": owner}, Quota: d.quota(),
	}
}
