// Command clinvk turns the AI CLIs on this machine into one local server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set at release.
var version = "0.1.0-dev"

// bundled is set by the build: the sha256 of the plugins that come with this
// binary, NAME=SHA256 separated by commas. Empty: those beside it are taken for them.
var bundled string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(execute(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}
