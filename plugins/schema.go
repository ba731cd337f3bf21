package plugins

import "encoding/json"

// objectOnly asks a model for what a schema cannot have it do.
const objectOnly = "Answer with one JSON object and nothing else: no other text, and no code fence around it."

// AnyObject says that Turn.OutputSchema is {"type":"object"} and no more. That is
// what clients ask for that want JSON without saying which.
func (t *Turn) AnyObject() bool {
	var schema map[string]any
	return json.Unmarshal(t.OutputSchema, &schema) == nil && len(schema) == 1 && schema["type"] == "object"
}

// AskForObject is for providers that enforce schemas only when they name all members:
// for AnyObject it returns a copy of the turn that has the wish in its system prompt
// in place of the schema, for any other turn the turn itself.
func (t *Turn) AskForObject() *Turn {
	if !t.AnyObject() {
		return t
	}
	asking := *t
	asking.OutputSchema = nil
	if asking.System != "" {
		asking.System += "\n\n"
	}
	asking.System += objectOnly
	return &asking
}
