//go:build unix

// Package e2e tests the built server end to end: real plugin binaries, real and
// pinned AI CLIs, fake model APIs on loopback, real HTTP.
package e2e
