package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

// probeTimeout bounds the questions that are asked by starting the CLI. They take
// 0.01 to 0.4 s on a quiet machine.
const probeTimeout = 20 * time.Second

// composedSince is the first release known to take "client_composed".
var composedSince = releaseNumber{2, 1, 330}

// installation finds the CLI and remembers what it is. Its methods may be called
// concurrently.
type installation struct {
	command string
	environ []string

	mu    sync.Mutex
	known cli
}

// cli is an installed CLI.
type cli struct {
	path     string
	modified time.Time
	size     int64
	version  string
	composed bool
}

func newInstallation(c plugins.Config) *installation {
	command := c.Command
	if command == "" {
		command = "claude"
	}
	return &installation{command: command, environ: subprocess.Environment(c.Environment, commonEnvironment())}
}

// find looks for the CLI, so that one that was installed or replaced meanwhile is
// noticed, and asks for its version when it is not the one that was seen last.
func (i *installation) find(ctx context.Context) (cli, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c, err := i.seen()
	if err != nil || c.version != "" {
		return c, err
	}
	out, err := i.run(ctx, c.path, "--version")
	if err != nil {
		return cli{}, &plugins.Error{
			Code:    plugins.CodeCLIFailure,
			Message: fmt.Sprintf("Claude Code does not run (%s --version: %v): install it anew with %s", c.path, err, installRemedy),
			Err:     err,
		}
	}
	c.version, _, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	c.composed = !parseVersion(c.version).less(composedSince)
	i.known = c
	return c, nil
}

// look finds the CLI without starting it. One whose version is not known yet counts
// as a new one.
func (i *installation) look() (cli, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c, err := i.seen()
	if err == nil && c.version == "" {
		c.composed = true
	}
	return c, err
}

// seen is the CLI as it is on disk, without a version when it is not the one that was
// asked for it last; the caller holds mu.
func (i *installation) seen() (cli, error) {
	path, err := exec.LookPath(i.command)
	if err != nil {
		return cli{}, i.missing(err)
	}
	info, err := os.Stat(path) // follows links: npm replaces what they point to
	if err != nil {
		return cli{}, i.missing(err)
	}
	if k := i.known; k.path == path && k.modified.Equal(info.ModTime()) && k.size == info.Size() {
		return k, nil
	}
	return cli{path: path, modified: info.ModTime(), size: info.Size()}, nil
}

// errNotInstalled is in the chain of find's error when there is no CLI.
var errNotInstalled = errors.New("not installed")

func (i *installation) missing(err error) error {
	return &plugins.Error{
		Code:    plugins.CodeCLIFailure,
		Message: fmt.Sprintf("Claude Code is not installed (there is no program %q): run %s", i.command, installRemedy),
		Err:     fmt.Errorf("%w: %w", errNotInstalled, err),
	}
}

// run asks the CLI something that needs no model and no conversation.
func (i *installation) run(ctx context.Context, path string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = i.environ
	cmd.WaitDelay = time.Second
	return cmd.Output()
}

// loggedIn asks the CLI whether it has credentials. It does not say whether the
// provider still takes them.
func (i *installation) loggedIn(ctx context.Context, c cli) (bool, error) {
	out, err := i.run(ctx, c.path, "auth", "status")
	var status struct {
		LoggedIn *bool `json:"loggedIn"`
	}
	// The exit status is 1 when it has none; only the output tells that from a failure.
	if json.Unmarshal(bytes.TrimSpace(out), &status) == nil && status.LoggedIn != nil {
		return *status.LoggedIn, nil
	}
	if err == nil {
		err = errors.New("its answer is not known")
	}
	return false, fmt.Errorf("asking claude auth status: %w", err)
}

// releaseNumber is major, minor, patch.
type releaseNumber [3]int

// parseVersion reads "2.1.330"; what is no number counts as 0.
func parseVersion(text string) releaseNumber {
	var v releaseNumber
	for i, part := range strings.SplitN(text, ".", len(v)) {
		digits := strings.TrimRightFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		v[i], _ = strconv.Atoi(digits) // no number counts as 0
	}
	return v
}

func (v releaseNumber) less(w releaseNumber) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}
