package onedrive

import "log/slog"

// SecretURL is an address that is a key in itself: a monitor or an upload URL. Whoever has it
// needs no bearer, so it prints as [hidden] everywhere; Reveal gives the text to the one request
// that needs it.
type SecretURL string

// String hides the address from %s and %v.
func (SecretURL) String() string { return "[hidden]" }

// GoString hides the address from %#v.
func (SecretURL) GoString() string { return "[hidden]" }

// LogValue hides the address from slog.
func (SecretURL) LogValue() slog.Value { return slog.StringValue("[hidden]") }

// Reveal is the address itself.
func (u SecretURL) Reveal() string { return string(u) }
