package transfer

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Version is the layout of the records that this code writes. It reads every older one.
const Version = 1

// Sealer encrypts what is stored; auth.Keyring is one. Binding ties a text to its owner.
type Sealer interface {
	Seal(purpose, binding string, plain []byte) []byte
	Open(purpose, binding string, sealed []byte) ([]byte, error)
}

// codec turns records into what is stored: one byte for the form, then the transfer as CBOR, plain or
// sealed. A whole record is sealed, because its source and page addresses can be keys too. Fields have
// numbers there: a number is never given to another field. Earlier builds wrote JSON.
type codec struct {
	sealer Sealer
	write  cbor.EncMode
	read   cbor.DecMode
}

func newCodec(s Sealer) codec {
	write, err := cbor.EncOptions{Time: cbor.TimeRFC3339NanoUTC}.EncMode()
	read, err2 := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode() // a title may hold any bytes
	if err := errors.Join(err, err2); err != nil {
		panic(err) // the options are constant
	}
	return codec{s, write, read}
}

const (
	formPlain      = 'c'
	formSealed     = 'b'
	formPlainJSON  = '{' // the JSON itself, whose first byte is this
	formSealedJSON = 's'

	purpose = "transfer"
)

var errForm = errors.New("a record written by a newer version, or damaged")

func (c codec) encode(t *Transfer) ([]byte, error) {
	t.Version = Version
	plain, err := c.write.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("write transfer %s: %w", t.ID, err)
	}
	if c.sealer == nil {
		return append([]byte{formPlain}, plain...), nil
	}
	return append([]byte{formSealed}, c.sealer.Seal(purpose, binding(t.Owner, t.ID), plain)...), nil
}

func (c codec) decode(owner, id string, data []byte) (Transfer, error) {
	if len(data) == 0 {
		return Transfer{}, errForm
	}
	form, plain := data[0], data[1:]
	if form == formSealed || form == formSealedJSON {
		if c.sealer == nil {
			return Transfer{}, errForm
		}
		var err error
		if plain, err = c.sealer.Open(purpose, binding(owner, id), plain); err != nil {
			return Transfer{}, fmt.Errorf("open transfer %s: %w", id, err)
		}
	}
	var t Transfer
	var err error
	switch form {
	case formPlain, formSealed:
		err = c.read.Unmarshal(plain, &t)
	case formPlainJSON:
		err = json.Unmarshal(data, &t)
	case formSealedJSON:
		err = json.Unmarshal(plain, &t)
	default:
		return Transfer{}, errForm
	}
	if err != nil {
		return Transfer{}, fmt.Errorf("read transfer %s: %w", id, err)
	}
	if t.Version > Version || t.Owner != owner || t.ID != id {
		return Transfer{}, errForm
	}
	return t, nil
}

func binding(owner, id string) string { return owner + "/" + id }
