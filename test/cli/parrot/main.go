// Command clinvk-backend-parrot is a second backend for tests of the command line: it
// says what it has heard.
package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

func main() { plugins.Serve(parrot{}) }

type parrot struct{}

func (parrot) Describe() plugins.Description {
	return plugins.Description{Name: "parrot", Title: "Parrot", Summary: "Says what it has heard."}
}

func (parrot) ChatSupport() plugins.ChatSupport   { return plugins.ChatSupport{} }
func (parrot) AgentSupport() plugins.AgentSupport { return plugins.AgentSupport{} }

func (parrot) Health(context.Context, bool) (plugins.Health, error) {
	return plugins.Health{State: plugins.HealthReady}, nil
}

// Models other than the default leave a file with the prompt's name in the working
// directory when they have begun, and go on: slow until it is interrupted, deaf for ever.
const (
	slow = "slow"
	deaf = "deaf"
)

func (parrot) Models(context.Context) ([]plugins.Model, error) {
	return []plugins.Model{{ID: "grey", Default: true}, {ID: slow}, {ID: deaf}}, nil
}

func (parrot) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	var heard []string
	for _, m := range turn.Messages {
		for _, p := range m.Parts {
			if text, ok := p.(plugins.Text); ok {
				heard = append(heard, string(text))
			}
		}
	}
	if err := out.Started("grey", false); err != nil {
		return err
	}
	text := strings.Join(heard, ", ")
	if err := out.Text("heard: " + text); err != nil {
		return err
	}
	if turn.Model != slow && turn.Model != deaf {
		out.Finish(plugins.Finish{})
		return nil
	}
	if err := os.WriteFile(filepath.Join(turn.WorkingDir, filepath.Base(text)), nil, 0o600); err != nil {
		return err
	}
	if turn.Model == deaf {
		select {}
	}
	select {
	case <-turn.Interrupted:
		out.Finish(plugins.Finish{Reason: plugins.FinishInterrupted})
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
