package transfer

import (
	"context"
	"fmt"
)

// Undone records that the file of a completed transfer was taken away again by its owner: the
// transfer counts as cancelled from then on. It changes the one final state for the other in one
// atomic step; ErrConflict means that somebody else changed the record meanwhile.
func (s *Store) Undone(ctx context.Context, t *Transfer) error {
	if t.State != Completed {
		return ErrNotPossible
	}
	old := record{key: historyKey(t), expected: int64(t.Revision), why: whyMoved, ttl: markerTTL}
	t.State, t.Item, t.Percent, t.Modified = Cancelled, nil, nil, s.opt.Now().UTC()
	value, err := s.codec.encode(t)
	if err != nil {
		return err
	}
	rev, err := s.commit.put(ctx, old, record{key: historyKey(t), value: value, expected: -1, ttl: s.opt.Retention})
	if err != nil {
		return fmt.Errorf("record the undoing of transfer %s: %w", t.ID, err)
	}
	t.Revision = rev
	s.tell(t.Owner, t.ID, t)
	return nil
}
