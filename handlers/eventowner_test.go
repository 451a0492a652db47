package handlers

import (
	"context"
	"testing"

	"skylift/onedrive/transfer"
)

// The store's watch is by owner. Should it ever err, the second look ends the stream.
func TestAnEventOfAnotherUserIsNotDrawn(t *testing.T) {
	for name, c := range map[string]struct {
		event transfer.Event
		drawn bool
	}{
		"one's own":          {transfer.Event{Transfer: transfer.Transfer{ID: "a", Owner: "me"}}, true},
		"another's":          {transfer.Event{Transfer: transfer.Transfer{ID: "a", Owner: "somebody"}}, false},
		"another's, deleted": {transfer.Event{Deleted: true, Transfer: transfer.Transfer{ID: "a", Owner: "somebody"}}, false},
		"one's own, deleted": {transfer.Event{Deleted: true, Transfer: transfer.Transfer{ID: "a", Owner: "me"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := eventOf(t.Context(), c.event, "me", func(context.Context, transfer.Transfer) ([]byte, error) { return []byte("drawn"), nil })
			if drawn := err == nil && len(out.Data) > 0; drawn != c.drawn {
				t.Errorf("drawn: %v (%q, %v), want %v", drawn, out.Data, err, c.drawn)
			}
		})
	}
}
