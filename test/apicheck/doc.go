// Package apicheck holds HTTP traffic against the server's own OpenAPI document.
//
// Bodies are checked by santhosh-tekuri/jsonschema alone: validators of OpenAPI know
// nothing of events in a stream, of answers that were cut, or of aliases of paths.
package apicheck
