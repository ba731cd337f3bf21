// Package kept keeps conversations on disk, each state of one in a file of its own.
package kept
