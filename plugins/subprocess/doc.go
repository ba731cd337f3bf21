// Package subprocess runs AI CLIs well: each in a process group of its own that
// dies with the plugin, with bounded line framing, a redacted ring of stderr, an
// orderly way to end it (interrupt, terminate, kill, each with a deadline) and a
// pool of spares.
package subprocess
