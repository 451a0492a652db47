package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrSealed is returned when sealed bytes cannot be opened: cut, changed, moved to another
// place, or sealed with a key that the ring does not hold.
var ErrSealed = errors.New("auth: sealed value cannot be opened")

const (
	sealVersion = 1
	keySize     = 32
	keyIDSize   = 4
	sealHeader  = 1 + keyIDSize
	keyFileName = "keys"
)

// Keyring seals what rests in the store. The newest key seals, all keys open, so a key can be
// changed while the app runs: put the new one in front, and drop the old one when nothing that
// it sealed is left.
type Keyring struct {
	keys []ringKey
}

type ringKey struct {
	id     [keyIDSize]byte
	secret []byte
	aead   cipher.AEAD
}

// OpenKeyring makes a ring of base64 keys of 32 bytes, newest first, separated by commas or
// line ends. Errors name the position of a bad key, never the key.
func OpenKeyring(keys string) (*Keyring, error) {
	fields := strings.FieldsFunc(keys, func(r rune) bool { return r == ',' || r <= ' ' })
	if len(fields) == 0 {
		return nil, errors.New("auth: no keys given")
	}
	k := &Keyring{}
	for i, field := range fields {
		key, err := newRingKey(field)
		if err != nil {
			return nil, fmt.Errorf("auth: key %d: %w", i+1, err)
		}
		if k.find(key.id[:]) != nil {
			return nil, fmt.Errorf("auth: key %d is given twice", i+1)
		}
		k.keys = append(k.keys, key)
	}
	return k, nil
}

// NewKey makes a fresh key in the form that OpenKeyring reads.
func NewKey() string {
	return base64.StdEncoding.EncodeToString(randomBytes(keySize))
}

// LoadOrCreateKeyring reads the ring from the file "keys" in dir, and makes that file with a
// fresh key and mode 0600 when there is none. The dir ":memory:" gives a ring that is kept nowhere.
func LoadOrCreateKeyring(dir string) (*Keyring, error) {
	if dir == ":memory:" {
		return OpenKeyring(NewKey())
	}
	name := filepath.Join(dir, keyFileName)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if err := createKeyFile(dir, name); err != nil {
			return nil, fmt.Errorf("auth: make the key file: %w", err)
		}
	}
	return LoadKeyring(dir)
}

// LoadKeyring reads the ring from the file "keys" in dir; fs.ErrNotExist when there is none.
func LoadKeyring(dir string) (*Keyring, error) {
	name := filepath.Join(dir, keyFileName)
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("auth: key file: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("auth: others can read the key file %s (mode %04o): chmod 600 it", name, info.Mode().Perm())
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("auth: key file: %w", err)
	}
	ring, err := OpenKeyring(string(text))
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", name, err)
	}
	return ring, nil
}

// createKeyFile writes a fresh key beside the final name and links it there, so that a crash
// leaves no half file and of two processes one wins.
func createKeyFile(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, keyFileName+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(NewKey() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func newRingKey(text string) (ringKey, error) {
	secret, err := decodeBase64(text)
	if err != nil {
		return ringKey{}, errors.New("not base64")
	}
	if len(secret) != keySize {
		return ringKey{}, fmt.Errorf("%d bytes long, want %d", len(secret), keySize)
	}
	// The sealing key is derived, so that no other use of the same secret shares it.
	block, err := aes.NewCipher(derive(secret, "skylift seal", keySize))
	if err != nil {
		return ringKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return ringKey{}, err
	}
	key := ringKey{secret: secret, aead: aead}
	copy(key.id[:], derive(secret, "skylift key id", keyIDSize))
	return key, nil
}

func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "-_") {
		return base64.RawURLEncoding.DecodeString(text)
	}
	return base64.RawStdEncoding.DecodeString(text)
}

// Seal encrypts plain with the newest key. What is sealed for one purpose and binding (such as
// "refresh token" and an account id) opens for no other.
func (k *Keyring) Seal(purpose, binding string, plain []byte) []byte {
	key := k.keys[0]
	sealed := make([]byte, 0, sealHeader+len(plain)+key.aead.Overhead())
	sealed = append(sealed, sealVersion)
	sealed = append(sealed, key.id[:]...)
	return key.aead.Seal(sealed, nil, plain, additional(sealed, purpose, binding))
}

// Open decrypts what Seal made with any key of the ring; else ErrSealed.
func (k *Keyring) Open(purpose, binding string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealHeader || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	header, rest := sealed[:sealHeader], sealed[sealHeader:]
	key := k.find(header[1:])
	if key == nil {
		return nil, ErrSealed
	}
	plain, err := key.aead.Open(nil, nil, rest, additional(header, purpose, binding))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// Stale reports whether sealed was sealed with a key that is not the newest one.
func (k *Keyring) Stale(sealed []byte) bool {
	return len(sealed) < sealHeader || string(sealed[1:sealHeader]) != string(k.keys[0].id[:])
}

// Older reports whether the ring has keys beside the newest.
func (k *Keyring) Older() bool { return len(k.keys) > 1 }

// Derive gives one key of n bytes for each key of the ring, newest first, for another use such as
// signing cookies. The same purpose gives the same keys.
func (k *Keyring) Derive(purpose string, n int) [][]byte {
	var keys [][]byte
	for _, key := range k.keys {
		keys = append(keys, derive(key.secret, "skylift derive "+purpose, n))
	}
	return keys
}

// String hides the keys from logs.
func (k *Keyring) String() string { return "[hidden]" }

// GoString hides the keys from %#v.
func (k *Keyring) GoString() string { return "[hidden]" }

func (k *Keyring) find(id []byte) *ringKey {
	for i := range k.keys {
		if string(k.keys[i].id[:]) == string(id) {
			return &k.keys[i]
		}
	}
	return nil
}

// additional is the data that a sealed value is bound to; lengths keep ("ab","c") apart from ("a","bc").
func additional(header []byte, purpose, binding string) []byte {
	var data []byte
	data = append(data, header[:sealHeader]...)
	data = binary.BigEndian.AppendUint32(data, uint32(len(purpose)))
	data = append(data, purpose...)
	return append(data, binding...)
}

func derive(secret []byte, info string, n int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, info, n)
	if err != nil {
		panic(err) // only when n is beyond HKDF's 8 KB
	}
	return key
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails, see crypto/rand
	return b
}
