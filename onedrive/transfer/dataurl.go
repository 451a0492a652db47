package transfer

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// decodeDataURL takes a data: URL apart (RFC 2397): its media type without parameters and its
// bytes, at most MaxInline. The error is a *RequestError.
func decodeDataURL(s string) (typ string, data []byte, err error) {
	if len(s) > maxDataIn {
		return "", nil, &RequestError{"sourceUrl", codeSourceTooLarge}
	}
	meta, body, ok := strings.Cut(s[len("data:"):], ",")
	if !ok {
		return "", nil, &RequestError{"sourceUrl", codeSourceRefused}
	}
	body, err = url.PathUnescape(body)
	if err != nil {
		return "", nil, &RequestError{"sourceUrl", codeSourceRefused}
	}
	data = []byte(body)
	if meta, ok = cutSuffixFold(strings.TrimSpace(meta), ";base64"); ok {
		if data, err = decodeBase64(body); err != nil {
			return "", nil, &RequestError{"sourceUrl", codeSourceRefused}
		}
	}
	if len(data) > MaxInline {
		return "", nil, &RequestError{"sourceUrl", codeSourceTooLarge}
	}
	if typ = mediaType(meta); typ == "" {
		typ = "text/plain" // what RFC 2397 says for a missing type
	}
	return typ, data, nil
}

// decodeBase64 reads the spellings that pages use: with and without padding, URL alphabet, line breaks.
func decodeBase64(s string) ([]byte, error) {
	s = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n', '=':
			return -1
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return r
	}, s)
	return base64.RawStdEncoding.DecodeString(s)
}

func cutSuffixFold(s, suffix string) (string, bool) {
	n := len(s) - len(suffix)
	if n < 0 || !strings.EqualFold(s[n:], suffix) {
		return s, false
	}
	return s[:n], true
}
