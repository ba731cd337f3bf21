// Package store says what the server keeps between requests, responses and sessions,
// and what a store promises. Implementations are in the folders below.
package store
