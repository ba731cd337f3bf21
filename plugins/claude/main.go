// Command clinvk-backend-claude is the plugin that answers with the Claude Code CLI.
package main

import "github.com/clinvk/clinvk/plugins"

func main() {
	plugins.Serve(newBackend())
}
