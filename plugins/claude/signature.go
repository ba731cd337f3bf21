package main

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// Only the model that signed reasoning takes it back. The signature that a client
// gets therefore tells the model: "claude:MODEL:SIGNATURE".

// signaturePrefix tells our signatures from those of other backends.
const signaturePrefix = "claude:"

// sealed is the signature that the client gets for one of the API's.
func sealed(model, signature string) []byte {
	return []byte(signaturePrefix + model + ":" + signature)
}

// unsealed is the API's signature; ok is false when it is another model's or another
// backend's. One without our prefix may be from a conversation that began elsewhere:
// it is taken when it is base64, as all of the API's are.
func unsealed(signature []byte, model string) (bare []byte, ok bool) {
	text := string(signature)
	if rest, ours := strings.CutPrefix(text, signaturePrefix); ours {
		i := strings.LastIndexByte(rest, ':') // names of models may hold one
		if i < 0 || undated(rest[:i]) != undated(model) {
			return nil, false
		}
		text = rest[i+1:]
	}
	_, err := base64.StdEncoding.DecodeString(text)
	return []byte(text), err == nil && text != ""
}

var releaseDate = regexp.MustCompile(`-\d{8}$`)

// undated is a model's name without the date of its release, which the API adds to
// the name that it was asked for.
func undated(model string) string { return releaseDate.ReplaceAllString(model, "") }
