package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"
)

// ReadBody reads a request's body: exactly one JSON object in UTF-8. The size is
// bounded by the server. Errors are *Error: 400, 413.
func ReadBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, Errorf(http.StatusBadRequest, "the request has no body; send a JSON object")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, Errorf(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes (server.max_request_body_bytes)", tooLarge.Limit)
		}
		return nil, Errorf(http.StatusBadRequest, "the body could not be read: %w", err)
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return nil, Errorf(http.StatusBadRequest, "the body is empty; send a JSON object")
	case trimmed[0] != '{':
		return nil, Errorf(http.StatusBadRequest, "the body must be a JSON object")
	case !utf8.Valid(body):
		return nil, Errorf(http.StatusBadRequest, "the body is not valid UTF-8")
	case !json.Valid(body):
		var v json.RawMessage
		return nil, Errorf(http.StatusBadRequest, "the body is not valid JSON: %w", json.Unmarshal(body, &v))
	}
	return body, nil
}
