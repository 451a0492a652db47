package transfer

// EventID is the newest event that a page drawn from t has seen: Watch from there misses nothing
// that came after it.
func (t Transfer) EventID() uint64 { return t.Revision << progressBits }
