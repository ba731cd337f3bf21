// Package cli tests the command line: scripts that run the built command.
package cli
