// Package clients lets software that knows nothing of clinvk judge its dialects: the
// official SDKs, what is built on them, and whole programs. All of them speak to the
// built server with the echo backend.
package clients
