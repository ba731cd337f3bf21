// Package trust decides which plugins may run and which variables of the server
// they get: from what came with this clinvk, from what the lock file remembers and
// from what an operator approved.
package trust
