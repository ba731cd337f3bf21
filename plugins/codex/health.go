package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

// What people are told to run.
const (
	installCommand = "npm install -g @openai/codex"
	loginCommand   = "codex login"
)

const (
	// goodFor is how long a CLI that works is believed to go on. A bad finding is
	// never believed: the CLI may be installed or logged in at any moment, and
	// looking costs 10 ms at most.
	goodFor = 30 * time.Second
	// checkTime bounds one look: a Health call has three seconds.
	checkTime = 2500 * time.Millisecond
)

// checker knows whether the CLI is there and logged in.
type checker struct {
	command string
	access  access
	granted map[string]string

	mu      sync.Mutex
	at      time.Time
	health  plugins.Health
	program program
	version string
}

// env is the environment for short questions to the CLI: the user's own home.
func (c *checker) env() []string {
	return subprocess.Environment(c.granted, map[string]string{envHome: c.access.userHome})
}

// check looks, unless all was well just before. fresh looks in any case.
func (c *checker) check(ctx context.Context, fresh bool) (plugins.Health, program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fresh || c.health.State != plugins.HealthReady || time.Since(c.at) > goodFor {
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		health := c.look(ctx)
		if ctx.Err() != nil && health.State != plugins.HealthReady && !c.at.IsZero() {
			return c.health, c.program // no finding, but a call that was given up
		}
		c.health, c.at = health, time.Now()
	}
	return c.health, c.program
}

// look does the work of check; the caller holds mu.
func (c *checker) look(ctx context.Context) plugins.Health {
	p, err := findProgram(c.command)
	if err != nil {
		return plugins.Health{State: plugins.HealthNotInstalled, Message: err.Error(), Remedy: installCommand}
	}
	if p != c.program || c.version == "" {
		version, err := p.version(ctx, c.env())
		if err != nil {
			return plugins.Health{State: plugins.HealthUnavailable, Message: "the Codex CLI does not start: " + err.Error(), Remedy: installCommand}
		}
		c.program, c.version = p, version
	}
	h := plugins.Health{State: plugins.HealthReady, Versions: map[string]string{"codex": c.version}}
	switch {
	case !c.access.needsLogin() && c.access.keyVariable == "":
		h.Message = "asks " + envBaseURL + " without a key"
	case !c.access.needsLogin():
		h.Message = "uses " + c.access.keyVariable
	default:
		if _, err := p.output(ctx, c.env(), "login", "status"); err != nil {
			h.State, h.Remedy = plugins.HealthUnauthenticated, loginCommand
			h.Message = "the Codex CLI is not logged in, and no API key is set"
			return h
		}
		h.Message = "logged in"
	}
	return h
}

// ready returns the program when a turn can be tried, and otherwise the error
// that says what to do.
func (c *checker) ready(ctx context.Context) (program, error) {
	h, p := c.check(ctx, false)
	if h.State == plugins.HealthReady {
		return p, nil
	}
	if h.State == plugins.HealthUnauthenticated {
		return p, plugins.Errorf(plugins.CodeUnauthenticated, "%s; run: %s (or set %s)", h.Message, loginCommand, envOpenAIKey)
	}
	if ctx.Err() != nil {
		return p, context.Cause(ctx)
	}
	return p, &plugins.Error{
		Code: plugins.CodeCLIFailure, Message: fmt.Sprintf("%s; run: %s", h.Message, installCommand), Err: errors.New(h.Message),
	}
}
