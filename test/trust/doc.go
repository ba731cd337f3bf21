//go:build unix

// Package trust tests, with the built server and its command line, what runs and
// what it gets: permissions, hashes, approvals and secrets.
package trust
