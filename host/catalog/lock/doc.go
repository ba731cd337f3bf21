// Package lock keeps plugins.lock: which plugins were seen, with which bytes, and
// what an operator approved. Server and command line share the file.
package lock
