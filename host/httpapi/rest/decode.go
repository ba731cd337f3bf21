package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/near"
)

// read reads a request's body into v as decode does.
func read(r *http.Request, v any) error {
	body, err := httpapi.ReadBody(r)
	if err != nil {
		return err
	}
	return decode(body, v)
}

// decode reads a body into v, a pointer to a struct. An unknown field is an error that
// names what was probably meant.
func decode(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			return bad("", "the body must be one JSON object, and more follows it")
		}
		return nil
	}
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return bad(strings.ReplaceAll(t.Field, ".", "/"), "%s must be %s, not %s", t.Field, jsonKind(t.Type), t.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return bad(name, "unknown field %q%s", name, near.DidYouMean(name, fieldNames(reflect.TypeOf(v).Elem())))
	}
	return bad("", "the body cannot be read: %w", err)
}

// fieldNames are the names that an object and those within it may have.
func fieldNames(t reflect.Type) (names []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		if name := f.Tag.Get("json"); name != "" {
			names = append(names, name)
		}
		names = append(names, fieldNames(f.Type)...)
	}
	return names
}

// jsonKind is what a Go type is in JSON, with its article.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "a number"
	}
}

// within says of an error about a field that the field is part of another one.
func within(where string, err error) error {
	if e, ok := errors.AsType[*httpapi.Error](err); ok && e.Param != "" {
		return bad(where+"/"+e.Param, "%s: %s", where, e.Message)
	}
	return err
}
