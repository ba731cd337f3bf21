package main

import (
	"encoding/json"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// reasoningItem is a piece of reasoning as the model server made it. Only the server
// can read what is encrypted; it wants it back before the calls that followed it.
type reasoningItem struct {
	Summary   []summaryText `json:"summary"`
	Encrypted string        `json:"encrypted_content"`
}

type summaryText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// signaturePrefix tells our signatures from those of other backends.
const signaturePrefix = "codex:"

// signature holds the whole item: a text that went through a client would not tell
// how the summary was divided.
func (i reasoningItem) signature() ([]byte, error) {
	text, err := json.Marshal(i)
	return append([]byte(signaturePrefix), text...), err
}

// itemOfReasoning makes the item again; false: the reasoning is not from here.
func itemOfReasoning(p plugins.Reasoning) (object, bool) {
	text, ok := strings.CutPrefix(string(p.Signature), signaturePrefix)
	var i reasoningItem
	if !ok || json.Unmarshal([]byte(text), &i) != nil || i.Encrypted == "" {
		return nil, false
	}
	if i.Summary == nil {
		i.Summary = []summaryText{}
	}
	return object{"type": "reasoning", "summary": i.Summary, "encrypted_content": i.Encrypted}, true
}
