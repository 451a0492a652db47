package transfer

import "context"

type leases struct{}

func (l *leases) release(context.Context) {}

func (r *Runner) startLeases(context.Context) error { return nil }
