// Command clinvk-backend-claude is the plugin that answers with the Claude Code CLI.
package main

import "github.com/clinvk/clinvk/plugins"

// version is set at release.
var version string

func main() {
	plugins.Serve(newBackend(), plugins.WithVersion(version))
}
