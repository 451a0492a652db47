package onedrive

import (
	"context"
	"errors"
	"net/http"
)

var errOpen = errors.New("no sign-in is asked for, so this is no Graph")

// Look asks Graph for a drive without saying whose. It is nil when that is refused as Graph does: 401, with
// a code of its own.
func (g *Graph) Look(ctx context.Context) error {
	const op = "look at Graph"
	address, err := g.address(request{path: []string{"me", "drive"}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return err
	}
	a, err := g.roundTrip(g.graph, req, op, nil, maxAnswer)
	if err != nil {
		return err
	}
	e := newError(op, a)
	switch {
	case a.status == http.StatusUnauthorized && e.Code != "":
		return nil
	case a.status < 300:
		e.kind, e.cause = ErrUnavailable, errOpen
	}
	return e
}
