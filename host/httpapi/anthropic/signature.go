package anthropic

import (
	"encoding/base64"
	"strings"
)

// binarySignature marks a signature that is no text. Those of Anthropic's are, and
// travel as they are; what another provider calls so may be any bytes.
const binarySignature = "base64:"

// encodeSignature makes a string of a signature.
func encodeSignature(s []byte) string {
	if printable(s) && !strings.HasPrefix(string(s), binarySignature) {
		return string(s)
	}
	return binarySignature + base64.StdEncoding.EncodeToString(s)
}

func printable(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// decodeSignature undoes encodeSignature.
func decodeSignature(s string) []byte {
	if s == "" {
		return nil
	}
	if encoded, ok := strings.CutPrefix(s, binarySignature); ok {
		if b, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return b
		}
	}
	return []byte(s)
}
