package media

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// Types that are known by their first bytes.
const (
	typePNG  = "image/png"
	typeJPEG = "image/jpeg"
	typeGIF  = "image/gif"
	typeWebP = "image/webp"
	typePDF  = "application/pdf"
)

var known = []string{typePNG, typeJPEG, typeGIF, typeWebP, typePDF}

// pdfSearch is how far into a file readers of PDF look for its beginning, in bytes.
const pdfSearch = 1024

// kindOf tells the type of a file by its first bytes; empty: none of the known ones.
func kindOf(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return typePNG
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return typeJPEG
	case bytes.HasPrefix(data, []byte("GIF87a")), bytes.HasPrefix(data, []byte("GIF89a")):
		return typeGIF
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return typeWebP
	case bytes.Contains(data[:min(len(data), pdfSearch)], []byte("%PDF-")):
		return typePDF
	}
	return ""
}

// normal is the registered spelling of a type.
func normal(mediaType string) string {
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	if mediaType == "image/jpg" {
		return typeJPEG
	}
	return mediaType
}

// fits says whether a type is what was asked for: the type itself, or any of the
// family that ends in a slash.
func fits(mediaType, want string) bool {
	return mediaType == want || want == "" || strings.HasSuffix(want, "/") && strings.HasPrefix(mediaType, want)
}

// Check is the type of a file by its content. An image may be another one than it is
// said to be, which is a common mistake; what is said to be an image or a PDF must not
// be the other, nor something else. Types that cannot be told are taken as they are.
func Check(mediaType string, data []byte) (string, error) {
	mediaType = normal(mediaType)
	kind := kindOf(data)
	if mediaType == kind || fits(mediaType, AnyImage) && fits(kind, AnyImage) {
		return kind, nil
	}
	if slices.Contains(known, mediaType) || kind != "" && fits(mediaType, AnyImage) {
		return "", fmt.Errorf("is said to be %s, but its content is %s", mediaType, describe(kind))
	}
	return mediaType, nil
}

func describe(kind string) string {
	if kind == "" {
		return "something else"
	}
	return kind
}

// Inline is a file that was sent along, after Check. The error is a *wire.Error about
// field.
func Inline(field wire.Value, mediaType string, data []byte) (engine.Blob, error) {
	mediaType, err := Check(mediaType, data)
	if err != nil {
		return engine.Blob{}, field.Errorf("%v", err)
	}
	return engine.Blob{MediaType: mediaType, Data: data}, nil
}
