package transfer

import (
	"context"
	"errors"
	"fmt"
)

// ErrTooMany means that a person has as many transfers as one may have: others are to find room too.
var ErrTooMany = errors.New("too many transfers of one person")

// What one person may have, unless StoreOptions say otherwise. All that is on the list counts as
// bytes, since it takes its place until it goes.
const (
	maxUnfinished = 10_000
	maxRecords    = 256 << 20
)

// share is what a person may still add.
type share struct {
	transfers int
	bytes     int64
}

// share is what is left of owner's. What an index has not read yet does not count: soon it will.
func (s *Store) share(ctx context.Context, owner string) (share, error) {
	if !validOwner(owner) {
		return share{}, fmt.Errorf("owner %q cannot be a key", owner)
	}
	left := share{s.opt.MaxUnfinished, s.opt.MaxRecords}
	if s.opt.Space != nil {
		if err := s.opt.Space(); err != nil {
			return left, fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	x, err := s.indexOf(ctx, owner)
	if err != nil {
		return left, nil // whether the store takes anything is for the write to find out
	}
	s.readOn(x, owner)
	x.mu.Lock()
	defer x.mu.Unlock()
	left.transfers -= x.load.unfinished
	left.bytes -= x.load.blocks * blockSize
	return left, nil
}

// take has t's part of what is left, or gives ErrTooMany.
func (l *share) take(t *Transfer) error {
	l.transfers--
	l.bytes -= int64(len(t.Work.Inline)) + blockSize
	if l.transfers < 0 || l.bytes < 0 {
		return ErrTooMany
	}
	return nil
}
