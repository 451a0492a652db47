package fakegraph

import (
	"strings"
	"time"
)

// Conduct is how one account's drive behaves. The zero value is a healthy drive; tests change it
// by SetConduct, people by the dials of /control.
type Conduct struct {
	// Temper of upload-from-URL: "legacy", "retired", "retired202", "retired201",
	// "retiredNoLocation" or "unsupported" (microsoft.md §0, §1.5).
	Temper string
	// RefusalStatus and RefusalCode are how a retired or unsupported temper says no; 0 and "" are
	// 400 notSupported for personal drives and 409 notAllowed for business (the wire answer is
	// not documented; microsoft.md §0 lists what is possible).
	RefusalStatus int
	RefusalCode   string
	// Completion and Failure are the shapes of a monitor's last answer (microsoft.md §2.3, §2.4);
	// see Completions and Failures. Empty is 303 and 500.
	Completion, Failure string
	// Alive is the shape of a running monitor's answer; see Alives. Empty is 202.
	Alive string
	// NativeConflict is what upload-from-URL does with a taken name: "replace" (what users
	// report, whatever was asked; the default), "fail" (the monitor fails) or "honour"
	// (microsoft.md §1.4).
	NativeConflict string
	// Slow is how many bytes a second an upload-from-URL moves; 0 is as fast as it can.
	Slow int64
	// Stuck keeps monitors at 0 % until it is turned off; after an hour they are forgotten.
	Stuck bool
	// MonitorLost makes every monitor answer 404 once its transfer has started, and the transfer
	// goes nowhere.
	MonitorLost bool
	// Vanish ends transfers as completed without a file (accepted, never arrived; OAD#660).
	Vanish bool
	// NativeCut is how many bytes of a source upload-from-URL saves before it says completed; 0 is all.
	NativeCut int64
	// Full lets no more bytes in: 507 (microsoft.md §3.5).
	Full bool
	// Throttled answers every Graph call of the account with 429 and RetryAfter.
	Throttled bool
	// RetryAfter is what a throttled call is told to wait; 0 is 2 seconds, negative sends none.
	RetryAfter time.Duration
	// UnitsPerMinute is the budget of resource units; near its end come RateLimit headers, beyond
	// it 429 (microsoft.md §5.1). 0 is no limit.
	UnitsPerMinute int
	// Locked names files (by their name) that are checked out elsewhere: changing them is 423.
	Locked string
	// NoDrive is a work account without OneDrive (microsoft.md §3.5).
	NoDrive bool
	// HideQuota is how the quota is kept from apps; see HiddenQuotas. Empty tells it (microsoft.md §3.5).
	HideQuota string
	// Quota is the drive's size, 0 the usual.
	Quota int64
	// ScopeRefusal is the status that the account gets for drives of others without the permission: 403
	// (also 0), 404 or 401.
	ScopeRefusal int
	// FullPages leaves out the empty page that a listing of several pages otherwise contains
	// (microsoft.md §3.1).
	FullPages bool
	// PutLimit is the largest simple PUT in bytes; 0 is 250 MB, the current page; for years it
	// was 4 MB (microsoft.md §4.1).
	PutLimit int64
	// Conflict is where an upload session tells first that its name is taken; see Conflicts. Empty is
	// when it is made. A name that is taken later shows at the last fragment (microsoft.md §4.4).
	Conflict string
	// Missing is how an upload session tells what it still wants; see Missings. Empty is one
	// open range (microsoft.md §4.4).
	Missing string
	// Enrich changes Office, PDF and HTML files as they are stored, and with them size and hashes, as
	// SharePoint does: on from the start for work drives (rclone's page on OneDrive; OAD#935).
	Enrich bool
	// LateMetadata is how long after a picture was stored its image and photo facets come, with a new
	// eTag and cTag: some seconds, from the start (a Microsoft engineer in OAD#308, OAD#392). 0 is at once.
	LateMetadata time.Duration
	// KeepPartial keeps what came of a fragment that broke off, although Microsoft's page says that it is
	// discarded as a whole: the next byte that is wanted then lies anywhere.
	KeepPartial bool
	// CommitTakes lets a complete upload session take so long to become a file. The last fragment is
	// answered with 504, and the session then misses nothing until the file is there and it is gone.
	CommitTakes time.Duration
	// ForeignID names the item in the answer to an upload by an id that Graph itself does not take: 400
	// (the shapes of ids differ between the hosts; microsoft.md §3.3).
	ForeignID bool
	// Lag is how far reads of items and of folders are behind: they show the drive as it was so long ago
	// (RCL's "eventual consistency", microsoft.md §4.4). Writes never are.
	Lag time.Duration
	// UploadExpires is how long an upload session lives; 0 is a day. TokenExpires is when the key
	// in its address dies, with 403 (microsoft.md §4.4); 0 is as late as the session.
	UploadExpires, TokenExpires time.Duration
	// MaxItems and KeepBytes bound the memory of the account; 0 is the default of the package.
	MaxItems  int
	KeepBytes int64
	// Lies puts this address into every monitor Location, uploadUrl and nextLink, as a hostile
	// or broken service would (security.md T7).
	Lies string
}

// Completions are the shapes of a finished monitor (microsoft.md §2.4, §1.6).
var Completions = []string{
	"303", "303body", "303empty", "302", "202", "200", "200upper", "200text", "200item", "200operation",
}

// Failures are the shapes of a failed monitor (microsoft.md §2.3, §2.4).
var Failures = []string{
	"500", "200", "202", "202operation", "envelope", "500empty", "500html", "errorCode", "500operationNotFound", "404operationNotFound",
	"cancelled", "deleteFailed",
}

// Alives are the shapes of a running monitor (microsoft.md §2.2, §2.4).
var Alives = []string{"202", "200", "text", "waiting", "updating", "unknown"}

// Missings are the shapes of nextExpectedRanges: open at the end, closed, and several of which the
// last is not told, as Microsoft's page warns: the list won't always show all that is missing.
var Missings = []string{"open", "closed", "pieces"}

// HiddenQuotas are the ways to keep the quota from apps: no facet, one of zeros, and one that leaves out
// what remains.
var HiddenQuotas = []string{"absent", "zeros", "noRemaining"}

// Conflicts are the steps of an upload at which users saw a taken name refused.
var Conflicts = []string{"creation", "first", "last"}

// Tempers are the ways of upload-from-URL.
var Tempers = []string{"legacy", "retired", "retired202", "retired201", "retiredNoLocation", "unsupported"}

// conductOf is how an account's drive starts out.
func conductOf(a *Account) Conduct {
	c := Conduct{Temper: a.Temper, Enrich: kindOf(a) == business, LateMetadata: 5 * time.Second}
	if c.Temper == "" {
		c.Temper = "legacy"
		if kindOf(a) == business {
			c.Temper = "unsupported"
		}
	}
	return c
}

// SetConduct changes how an account's drive behaves; unknown accounts are ignored.
func (s *Server) SetConduct(login string, change func(*Conduct)) {
	d := s.driveOf(s.account(login))
	if d == nil {
		return
	}
	d.mu.Lock()
	change(&d.conduct)
	d.mu.Unlock()
	s.stirred()
}

// ConductOf is how an account's drive behaves.
func (s *Server) ConductOf(login string) Conduct {
	d := s.driveOf(s.account(login))
	if d == nil {
		return Conduct{}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.conduct
}

// locked reports whether it is checked out (423).
func (d *drive) locked(it *item) bool {
	return d.conduct.Locked != "" && strings.EqualFold(it.name, d.conduct.Locked)
}
