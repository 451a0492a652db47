package transfer

import (
	"context"
	"hash"
	"net/url"
	"strings"
	"sync"
	"time"

	"skylift/onedrive"
)

// How long what was learned is believed; then it is tried again.
const (
	refusedFor  = 24 * time.Hour  // an account whose OneDrive does not fetch URLs
	badHostFor  = 24 * time.Hour  // a host that OneDrive could not fetch from
	driveFor    = 5 * time.Minute // a drive's type
	maxRemember = 10000           // entries of each memory
)

// NativeMemory remembers the accounts whose OneDrive does not fetch URLs, and those whose does.
type NativeMemory interface {
	Refused(ctx context.Context, owner string) (until time.Time, err error) // zero: not known to be refused
	Refuse(ctx context.Context, owner string, until time.Time) error        // a zero time forgets
	Worked(ctx context.Context, owner string) (bool, error)                 // OneDrive fetched something lately
	Work(ctx context.Context, owner string) error                           // it did; that ends a refusal
}

// NewNativeMemory is a NativeMemory that lasts as long as the process; now may be nil.
func NewNativeMemory(now func() time.Time) NativeMemory {
	if now == nil {
		now = time.Now
	}
	return &processMemory{now: now}
}

type processMemory struct {
	now    func() time.Time
	mu     sync.Mutex
	until  map[string]time.Time // refused until
	worked map[string]time.Time // believed until
}

func (m *processMemory) Refused(_ context.Context, owner string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.until[owner], nil
}

func (m *processMemory) Refuse(_ context.Context, owner string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	forgetOld(&m.until, m.now())
	delete(m.worked, owner)
	if until.IsZero() {
		delete(m.until, owner)
		return nil
	}
	m.until[owner] = until
	return nil
}

func (m *processMemory) Worked(_ context.Context, owner string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now().Before(m.worked[owner]), nil
}

func (m *processMemory) Work(_ context.Context, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	forgetOld(&m.worked, m.now())
	delete(m.until, owner)
	m.worked[owner] = m.now().Add(refusedFor)
	return nil
}

// forgetOld makes the map if needed, and room in it.
func forgetOld(m *map[string]time.Time, now time.Time) {
	if *m == nil {
		*m = map[string]time.Time{}
	}
	if len(*m) < maxRemember {
		return
	}
	for key, until := range *m {
		if now.After(until) {
			delete(*m, key)
		}
	}
	if len(*m) >= maxRemember {
		clear(*m)
	}
}

// hostMemory knows the source hosts that OneDrive could not fetch from lately.
type hostMemory struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (m *hostMemory) bad(u *url.URL, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.until[u.Host])
}

func (m *hostMemory) remember(u *url.URL, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	forgetOld(&m.until, now)
	m.until[u.Host] = now.Add(badHostFor)
}

// strikes counts an account's native transfers that OneDrive lost and the relay then saved, in a
// row and from different hosts: after two the account counts as refused.
type strikes struct {
	mu   sync.Mutex
	host map[string]string
}

// add reports whether this is the second strike.
func (s *strikes) add(owner, host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil || len(s.host) >= maxRemember {
		s.host = map[string]string{}
	}
	before, known := s.host[owner]
	s.host[owner] = host
	return known && before != host
}

func (s *strikes) clear(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.host, owner)
}

// drives remembers the drives' types, so that a batch asks once.
type drives struct {
	mu   sync.Mutex
	seen map[string]seenDrive
}

type seenDrive struct {
	onedrive.Drive
	at time.Time
}

// get is the drive that t is saved into; fresh asks anew, for the quota.
func (d *drives) get(ctx context.Context, r *saving, fresh bool) (onedrive.Drive, error) {
	key, now := r.t.Owner+" "+r.t.Folder.DriveID, r.s.opt.Now()
	d.mu.Lock()
	known, ok := d.seen[key]
	d.mu.Unlock()
	if ok && !fresh && now.Sub(known.at) < driveFor {
		return known.Drive, nil
	}
	drive, err := r.client.Drive(ctx, r.t.Folder.DriveID)
	if err != nil {
		return drive, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil || len(d.seen) >= maxRemember {
		d.seen = map[string]seenDrive{}
	}
	d.seen[key] = seenDrive{drive, now}
	return drive, nil
}

// names are the file names that transfers of this process are about to take.
type names struct {
	mu    sync.Mutex
	owner map[string]string          // folder and name → transfer
	of    map[string]map[string]bool // transfer → its keys
	next  map[string]int             // folder and wanted name → the first number worth trying
}

// place is the folder in which t's name has to be its own. The address of a folder in the person's own
// drive is the same for everybody.
func (t *Transfer) place() onedrive.Ref {
	place := t.Folder.Ref()
	if place.DriveID == "" {
		place.DriveID = "of " + t.Owner
	}
	return place
}

func nameKey(folder onedrive.Ref, name string) string {
	return folder.DriveID + "/" + folder.ID + "/" + strings.ToLower(name)
}

// reserve gives the name to transfer id unless another has it.
func (n *names) reserve(folder onedrive.Ref, name, id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := nameKey(folder, name)
	if who, taken := n.owner[key]; taken && who != id {
		return false
	}
	if n.owner == nil {
		n.owner, n.of = map[string]string{}, map[string]map[string]bool{}
	}
	if n.of[id] == nil {
		n.of[id] = map[string]bool{}
	}
	n.owner[key], n.of[id][key] = id, true
	return true
}

func (n *names) releaseName(folder onedrive.Ref, name, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := nameKey(folder, name)
	if n.owner[key] == id {
		delete(n.owner, key)
		delete(n.of[id], key)
	}
}

// refuse keeps a name from everybody for as long as transfer id lives: OneDrive refused it, although it
// may not be seen there. An upload session that a crash left behind blocks its name for a day.
func (n *names) refuse(folder onedrive.Ref, name, id string) {
	if n.reserve(folder, name, id) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.owner[nameKey(folder, name)] = "refused"
	}
}

// share notes that a transfer which replaces what is there uses a name that another has: from then on
// nobody has it alone.
func (n *names) share(folder onedrive.Ref, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.owner[nameKey(folder, name)] = "shared"
}

// alone reports whether the name is transfer id's and nobody else's.
func (n *names) alone(folder onedrive.Ref, name, id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.owner[nameKey(folder, name)] == id
}

// release gives all names of transfer id away.
func (n *names) release(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key := range n.of[id] {
		delete(n.owner, key)
	}
	delete(n.of, id)
}

// from is the first number worth trying for a name: numbers below were seen taken.
func (n *names) from(folder onedrive.Ref, wanted string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(1, n.next[nameKey(folder, wanted)])
}

// taken notes that the number is in use, so that the hundredth "image.jpg" does not ask a hundred times.
// Below the second number nothing is noted: a name that was removed is free again.
func (n *names) taken(folder onedrive.Ref, wanted string, number int) {
	if number < 3 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil || len(n.next) >= maxRemember {
		n.next = map[string]int{}
	}
	n.next[nameKey(folder, wanted)] = number - 1
}

// sums are the running hashes of files that are being sent, for a transfer that goes on after its source dropped.
type sums struct {
	mu sync.Mutex
	at map[string]sum
}

type sum struct {
	hash hash.Hash
	next int64 // bytes hashed
}

// take gives the hash of the bytes before offset, or nil when they were not seen by this process.
func (s *sums) take(id string, offset int64) hash.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	if offset == 0 {
		return onedrive.QuickXor()
	}
	if had, ok := s.at[id]; ok && had.next == offset {
		return had.hash
	}
	return nil
}

func (s *sums) put(id string, h hash.Hash, next int64) {
	if h == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]sum{}
	}
	s.at[id] = sum{h, next}
}

func (s *sums) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, id)
}

// locks let one caller at a time work on a transfer's bytes.
type locks struct {
	mu   sync.Mutex
	held map[string]bool
}

func (l *locks) take(key string) (release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key] {
		return nil, false
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	l.held[key] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, key)
	}, true
}
