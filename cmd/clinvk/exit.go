package main

import (
	"context"
	"errors"
	"os"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// Exit codes; docs/cli.md lists them.
const (
	exitGeneral   = 1
	exitBackend   = 2
	exitConfig    = 3
	exitSession   = 4
	exitAPI       = 5
	exitTimeout   = 6
	exitCancelled = 7
	// exitCLI is the least that is taken over of a CLI's own code.
	exitCLI = 8
)

// exitCodes by the code of a server's error.
var exitCodes = map[string]int{
	"backend_unavailable": exitBackend, "model_not_found": exitBackend, "backend_unauthenticated": exitBackend,
	"timeout": exitTimeout, "queue_timeout": exitTimeout, "cancelled": exitCancelled,
	"invalid_request": exitGeneral, "unsupported": exitGeneral, "unauthorized": exitGeneral, "not_found": exitGeneral,
	"too_large": exitGeneral, "forbidden": exitGeneral, "storage_failed": exitSession,
}

// loadConfig loads the configuration; path empty: that of the home.
func loadConfig(path string) (*config.Config, error) {
	c, err := config.Load(path, os.Environ())
	if err != nil {
		return nil, configError{err}
	}
	return c, nil
}

// configError is that the configuration cannot be used, whyever.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

// exitCode is how the process ends after an error.
func exitCode(err error) int {
	if _, ok := errors.AsType[configError](err); ok {
		return exitConfig
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return exitConfig
	}
	if aboutSession(err) {
		return exitSession
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return exitOf(e.Code, e.ExitCode)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return exitCancelled
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, client.ErrNoServer):
		return exitBackend
	}
	return exitGeneral
}

// exitOf is the exit code for an error of a turn; own is the CLI's.
func exitOf(code string, own *int) int {
	if n, ok := exitCodes[code]; ok {
		return n
	}
	if own != nil && *own >= exitCLI {
		return *own
	}
	return exitAPI
}

// hasCode says whether an error is a server's with this code.
func hasCode(err error, code string) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Code == code
}
