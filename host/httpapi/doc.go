// Package httpapi is the HTTP face of clinvk: a table of routes, the guard that
// keeps web pages out, request ids, the access log, recovery from panics, and
// the streaming that all dialects share. What requests and answers look like is
// the dialects' business.
package httpapi
