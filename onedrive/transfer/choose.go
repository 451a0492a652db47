package transfer

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"skylift/onedrive"
)

// maxNative is what OneDrive was reported to fetch at most (microsoft.md §1.5).
const maxNative = 50 << 20

// Codes of why a route was chosen or left; they stand in Transfer.RouteReason.
const (
	reasonNever     = "nativeOff"       // SKYLIFT_NATIVE=never
	reasonWork      = "workAccount"     // only personal drives fetch URLs
	reasonRefused   = "nativeRefused"   // this account's OneDrive does not fetch URLs
	reasonHost      = "nativeHost"      // OneDrive could not fetch from this host lately
	reasonLarge     = "tooLargeNative"  // beyond what OneDrive fetches
	reasonUnsized   = "sizeUnknown"     // nobody says beforehand whether that is beyond it
	reasonReferer   = "needsReferer"    // the source wants to know the page
	reasonPage      = "looksLikeAPage"  // the bytes have to be seen
	reasonInline    = "dataUrl"         // the address holds the bytes
	reasonFailed    = "nativeFailed"    // OneDrive tried and failed
	reasonStalled   = "nativeStalled"   // OneDrive showed no sign of life
	reasonEmpty     = "nativeEmpty"     // OneDrive made an empty file
	reasonMismatch  = "nativeMismatch"  // OneDrive saved something else
	reasonForgotten = "nativeForgotten" // OneDrive no longer knows the job, and there is no file
)

// facts are all that decides the first route.
type facts struct {
	mode      string // SKYLIFT_NATIVE
	inline    bool
	personal  bool
	failed    bool  // native was tried for this transfer
	refused   bool  // ... and refused for this account lately
	badHost   bool  // ... and failed for this host lately
	size      int64 // -1: unknown
	asked     bool  // the source was asked for it
	needsPage bool  // only a request with Referer is answered
	page      bool  // the answer looks like a web page or a stand-in
}

// plan decides the route by facts, and says why when it is not native.
func plan(f facts) (Route, string) {
	always := f.mode == "always"
	switch {
	case f.inline:
		return Relay, reasonInline
	case f.mode == "never":
		return Relay, reasonNever
	case !f.personal:
		return Relay, reasonWork
	case f.failed:
		return Relay, reasonFailed
	case f.needsPage:
		return Relay, reasonReferer
	case f.page:
		return Relay, reasonPage
	case f.refused && !always:
		return Relay, reasonRefused
	case f.badHost && !always:
		return Relay, reasonHost
	case f.size > maxNative && !always:
		return Relay, reasonLarge
	case f.asked && f.size < 0 && !always:
		return Relay, reasonUnsized // what OneDrive saves of it could not be held against anything
	}
	return Native, ""
}

// What is known of an account's native route: the words of the API's /me.
const (
	NativeAvailable   = "available"
	NativeUnavailable = "unavailable"
	NativeUnknown     = "unknown"
)

// NativeState says whether OneDrive fetches URLs for owner, as far as was seen lately. That the
// drive is a personal one is the caller's to know.
func (s *Saver) NativeState(ctx context.Context, owner string) string {
	if s.opt.Native == "never" {
		return NativeUnavailable
	}
	if until, err := s.opt.Memory.Refused(ctx, owner); err == nil && s.opt.Now().Before(until) {
		return NativeUnavailable
	}
	if worked, err := s.opt.Memory.Worked(ctx, owner); err == nil && worked {
		return NativeAvailable
	}
	return NativeUnknown
}

// choose decides the first route. For the native one the source is asked what it has, so that the
// name, the size and dead links are known before OneDrive is asked for anything.
func (r *saving) choose(ctx context.Context) (Next, error) {
	t := r.t
	if t.Work.Wanted == "" {
		t.Work.Wanted = t.Name
	}
	f := facts{mode: r.s.opt.Native, inline: len(t.Work.Inline) > 0, failed: t.Work.NativeFailed, size: -1}
	if f.inline {
		return r.toRelay(reasonInline)
	}
	u, err := ParseSourceURL(t.SourceURL)
	if err != nil || r.s.opt.Source.Check(u) != nil {
		return r.fail(ctx, codeSourceRefused, "")
	}
	drive, err := r.s.drives.get(ctx, r, false)
	switch {
	case err == nil:
		f.personal = drive.Personal()
	case errors.Is(err, onedrive.ErrAccessDenied), errors.Is(err, onedrive.ErrNotFound):
		// Somebody else's drive: the folder in it may be open to us all the same.
	default:
		return r.trouble(ctx, err)
	}
	until, err := r.s.opt.Memory.Refused(ctx, t.Owner)
	if err != nil {
		r.s.opt.Log.Warn("native memory", "err", err)
	}
	f.refused, f.badHost = r.s.opt.Now().Before(until), r.s.hosts.bad(u, r.s.opt.Now())
	if t.Size != nil {
		f.size = *t.Size
	}
	if route, why := plan(f); route == Relay {
		return r.toRelay(why)
	}
	res, err := r.ask(ctx, u, &f)
	if err != nil {
		return r.trouble(ctx, err)
	}
	if route, why := plan(f); route == Relay {
		return r.toRelay(why)
	}
	return r.native(ctx, u, res)
}

// ask probes the source without Referer, as OneDrive will fetch it, and adds to the facts.
func (r *saving) ask(ctx context.Context, u *url.URL, f *facts) (*resource, error) {
	res, _, err := r.s.opt.Source.probe(ctx, visit{url: u, owner: r.t.Owner}, false)
	var bad *SourceError
	if errors.As(err, &bad) && (bad.Code == codeSourceUnauthorized || bad.Code == codeSourceNotFound && r.t.PageURL != "") {
		f.needsPage = true // perhaps; the relay asks with it and knows
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := kindOfType(res.contentType)
	if name := cmpOr(nameFromDisposition(res.disposition), nameFromURL(res.url)); k.unsure(extension(name)) || res.size < 0 {
		// The name depends on what the file really is, and only its first bytes tell; an answer to HEAD
		// may leave the length out.
		if again, head, err := r.s.opt.Source.probe(ctx, visit{url: u, owner: r.t.Owner}, true); err == nil {
			res, k = again, sniff(head, again.contentType)
			res.seen, res.contentType = k, k.mime
		}
	}
	f.page = k.page() && !pageWanted(r.t, res.disposition, u) || standIn(u, res, k, nil)
	f.page = f.page || res.size == 0 // empty, or an answer to HEAD that says nothing: the bytes have to be seen
	f.size, f.asked = res.size, true
	return res, nil
}

// toRelay makes the relay the transfer's route.
func (r *saving) toRelay(why string) (Next, error) {
	t := r.t
	t.Route, t.RouteReason, t.Percent = Relay, why, nil
	t.Work.Phase, t.Work.Errors = Sending, 0
	return Next{}, nil
}

// claimName finds the name under which the file is saved and keeps it from the other transfers of
// this process. The meaning of the behaviour is ours and the same on each route, because OneDrive's
// own differs (microsoft.md §1.4): rename takes the first free number, fail gives
// onedrive.ErrNameExists, replace remembers the version that will go. Names that look unused are
// only as good as the moment, so what is sent says fail, too.
func (r *saving) claimName(ctx context.Context, wanted string, look bool) (string, error) {
	t := r.t
	folder, place := t.Folder.Ref(), t.place()
	if t.Work.Short {
		wanted = onedrive.ShortName(wanted)
	}
	for n := r.s.names.from(place, wanted); n < 10000; n++ {
		name := onedrive.NumberedName(wanted, n)
		if !r.s.names.reserve(place, name, t.ID) {
			if t.ConflictBehavior == onedrive.Rename {
				continue
			}
			if t.ConflictBehavior == onedrive.Fail {
				return "", onedrive.ErrNameExists
			}
			r.s.names.share(place, name)
		}
		if !look {
			return name, nil
		}
		item, err := r.client.Child(ctx, folder, name)
		switch {
		case errors.Is(err, onedrive.ErrNotFound):
			t.Work.ETagBefore, t.Work.SumBefore = "", ""
			return name, nil
		case err != nil:
			return "", err
		case t.ConflictBehavior == onedrive.Fail, t.ConflictBehavior == onedrive.Replace && item.IsFolder():
			return "", onedrive.ErrNameExists
		case t.ConflictBehavior == onedrive.Replace:
			t.Work.ETagBefore, t.Work.SumBefore = item.ETag, sumOf(item)
			return name, nil
		}
		r.s.names.releaseName(place, name, t.ID)
		if n >= leapFrom {
			if n, err = r.lastTaken(ctx, wanted, n); err != nil {
				return "", err
			}
		}
		r.s.names.taken(place, wanted, n)
	}
	return "", onedrive.ErrNameExists
}

// leapFrom is the number from which names are not tried one by one.
const leapFrom = 8

// lastTaken finds a number from n on that is taken while the next is free: a folder may hold a
// thousand pictures of one name, and after a start nobody remembers how many.
func (r *saving) lastTaken(ctx context.Context, wanted string, n int) (int, error) {
	free := 0 // none known
	for free == 0 || n+1 < free {
		middle := min(2*n, 9999)
		if free > 0 {
			middle = (n + free) / 2
		}
		_, err := r.client.Child(ctx, r.t.Folder.Ref(), onedrive.NumberedName(wanted, middle))
		switch {
		case errors.Is(err, onedrive.ErrNotFound):
			free = middle
		case err != nil:
			return 0, err
		case middle == n:
			return n, nil // the last that there can be
		default:
			n = middle
		}
	}
	return n, nil
}

// sent is the behaviour that goes with the request: rename is done by us, so a name that was taken
// meanwhile is an answer to hear, not a surprise.
func (t *Transfer) sent() onedrive.ConflictBehavior {
	if t.ConflictBehavior == onedrive.Replace {
		return onedrive.Replace
	}
	return onedrive.Fail
}

// tried reports whether something went wrong before, so that OneDrive may have more than we know of.
func (t *Transfer) tried() bool { return t.Work.Errors+t.Work.Lost > 0 }

// clockSkew is how far Microsoft's clock and ours may be apart.
const clockSkew = 5 * time.Minute

// lookForOurs looks for the file that this transfer may have made without our hearing of it: of its
// name, its size if that is known, its hash if both are known, and made or changed since PostedAt.
func (r *saving) lookForOurs(ctx context.Context, sum string) (onedrive.DriveItem, bool, error) {
	t := r.t
	sum = cmpOr(sum, t.Work.Sum)
	item, err := r.client.Child(ctx, t.Folder.Ref(), t.Name)
	if errors.Is(err, onedrive.ErrNotFound) {
		return item, false, nil
	}
	if err != nil {
		return item, false, err
	}
	return item, ours(t, item, sum), nil
}

func ours(t *Transfer, item onedrive.DriveItem, sum string) bool {
	since := t.Work.PostedAt.Add(-clockSkew)
	changed := item.CreatedDateTime
	if t.Work.ETagBefore != "" {
		changed = item.LastModifiedDateTime
	}
	hash := sumOf(item)
	switch {
	case t.Work.PostedAt.IsZero(), item.File == nil, item.Size == 0:
		return false
	case !changed.IsZero() && changed.Before(since):
		return false
	case t.Work.ETagBefore != "" && !replaced(t, item) && (sum == "" || hash == "" || rewritten(item)):
		return false // nothing tells it from the file that was there before
	case rewritten(item):
		return true // the name was looked at before and was free
	case t.Size != nil && item.Size != *t.Size:
		return false
	}
	return sum == "" || hash == "" || strings.EqualFold(hash, sum)
}

// replaced reports a file that holds something else than before. The eTag does not tell: OneDrive
// changes it some time after a file was stored, by its work in the background (onedrive-api-docs#308).
func replaced(t *Transfer, item onedrive.DriveItem) bool {
	before, hash := t.Work.SumBefore, sumOf(item)
	return item.ETag != t.Work.ETagBefore && before != "" && hash != "" && !strings.EqualFold(hash, before)
}
