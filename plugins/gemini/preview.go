package main

import (
	"context"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// Preview says how the process for a turn would be started. A process serves many
// turns: model, approval mode and conversation are told to it, not on its command line.
func (b *backend) Preview(_ context.Context, turn *plugins.Turn) (plugins.Preview, error) {
	if err := b.ready(); err != nil {
		return plugins.Preview{}, err
	}
	r, err := b.route(turn)
	if err != nil {
		return plugins.Preview{}, err
	}
	launch, err := b.launcher()
	if err != nil {
		return plugins.Preview{}, err
	}
	var p plugins.Preview
	var environment []string
	p.CommandLine, environment = launch.Preview(r.profile)
	for _, v := range environment {
		name, _, _ := strings.Cut(v, "=")
		p.Environment = append(p.Environment, name)
	}
	if turn.Mode == plugins.ModeAgent {
		p.WorkingDir = turn.WorkingDir
	}
	return p, nil
}
