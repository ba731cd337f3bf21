package main

import (
	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// schemaInWords asks a model for what the API cannot have it do.
const schemaInWords = "When you give your final answer, make it one JSON value that is valid against the following JSON Schema, " +
	"and nothing else: no other text, and no code fence around it.\n"

// withoutSchema is the turn with its schema in its instructions, for models that take
// tools or a schema but not both, and any other turn as it is. In agent mode
// the CLI's own tools are there.
func withoutSchema(model string, turn *plugins.Turn) *plugins.Turn {
	if len(turn.OutputSchema) == 0 || wire.ThirdOrLater(model) || len(turn.Tools) == 0 && turn.Mode != plugins.ModeAgent {
		return turn
	}
	if turn.AnyObject() {
		return turn.AskForObject()
	}
	asking := *turn
	asking.OutputSchema = nil
	if asking.System != "" {
		asking.System += "\n\n"
	}
	asking.System += schemaInWords + string(turn.OutputSchema)
	return &asking
}
