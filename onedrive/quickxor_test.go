package onedrive_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"skylift/onedrive"
)

// The vectors that OneDrive clients share; they were made with Microsoft's own code.
// https://github.com/rclone/rclone/blob/master/backend/onedrive/quickxorhash/quickxorhash_test.go
func TestQuickXorOfKnownBytes(t *testing.T) {
	rows := [][2]string{
		{"", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{"Sg==", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="},
		{"tbQ=", "taAFAAAAAAAAAAAAAgAAAAAAAAA="},
		{"0pZP", "0rDEEwAAAAAAAAAAAwAAAAAAAAA="},
		{"h490d57Pqz5q2rtT", "h3gEHe7giWeswgdq3MYupgAAAAA="},
		{"XoJ1AsoR4fDYJrDqYs4=", "XhBEHQSgjAiEAx7YPgEs1CEGZwA="},
		{"gQaybEqS/4UlDc8e4IJm", "gDCALNigBEn8oxAlZ8AzPAAOQZg="},
		{"2fuxhBJXtpWFe8dOfdGeHw==", "O9tHLAghgSvYohKFyMMxnNCHaHg="},
		{"T6LYJIfDh81JrAK309H2JMJTXis=", "zBTHrspn3mEcohlJdIUAbjGNaNg="},
		{"NbYXsp5/K6mR+NmHwExjvWeWDJFnXTKWVlzYHoesp2E=", "wjuAuWDiq04qDt1R8hHWDDcwVoQ="},
		{"Mb7EGva2rEE5fENDL85P+BsapHEEjv2/siVhKjvAQe02feExVOQSkfmuYzU/kTF1MaKjPmKF/w+cbvwfdWL8aQ==", "n1anP5NfvD4XDYWIeRPW3ZkPv1Y="},
		{"ikwCorI7PKWz17EI50jZCGbV9JU2E8bXVfxNMg5zdmqSZ2NlsQPp0kqYIPjzwTg1MBtfWPg53k0h0P2naJNEVgrqpoHTfV2b3pJ4m0zYPTJmUX4Bg/lOxcnCxAYKU29Y5F0U8Quz7ZXFBEweftXxJ7RS4r6N7BzJrPsLhY7hgck=", "imAoFvCWlDn4yVw3/oq1PDbbm6U="},
		{"qwGf2ESubE5jOUHHyc94ORczFYYbc2OmEzo+hBIyzJiNwAzC8PvJqtTzwkWkSslgHFGWQZR2BV5+uYTrYT7HVwRM40vqfj0dBgeDENyTenIOL1LHkjtDKoXEnQ0mXAHoJ8PjbNC93zi5TovVRXTNzfGEs5dpWVqxUzb5lc7dwkyvOluBw482mQ4xrzYyIY1t+//OrNi1ObGXuUw2jBQOFfJVj2Y6BOyYmfB1y36eBxi3zxeG5d5NYjm2GSh6e08QMAwu3zrINcqIzLOuNIiGXBtl7DjKt7b5wqi4oFiRpZsCyx2smhSrdrtK/CkdU6nDN+34vSR/M8rZpWQdBE7a8g==", "WYT9JY3JIo/pEBp+tIM6Gt2nyTM="},
	}
	for _, row := range rows {
		data, err := base64.StdEncoding.DecodeString(row[0])
		if err != nil {
			t.Fatal(err)
		}
		h := onedrive.QuickXor()
		h.Write(data)
		if got := base64.StdEncoding.EncodeToString(h.Sum(nil)); got != row[1] {
			t.Errorf("QuickXor of %d bytes = %s, want %s", len(data), got, row[1])
		}
	}
}

// bitByBit is QuickXorHash as it is described, one bit after the other.
func bitByBit(data []byte) []byte {
	sum := make([]byte, 20)
	for i, b := range data {
		for bit := range 8 {
			at := (i*11 + bit) % 160
			sum[at/8] ^= b >> bit & 1 << (at % 8)
		}
	}
	size := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	for i, b := range size {
		sum[12+i] ^= b
	}
	return sum
}

func TestQuickXorInPiecesIsTheDescribedHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := onedrive.QuickXor()
		var all []byte
		for range rapid.IntRange(1, 5).Draw(t, "pieces") {
			piece := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "piece"), rapid.IntRange(0, 90).Draw(t, "times"))
			h.Write(piece)
			all = append(all, piece...)
			h.Sum(nil) // asking changes nothing
		}
		if got, want := h.Sum([]byte("x")), append([]byte("x"), bitByBit(all)...); !bytes.Equal(got, want) {
			t.Fatalf("QuickXor of %d bytes = %x, want %x", len(all), got, want)
		}
		h.Reset()
		if got := h.Sum(nil); !bytes.Equal(got, make([]byte, 20)) {
			t.Fatalf("after Reset %x", got)
		}
	})
}

func BenchmarkQuickXor(b *testing.B) {
	h, data := onedrive.QuickXor(), make([]byte, 1<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		h.Write(data)
	}
}
