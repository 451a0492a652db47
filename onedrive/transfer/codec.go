package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Version is the layout of the records that this code writes. It reads every older one.
const Version = 1

// Sealer encrypts what is stored; auth.Keyring is one. Binding ties a text to its owner.
type Sealer interface {
	Seal(purpose, binding string, plain []byte) []byte
	Open(purpose, binding string, sealed []byte) ([]byte, error)
}

// codec turns records into what is stored: one byte for the form, then the JSON of the transfer,
// plain or sealed. A whole record is sealed, because its source and page addresses can be keys too.
type codec struct{ sealer Sealer }

const (
	formPlain  = '{' // the JSON itself, whose first byte is this
	formSealed = 's'

	purpose = "transfer"
)

var errForm = errors.New("a record written by a newer version, or damaged")

func (c codec) encode(t *Transfer) ([]byte, error) {
	t.Version = Version
	plain, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("write transfer %s: %w", t.ID, err)
	}
	if c.sealer == nil {
		return plain, nil
	}
	return append([]byte{formSealed}, c.sealer.Seal(purpose, binding(t.Owner, t.ID), plain)...), nil
}

func (c codec) decode(owner, id string, data []byte) (Transfer, error) {
	plain := data
	switch {
	case len(data) == 0:
		return Transfer{}, errForm
	case data[0] == formSealed && c.sealer != nil:
		var err error
		if plain, err = c.sealer.Open(purpose, binding(owner, id), data[1:]); err != nil {
			return Transfer{}, fmt.Errorf("open transfer %s: %w", id, err)
		}
	case data[0] != formPlain:
		return Transfer{}, errForm
	}
	var t Transfer
	if err := json.Unmarshal(plain, &t); err != nil {
		return Transfer{}, fmt.Errorf("read transfer %s: %w", id, err)
	}
	if t.Version > Version || t.Owner != owner || t.ID != id {
		return Transfer{}, errForm
	}
	return t, nil
}

func binding(owner, id string) string { return owner + "/" + id }
