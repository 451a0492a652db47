package transfer

import (
	"context"
	"fmt"
)

// Undone records that the file of a completed transfer was taken away again by its owner, and what is left
// of it: the transfer counts as cancelled from then on. ErrConflict means that somebody else changed the
// record meanwhile.
func (s *Store) Undone(ctx context.Context, t *Transfer, left Leftover) error {
	if t.State != Completed {
		return ErrNotPossible
	}
	t.State, t.Leftover, t.Item, t.Percent = Cancelled, left, nil, nil
	if err := s.store(ctx, t); err != nil {
		return fmt.Errorf("record the undoing: %w", err)
	}
	s.tell(t.Owner, t.ID, t)
	return nil
}
