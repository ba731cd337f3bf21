package main

import (
	"context"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

// chatLaunch is the app-server of chat mode; its settings are in the private home.
func (b *backend) chatLaunch(p program) appserver.Config { return b.launch(p, b.home.dir, nil) }

// agentLaunch is the app-server of agent mode.
func (b *backend) agentLaunch(p program, a access) appserver.Config {
	return b.launch(p, a.userHome, flags(agentSettings(a, b.settings.Transport != transportSSE)))
}

// launch is how an app-server is started in a home.
func (b *backend) launch(p program, home string, args []string) appserver.Config {
	set := map[string]string{envHome: home}
	if p.tools != "" {
		set["PATH"] = os.Getenv("PATH") + string(os.PathListSeparator) + p.tools
	}
	if b.access.needsLogin() {
		set[envOpenAIKey], set[envCodexKey] = "", ""
	}
	secrets := []string{b.config.Environment[envOpenAIKey], b.config.Environment[envCodexKey]}
	return appserver.Config{
		Process: subprocess.Config{
			Path: p.path, Args: args, Dir: b.empty, Redact: secrets,
			Env: subprocess.Environment(b.config.Environment, set),
		},
		ClientVersion: version,
		OnSocketRefused: func() {
			b.noSocketUntil.Store(time.Now().Add(noSocketFor).UnixNano())
		},
	}
}

// Preview implements plugins.Previewer. The command is that of the app-server, which
// all turns of a mode share.
func (b *backend) Preview(_ context.Context, turn *plugins.Turn) (plugins.Preview, error) {
	if err := b.check(turn); err != nil {
		return plugins.Preview{}, err
	}
	p, err := findProgram(b.checker.command)
	if err != nil {
		return plugins.Preview{}, plugins.Errorf(plugins.CodeCLIFailure, "%w; run: %s", err, installCommand)
	}
	launch, dir := b.chatLaunch(p), ""
	if turn.Mode == plugins.ModeAgent {
		if err := checkDir(turn.WorkingDir); err != nil {
			return plugins.Preview{}, err
		}
		launch, dir = b.agentLaunch(p, b.access.shown()), turn.WorkingDir
	}
	process := launch.Command()
	out := plugins.Preview{CommandLine: append([]string{process.Path}, process.Args...), WorkingDir: dir}
	for _, v := range process.Env {
		name, _, _ := strings.Cut(v, "=")
		out.Environment = append(out.Environment, name)
	}
	return out, nil
}

// shown is the access without a password that the base URL may hold.
func (a access) shown() access {
	if u, err := url.Parse(a.baseURL); err == nil && u.User != nil {
		a.baseURL = u.Redacted()
	}
	return a
}
