// Command clinvk turns the AI CLIs on this machine into one local server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set at release.
var version = "0.1.0-dev"

// bundled is set by the build: the sha256 of the plugins that come with this
// binary, NAME=SHA256 separated by commas. Empty: those beside it are taken for them.
var bundled string

// secondSignal is how long after the first signal another one counts. Terminals and
// those who wrap commands (timeout, npm, make) send one to the process and one to its
// group: these are one wish.
const secondSignal = 500 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(secondSignal, stop) }) // then the next signal ends the process at once
	os.Exit(execute(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}
