package httpapi

import (
	"net/http"

	"github.com/julienschmidt/httprouter"
)

// Handler answers a request. An error that it returns is written by the route's
// dialect, unless the response has begun; then it is only logged.
type Handler func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error

// Route is one row of the table of routes.
type Route struct {
	Method string
	// Pattern is httprouter's.
	Pattern string
	// OperationID names the route in the OpenAPI document; aliases of a path share it.
	OperationID string
	Handle      Handler
}

// Dialect is one way to speak HTTP: its routes and its errors.
type Dialect interface {
	// Name for logs, for example "openai".
	Name() string
	// Prefixes of paths on which errors are written by this dialect, also those
	// that no route made (404, 405, 413 …). The longest prefix wins.
	Prefixes() []string
	// Routes of the dialect.
	Routes() []Route
	// WriteError writes err: an *Error, an *engine.Error, or anything else, which
	// is an internal error whose text must not be shown.
	WriteError(w http.ResponseWriter, r *http.Request, err error)
}
