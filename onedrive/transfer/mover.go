package transfer

import (
	"context"
	"errors"
	"time"

	"skylift/onedrive"
)

// Phase is where in its route a transfer stands; a restart goes on from here.
type Phase string

// The phases, in the order in which a transfer can pass through them.
const (
	Choosing  Phase = ""          // which route, which name
	Posting   Phase = "posting"   // the native POST may or may not have reached Microsoft: look before repeating it
	Polling   Phase = "polling"   // the monitor is known
	Sending   Phase = "sending"   // bytes go from us to OneDrive
	Verifying Phase = "verifying" // the item is looked up
)

// Work is what a transfer needs to go on after a restart. None of it is shown to anybody.
type Work struct {
	Phase        Phase              `json:"phase,omitempty" cbor:"1,keyasint,omitempty"`
	Monitor      onedrive.SecretURL `json:"monitor,omitempty" cbor:"2,keyasint,omitempty"`       // secret: sealed by the store
	UploadURL    onedrive.SecretURL `json:"uploadUrl,omitempty" cbor:"3,keyasint,omitempty"`     // secret: sealed by the store
	SessionEnds  time.Time          `json:"sessionEnds,omitzero" cbor:"4,keyasint,omitzero"`     // the upload session's expirationDateTime
	SourceETag   string             `json:"sourceETag,omitempty" cbor:"5,keyasint,omitempty"`    // strong validator for Range resume
	PostedAt     time.Time          `json:"postedAt,omitzero" cbor:"6,keyasint,omitzero"`        // just before the native POST
	LastSign     time.Time          `json:"lastSign,omitzero" cbor:"7,keyasint,omitzero"`        // the last sign of life of a native transfer
	Errors       int                `json:"errors,omitempty" cbor:"8,keyasint,omitempty"`        // transient errors in a row
	Lost         int                `json:"lost,omitempty" cbor:"9,keyasint,omitempty"`          // how often in a row OneDrive lost what it was sent
	Full         int                `json:"full,omitempty" cbor:"10,keyasint,omitempty"`         // how often OneDrive had no room
	NativeFailed bool               `json:"nativeFailed,omitempty" cbor:"11,keyasint,omitempty"` // native was tried and left
	ItemID       string             `json:"itemId,omitempty" cbor:"12,keyasint,omitempty"`       // what is to be verified
	ETagBefore   string             `json:"eTagBefore,omitempty" cbor:"13,keyasint,omitempty"`   // of the file that replace will replace
	SumBefore    string             `json:"sumBefore,omitempty" cbor:"23,keyasint,omitempty"`    // its QuickXorHash
	Sum          string             `json:"sum,omitempty" cbor:"14,keyasint,omitempty"`          // QuickXorHash of what was sent, if that was known before
	Answer       string             `json:"answer,omitempty" cbor:"24,keyasint,omitempty"`       // how OneDrive's own answer to the last byte was
	Looks        int                `json:"looks,omitempty" cbor:"25,keyasint,omitempty"`        // how often in a row what was saved was not seen
	Best         int64              `json:"best,omitempty" cbor:"15,keyasint,omitempty"`         // the most bytes of the file that OneDrive ever had
	Wanted       string             `json:"wanted,omitempty" cbor:"16,keyasint,omitempty"`       // the name before a number was put to it
	Short        bool               `json:"short,omitempty" cbor:"22,keyasint,omitempty"`        // the folder's path leaves room for a short name only
	NativeStatus string             `json:"nativeStatus,omitempty" cbor:"17,keyasint,omitempty"` // the monitor's last word: a new one is a sign of life
	FindFolder   bool               `json:"findFolder,omitempty" cbor:"18,keyasint,omitempty"`   // the target was taken unseen: look it up first
	Taker        string             `json:"taker,omitempty" cbor:"19,keyasint,omitempty"`        // the instance at which a request brings a client's bytes
	Taken        time.Time          `json:"taken,omitzero" cbor:"20,keyasint,omitzero"`          // until then it is believed to
	Inline       []byte             `json:"inline,omitempty" cbor:"21,keyasint,omitempty"`       // the bytes of a data: URL, at most MaxInline; gone once saved
	LeaveBy      time.Time          `json:"leaveBy,omitzero" cbor:"27,keyasint,omitzero"`        // until then a cancelled transfer is cleaned up after; zero: nothing is left to do
	Removed      bool               `json:"removed,omitempty" cbor:"28,keyasint,omitempty"`      // it is off the list, and only that is left
	Spent        bool               `json:"spent,omitempty" cbor:"26,keyasint,omitempty"`        // those bytes went without being saved: there is nothing to begin anew with
}

// Adaptive as Next.After lets the runner choose: 250 ms at first, longer as the transfer grows
// older, 5 s at most, with jitter. It is how a monitor is polled that asks for nothing else.
const Adaptive time.Duration = -1

// Unsaid as Next.Throttled is what Microsoft asks for when it says "too many" and not how long to wait.
const Unsaid time.Duration = -1

// The causes of a Step's context that ended (context.Cause).
var (
	ErrCancelled = errors.New("cancelled by the user")
	ErrStopping  = errors.New("this instance hands its transfers over")
	ErrLost      = errors.New("another instance has adopted the transfer")
)

// Next is what a Step asks of the runner when the transfer is not final.
type Next struct {
	After     time.Duration // when to step again; 0: at once; Adaptive: by age
	Throttled time.Duration // > 0: the whole account waits this long; Unsaid: longer each time in a row
	Park      bool          // State is Waiting: step again at Transfer.Due, or when Runner.Wake says that the reason is gone
}

// Mover takes one transfer through its steps. Saver is the real one.
//
// Bytes are streamed only by a Step that began with Route Relay: those run in a lane of their own,
// few at a time for each account and source host. A Step that finds that the relay is needed sets
// the route and returns Next{}.
type Mover interface {
	// Step does the next piece of work for t and changes t. It calls keep to store t before
	// anything that must not be forgotten (the monitor or upload URL), and progress to show a
	// change that need not survive a restart. The runner stores t once more when Step returns.
	// An error is one that Step could not map to a state: the runner retries within a budget.
	// Step returns soon after ctx ends.
	Step(ctx context.Context, t *Transfer, keep func() error, progress func()) (Next, error)

	// Abandon does the next piece of cleaning up after a cancelled transfer, which may be off the list by
	// then, and says when to go on; Next{} is that nothing is left to do. keep is Step's: that it fails
	// tells that the transfer has begun anew.
	Abandon(ctx context.Context, t *Transfer, keep func() error) (Next, error)
}

// Recaller is a Mover that has to know what an earlier life or another instance has begun, such as
// the names that are taken. Recall is called for each transfer that is taken up, and for all of an
// account's before the first of them makes a step.
type Recaller interface {
	Recall(t *Transfer)
}
