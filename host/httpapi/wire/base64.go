package wire

import (
	"bytes"
	"encoding/base64"
	"mime"
	"strings"
)

// Base64 reads binary content. Both alphabets are taken, padded or not, and lines may
// be broken.
func (v Value) Base64() ([]byte, error) {
	s, err := v.NonEmpty()
	if err != nil {
		return nil, err
	}
	data, ok := decodeBase64(s)
	if !ok {
		return nil, v.Errorf("is not valid base64")
	}
	return data, nil
}

func decodeBase64(s string) ([]byte, bool) {
	text := bytes.TrimRight([]byte(s), "= \r\n\t")
	for i, c := range text {
		switch c {
		case '-':
			text[i] = '+'
		case '_':
			text[i] = '/'
		}
	}
	data, err := base64.RawStdEncoding.DecodeString(string(text))
	return data, err == nil && len(data) > 0
}

// DataURL reads a data: URL with base64 content. Any other URL is an error: a server
// that fetches what it is told to would be a way into the network that it is in.
func (v Value) DataURL() (mediaType string, data []byte, err error) {
	s, err := v.NonEmpty()
	if err != nil {
		return "", nil, err
	}
	rest, ok := cutPrefixFold(s, "data:")
	if !ok {
		return "", nil, v.Errorf("must be a data: URL with the content in base64; other URLs are not fetched")
	}
	head, content, ok := strings.Cut(rest, ",")
	head, encoded := strings.CutSuffix(head, ";base64")
	if !ok || !encoded {
		return "", nil, v.Errorf("must have the form data:<media type>;base64,<content>")
	}
	mediaType, _, err = mime.ParseMediaType(head)
	if err != nil {
		return "", nil, v.Errorf("has no valid media type")
	}
	if data, ok = decodeBase64(content); !ok {
		return "", nil, v.Errorf("has content that is not valid base64")
	}
	return mediaType, data, nil
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
