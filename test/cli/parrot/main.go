// Command clinvk-backend-parrot is a second backend for tests of the command line: it
// says what it has heard.
package main

import (
	"context"
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

func (parrot) Models(context.Context) ([]plugins.Model, error) {
	return []plugins.Model{{ID: "grey", Default: true}}, nil
}

func (parrot) Execute(_ context.Context, turn *plugins.Turn, out *plugins.Stream) error {
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
	if err := out.Text("heard: " + strings.Join(heard, ", ")); err != nil {
		return err
	}
	out.Finish(plugins.Finish{})
	return nil
}
