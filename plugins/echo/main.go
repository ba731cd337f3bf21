// Command clinvk-backend-echo is the deterministic backend of clinvk: it needs no
// account and no network. It is the demonstration, the template for new backends
// and what tests run against. What each model does stands in models.go.
package main

import "github.com/clinvk/clinvk/plugins"

// version is set at release.
var version string

func main() {
	plugins.Serve(newBackend(), plugins.WithVersion(version))
}
