package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// healthTimeout bounds Health, which has three seconds.
const healthTimeout = 2500 * time.Millisecond

// state caches what was found out about the CLI, for the release that it holds for.
type state struct {
	mu       sync.Mutex
	login    map[cli]bool
	asking   chan struct{} // closed when the CLI has said whether it has a login
	models   []plugins.Model
	modelsOf cli
}

// Health says whether the CLI is there and has credentials. A login is asked for
// again while there is none, and when deep.
func (b *backend) Health(ctx context.Context, deep bool) (plugins.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	c, err := b.cli.find(ctx)
	if errors.Is(err, errNotInstalled) {
		return plugins.Health{State: plugins.HealthNotInstalled, Message: err.Error(), Remedy: installRemedy}, nil
	}
	if err != nil {
		return plugins.Health{State: plugins.HealthUnavailable, Message: err.Error(), Remedy: installRemedy}, nil
	}
	h := plugins.Health{State: plugins.HealthReady, Versions: map[string]string{"claude": c.version}}
	loggedIn, ok := b.login(ctx, c, deep)
	switch {
	case !ok:
		h.State, h.Message = plugins.HealthDegraded, "whether Claude Code is logged in is not known yet"
	case !loggedIn:
		h.State, h.Message, h.Remedy = plugins.HealthUnauthenticated, notLoggedIn, loginRemedy
	}
	return h, nil
}

// login says whether the CLI has credentials. The CLI is asked in the background,
// which takes 0.3 s, on a busy machine much longer; ok is false when it has not
// answered by the end of ctx.
func (b *backend) login(ctx context.Context, c cli, deep bool) (loggedIn, ok bool) {
	if b.keyed() {
		return true, true
	}
	b.state.mu.Lock()
	if b.state.login[c] && !deep {
		b.state.mu.Unlock()
		return true, true
	}
	if b.state.asking == nil {
		asking := make(chan struct{})
		b.state.asking = asking
		b.wg.Go(func() { b.askLogin(c, asking) })
	}
	asking := b.state.asking
	b.state.mu.Unlock()
	select {
	case <-asking:
	case <-ctx.Done():
	}
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	loggedIn, ok = b.state.login[c]
	return loggedIn, ok
}

func (b *backend) askLogin(c cli, asking chan struct{}) {
	loggedIn, err := b.cli.loggedIn(b.ctx, c)
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	switch {
	case err == nil:
		b.state.login = map[cli]bool{c: loggedIn}
	case b.ctx.Err() == nil:
		plugins.Logger().Warn("whether Claude Code is logged in is not known", "error", err)
	}
	b.state.asking = nil
	close(asking)
}

// loggedOut notes that the CLI said in a turn that it has no login.
func (b *backend) loggedOut() {
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	b.state.login = nil
}

// Models asks the CLI what it offers; it answers without the network. Other names
// are passed to it all the same.
func (b *backend) Models(ctx context.Context) ([]plugins.Model, error) {
	c, err := b.cli.find(ctx)
	if err != nil {
		return nil, err
	}
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	if b.state.modelsOf == c {
		return b.state.models, nil
	}
	p, err := b.start(ctx, b.chatLaunch())
	if err != nil {
		return nil, err
	}
	defer b.end(p)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r, err := p.ask(ctx, wire.Initialize{Title: title})
	if err != nil {
		return nil, p.failure(fmt.Errorf("asking the CLI for its models: %w", err))
	}
	var body wire.Initialized
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return nil, fmt.Errorf("reading the CLI's models: %w", err)
	}
	b.state.models, b.state.modelsOf = modelsOf(body.Models), c
	return b.state.models, nil
}

// modelsOf lists each model once under its id, the default first; the CLI's short
// names become aliases.
func modelsOf(offered []wire.Model) []plugins.Model {
	var out []plugins.Model
	index := map[string]int{}
	for i, m := range offered {
		id := m.Resolved
		if id == "" {
			id = m.Value
		}
		if id == "" {
			continue
		}
		at, ok := index[id]
		if !ok {
			at = len(out)
			index[id] = at
			out = append(out, plugins.Model{ID: id, Default: i == 0})
		}
		if m.Value == defaultModel || m.Value == "" {
			continue // says nothing about the model
		}
		if m.Value != id {
			out[at].Aliases = append(out[at].Aliases, m.Value)
		}
		if out[at].Title == "" {
			out[at].Title = m.DisplayName
		}
	}
	for i := range out {
		if strings.HasSuffix(out[i].ID, "[1m]") {
			out[i].ContextWindow = 1_000_000
		}
	}
	return out
}

// signer is the API's name of the model that a turn runs on. The CLI gives reasoning
// back only to the model that it says it is from; empty when it cannot be told.
func (b *backend) signer(ctx context.Context, turn *plugins.Turn) string {
	name := turn.Model
	if models, err := b.Models(ctx); err == nil {
		for _, m := range models {
			usual := m.Default && (name == "" || name == defaultModel)
			// 2.1.197 knows "opus" and does not list it.
			family := name != "" && strings.HasPrefix(m.ID, "claude-"+name+"-")
			if m.ID == name || usual || family || slices.Contains(m.Aliases, name) {
				name = m.ID
				break
			}
		}
	}
	return strings.TrimSuffix(name, "[1m]")
}

// reasoned says that a conversation holds reasoning that could be given back.
func reasoned(messages []plugins.Message) bool {
	return slices.ContainsFunc(messages, func(m plugins.Message) bool {
		return slices.ContainsFunc(m.Parts, func(p plugins.Part) bool {
			r, ok := p.(plugins.Reasoning)
			return ok && len(r.Signature) > 0
		})
	})
}
