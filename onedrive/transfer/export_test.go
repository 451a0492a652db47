package transfer

import (
	"syscall"
	"time"
)

// At sets what tests do at each named point of the work.
func (o StoreOptions) At(at func(point string)) StoreOptions {
	o.at = at
	return o
}

// Shared is for a store that is not the only one on its server.
func (o StoreOptions) Shared() StoreOptions {
	o.shared = true
	return o
}

// ShortLease makes orphans be adopted after ttl.
func (o RunnerOptions) ShortLease(ttl time.Duration) RunnerOptions {
	o.lease = leaseTimes{ttl: ttl, hold: ttl * 5 / 6, renew: ttl / 3, look: ttl / 15, reconcile: 2 * ttl, foreign: ttl}
	return o
}

// ShortTurns ends the turns of relays early.
func (o RunnerOptions) ShortTurns(slow, long time.Duration) RunnerOptions {
	o.turns = turnTimes{slow: slow, long: long, look: slow / 4}
	return o
}

// Differs and the codec are tested by tables of their own.
var Differs = differs

func Decode(s Sealer, owner, id string, data []byte) (Transfer, error) {
	return newCodec(s).decode(owner, id, data)
}

func Encode(s Sealer, t *Transfer) ([]byte, error) { return newCodec(s).encode(t) }

// Forget lets go of the files that tests save: a measurement's memory is its own.
func Forget() { large, larger, middle, sourceKinds = nil, nil, nil, nil }

// WakeHere is Wake without the word to other instances, which comes back to this one a little later.
func (r *Runner) WakeHere(owner string, reasons ...Reason) { r.wake(owner, reasons) }

// ReceiveBuffer bounds what the system keeps of a source that nobody has read yet.
func (s *Source) ReceiveBuffer(bytes int) {
	s.guard.open.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes) })
	}
}

// Key is a transfer's key in the store.
var Key = transferKey
