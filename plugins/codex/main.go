// Command clinvk-backend-codex is the backend plugin that answers with the Codex
// CLI. It drives `codex app-server`, one warm process with many threads: each
// conversation gets a thread of its own, started ahead, so that nothing of one
// request can reach another.
package main

import "github.com/clinvk/clinvk/plugins"

// version is set by the build.
var version string

func main() {
	plugins.Serve(newBackend(), plugins.WithVersion(version))
}
