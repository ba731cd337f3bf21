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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(execute(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}
