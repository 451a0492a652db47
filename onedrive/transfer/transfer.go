// Package transfer saves things from the web into OneDrive: what a transfer is, how its
// record is kept, who runs it, and each step that it takes.
package transfer

import (
	"net/url"
	"strings"
	"time"

	"skylift/onedrive"
)

// State is how far a transfer has come. Its words are those of the JSON API.
type State string

// The six states; the last three are final.
const (
	NotStarted State = "notStarted" // accepted and stored; nothing sent to Microsoft yet
	InProgress State = "inProgress" // Microsoft or we are moving it
	Waiting    State = "waiting"    // parked for Reason; goes on by itself
	Completed  State = "completed"  // the DriveItem was looked up and is what was asked for
	Failed     State = "failed"     // Failure says why
	Cancelled  State = "cancelled"  // by the user
)

// Final reports whether the transfer will never change again by itself.
func (s State) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Route is who moves the bytes.
type Route string

// The three routes.
const (
	Native Route = "native" // OneDrive fetches the URL itself
	Relay  Route = "relay"  // our server streams source to OneDrive
	Upload Route = "upload" // the client holds the bytes
)

// Reason is why a transfer waits.
type Reason string

// The reasons that people see.
const (
	Throttled      Reason = "throttled"      // Microsoft asked us to slow down
	SignInRequired Reason = "signInRequired" // the refresh token is gone
	OneDriveFull   Reason = "oneDriveFull"   // no room left
	Offline        Reason = "offline"        // Microsoft or the source cannot be reached
	ClientBytes    Reason = "clientBytes"    // an upload whose bytes the client has not sent yet
	Locked         Reason = "locked"         // OneDrive holds a lock on the file
)

// Folder is the target of a transfer as people know it.
type Folder struct {
	DriveID string `json:"driveId" cbor:"1,keyasint,omitempty"`
	ID      string `json:"id" cbor:"2,keyasint,omitempty"`
	Name    string `json:"name" cbor:"3,keyasint,omitempty"`
	Path    string `json:"path" cbor:"4,keyasint,omitempty"`
}

// Ref is the folder's address for the Graph client.
func (f Folder) Ref() onedrive.Ref { return onedrive.Ref{DriveID: f.DriveID, ID: f.ID} }

// FolderOf names a DriveItem that is a folder; for a shortcut, the folder that it points at.
func FolderOf(item onedrive.DriveItem) Folder {
	ref := item.Ref()
	f := Folder{DriveID: ref.DriveID, ID: ref.ID, Name: item.Name, Path: pathOf(item)}
	if item.Root != nil {
		f.Name, f.Path = "OneDrive", "/"
	}
	return f
}

// pathOf is where an item lies, from the top of its drive: "/Pictures/Cats".
func pathOf(item onedrive.DriveItem) string {
	_, parent, found := strings.Cut(item.ParentReference.Path, "root:")
	if !found {
		return "/" + item.Name
	}
	if plain, err := url.PathUnescape(parent); err == nil {
		parent = plain
	}
	return strings.TrimSuffix(parent, "/") + "/" + item.Name
}

// Item is the finished file.
type Item struct {
	DriveID string `json:"driveId" cbor:"1,keyasint,omitempty"`
	ID      string `json:"id" cbor:"2,keyasint,omitempty"`
	Name    string `json:"name" cbor:"3,keyasint,omitempty"`
	Size    int64  `json:"size" cbor:"4,keyasint,omitempty"`
	WebURL  string `json:"webUrl" cbor:"5,keyasint,omitempty"`
	ETag    string `json:"eTag,omitempty" cbor:"6,keyasint,omitempty"` // as it was when we verified it: undo removes nothing that changed since
	Sum     string `json:"sum,omitempty" cbor:"7,keyasint,omitempty"`  // QuickXorHash, likewise
}

// Failure is why a transfer failed: a stable code of the API; the words for people are made from it elsewhere.
type Failure struct {
	Code   string `json:"code" cbor:"1,keyasint,omitempty"`
	Detail string `json:"detail,omitempty" cbor:"2,keyasint,omitempty"` // a number, a type, a host or a request id: never a secret, never text from below
}

// Transfer is one thing being saved: the record that the store keeps.
type Transfer struct {
	Version int    `json:"v" cbor:"1,keyasint,omitempty"` // of this record's layout
	ID      string `json:"id" cbor:"2,keyasint,omitempty"`
	Owner   string `json:"owner" cbor:"3,keyasint,omitempty"` // auth.User.ID

	State       State    `json:"state" cbor:"4,keyasint,omitempty"`
	Route       Route    `json:"route" cbor:"5,keyasint,omitempty"`
	RouteReason string   `json:"routeReason,omitempty" cbor:"6,keyasint,omitempty"` // code of why the first route was left: nativeRefused, nativeFailed, nativeStalled, nativeEmpty, workAccount …
	Reason      Reason   `json:"reason,omitempty" cbor:"7,keyasint,omitempty"`
	Failure     *Failure `json:"failure,omitempty" cbor:"8,keyasint,omitempty"`
	Attempts    int      `json:"attempts" cbor:"9,keyasint,omitempty"`
	Batch       string   `json:"batch,omitempty" cbor:"10,keyasint,omitempty"` // those that were submitted together; inside it the small ones go first

	SourceURL        string                    `json:"sourceUrl,omitempty" cbor:"11,keyasint,omitempty"` // empty for an upload without one
	PageURL          string                    `json:"pageUrl,omitempty" cbor:"12,keyasint,omitempty"`
	PageTitle        string                    `json:"pageTitle,omitempty" cbor:"13,keyasint,omitempty"`
	AltText          string                    `json:"altText,omitempty" cbor:"14,keyasint,omitempty"`
	Name             string                    `json:"name" cbor:"15,keyasint,omitempty"`
	NameGiven        bool                      `json:"nameGiven,omitempty" cbor:"16,keyasint,omitempty"` // the person chose Name: only made safe, never improved
	Folder           Folder                    `json:"folder" cbor:"17,keyasint,omitempty"`
	ConflictBehavior onedrive.ConflictBehavior `json:"conflictBehavior" cbor:"18,keyasint,omitempty"`
	ContentType      string                    `json:"contentType,omitempty" cbor:"19,keyasint,omitempty"`

	Percent          *float64 `json:"percent,omitempty" cbor:"20,keyasint,omitempty"` // 0-100, nil when nobody knows
	BytesTransferred *int64   `json:"bytesTransferred,omitempty" cbor:"21,keyasint,omitempty"`
	Size             *int64   `json:"size,omitempty" cbor:"22,keyasint,omitempty"` // bytes, nil when unknown
	Item             *Item    `json:"item,omitempty" cbor:"23,keyasint,omitempty"`
	Leftover         Leftover `json:"leftover,omitempty" cbor:"29,keyasint,omitempty"` // of a cancelled one

	Created  time.Time `json:"created" cbor:"24,keyasint,omitzero"`
	Started  time.Time `json:"started,omitzero" cbor:"28,keyasint,omitzero"` // when it was created or last begun anew; zero in older records
	Modified time.Time `json:"modified" cbor:"25,keyasint,omitzero"`
	Due      time.Time `json:"due,omitzero" cbor:"26,keyasint,omitzero"` // when a waiting transfer goes on, if a time is known

	Work Work `json:"work,omitzero" cbor:"27,keyasint,omitzero"`

	// Revision is the store's sequence number of this record; 0 before it is stored.
	Revision uint64 `json:"-" cbor:"-"`
}

// spend lets go of the bytes in the record.
func (t *Transfer) spend() {
	if len(t.Work.Inline) == 0 {
		return
	}
	t.Work.Inline, t.Work.Spent = nil, t.Route != Upload // an upload's bytes are the client's
}

// fresh is the work of t from the start. A session that it has is dropped first.
func (t *Transfer) fresh() Work {
	return Work{Inline: t.Work.Inline, FindFolder: t.Work.FindFolder, UploadURL: t.Work.UploadURL}
}

// restart makes a final transfer begin anew.
func (t *Transfer) restart(now time.Time) {
	again := t.fresh()
	t.State, t.Reason, t.Failure, t.Percent, t.BytesTransferred, t.Item = NotStarted, "", nil, nil, nil, nil
	t.Due, t.Started, t.Modified = time.Time{}, now, now
	t.Attempts++
	if t.Route != Upload {
		t.Route, t.RouteReason = "", ""
	}
	if t.Leftover == MayArrive {
		t.State, t.Route, again = InProgress, Native, t.Work.resumed(now)
	}
	t.Leftover, t.Work = "", again
}

// age is how long the transfer has been trying, since it was begun anew if it was.
func (t *Transfer) age(now time.Time) time.Duration {
	if t.Started.IsZero() {
		return now.Sub(t.Created)
	}
	return now.Sub(t.Started)
}
