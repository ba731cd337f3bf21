package openai

import (
	"slices"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// This file is what the Responses API, a package of its own, shares with the rest.

// NoParameters is the schema of a function that names none.
const NoParameters = noParameters

// RoutePrefixes are where the routes are.
func RoutePrefixes() []string { return slices.Clone(prefixes) }

// ErrorWords are the status, code (may be empty) and message of whatever a handler may
// return.
func ErrorWords(err error) (status int, code, message string) {
	e := envelopeOfAny(err)
	return e.status, e.code, e.message
}

// AppendError appends an error's body with a code of its own.
func AppendError(b []byte, code, param, message string) []byte {
	return envelope{kind: typeInvalid, code: code, param: param, message: message}.append(b)
}

// Arguments are a call's arguments, which must be JSON, also when the model wrote nothing.
func Arguments(s string) string { return arguments(s) }

// DecodeParts reads a string or an array of parts, as messages have it.
func DecodeParts(v wire.Value, part func(kind string, o wire.Object) (engine.Part, error)) ([]engine.Part, error) {
	return decodeContent(v, part)
}
