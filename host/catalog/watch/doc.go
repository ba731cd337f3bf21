// Package watch tells when the files that decide which plugins run may have
// changed: it listens to the file system, waits until it is quiet, and looks
// again now and then in any case.
package watch
