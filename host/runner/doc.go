// Package runner is one plugin process: it starts a checked binary, reads its
// handshake, its stderr and nothing else, and ends it together with everything
// that it started. It implements go-plugin's runner.Runner, because go-plugin's
// own process handling lets a plugin panic, bloat or hang the host.
package runner
