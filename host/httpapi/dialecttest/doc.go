// Package dialecttest checks dialects: an engine that plays events, random answers,
// server-sent events read back, and everything that is answered held against the
// OpenAPI document.
package dialecttest
