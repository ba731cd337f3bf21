package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// Preview says how Execute would start the CLI. Prompts are not in it: they reach the
// CLI by its standard input, and so does what the turn sets for a chat.
func (b *backend) Preview(_ context.Context, turn *plugins.Turn) (plugins.Preview, error) {
	if err := check(turn); err != nil {
		return plugins.Preview{}, err
	}
	c, err := b.cli.look()
	if err != nil {
		return plugins.Preview{}, err
	}
	l, err := b.launchOf(turn, false)
	if err != nil {
		return plugins.Preview{}, err
	}
	command := b.command(c, l, filepath.Join(b.root, "preview"))
	p := plugins.Preview{CommandLine: slices.Concat([]string{command.Path}, command.Args), WorkingDir: l.dir}
	for _, variable := range command.Env {
		name, _, _ := strings.Cut(variable, "=")
		p.Environment = append(p.Environment, name)
	}
	return p, nil
}
