// Package store says what the server keeps between requests, and what a store
// promises. Implementations are in the folders below.
package store
