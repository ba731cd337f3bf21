package wire

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// Content is one message of a conversation.
type Content struct {
	// Role is "user" or "model".
	Role  string `json:"role,omitempty"`
	Parts []Part `json:"parts"`
}

// Part is one part of a Content: exactly one of its pointers is set.
type Part struct {
	Text             *string           `json:"text,omitempty"`
	Thought          bool              `json:"thought,omitempty"`
	InlineData       *Blob             `json:"inlineData,omitempty"`
	FunctionCall     *FunctionCall     `json:"functionCall,omitempty"`
	FunctionResponse *FunctionResponse `json:"functionResponse,omitempty"`
	ThoughtSignature string            `json:"thoughtSignature,omitempty"`
}

// Blob is inline media.
type Blob struct {
	MimeType string `json:"mimeType"`
	Data     []byte `json:"data"`
}

// FunctionCall is a call by the model; Args is a JSON object.
type FunctionCall struct {
	ID   string          `json:"id,omitempty"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"`
	// Signature is that of the part which the call was in.
	Signature string `json:"-"`
}

// FunctionResponse is the outcome of a call; Response is a JSON object.
type FunctionResponse struct {
	ID       string          `json:"id,omitempty"`
	Name     string          `json:"name"`
	Response json.RawMessage `json:"response"`
	// Parts are the media of the outcome.
	Parts []Part `json:"parts,omitempty"`
}

// noSignature stands for the signature of a call that went through a dialect which
// has no place for it. The API knows this word; without it newer models refuse
// a history with calls.
const noSignature = "skip_thought_signature_validator"

// signaturePrefix tells our signatures from those of other backends.
const signaturePrefix = "gemini:"

// Signature is the signature of reasoning that a client gets and gives back before
// the call that the API's signature was with.
func Signature(ofAPI string) []byte { return []byte(signaturePrefix + ofAPI) }

// ThirdOrLater says that a model is known to be of Gemini 3, which takes more than
// the models before it: media inside results, and a schema beside tools.
func ThirdOrLater(model string) bool { return strings.HasPrefix(model, "gemini-3") }

func text(s string) Part { return Part{Text: &s} }

// converter makes the parts of a conversation.
type converter struct {
	names map[string]string // of the calls so far, by id
	// nested says that media of a result belong into it; otherwise beside it.
	nested bool
	// signature is for the next call of the message.
	signature string
}

// Contents makes the conversation of a turn to a model. Consecutive messages of one
// role stay apart. Of reasoning only the signature goes back, with its call.
func Contents(model string, messages []plugins.Message) ([]Content, error) {
	k := converter{names: map[string]string{}, nested: ThirdOrLater(model)}
	out := make([]Content, 0, len(messages))
	for i, m := range messages {
		c := Content{Role: "user"}
		if m.Role == plugins.RoleAssistant {
			c.Role = "model"
		}
		k.signature = ""
		for _, p := range m.Parts {
			parts, err := k.convert(p, c)
			if err != nil {
				return nil, fmt.Errorf("message %d: %w", i+1, err)
			}
			c.Parts = append(c.Parts, parts...)
		}
		if len(c.Parts) == 0 {
			c.Parts = []Part{text("")} // the API wants one
		}
		out = append(out, c)
	}
	return out, nil
}

func (k *converter) convert(p plugins.Part, so Content) ([]Part, error) {
	switch v := p.(type) {
	case plugins.Text:
		return []Part{text(string(v))}, nil
	case plugins.Blob:
		return []Part{{InlineData: &Blob{MimeType: v.MediaType, Data: v.Data}}}, nil
	case plugins.ToolCall:
		k.names[v.ID] = v.Name
		args, err := object(v.Arguments)
		if err != nil {
			return nil, fmt.Errorf("arguments of the call of %q: %w", v.Name, err)
		}
		call := Part{FunctionCall: &FunctionCall{ID: v.ID, Name: v.Name, Args: args}, ThoughtSignature: k.signature}
		if call.ThoughtSignature == "" && !hasCall(so) {
			call.ThoughtSignature = noSignature
		}
		k.signature = ""
		return []Part{call}, nil
	case plugins.Reasoning:
		if s, ok := strings.CutPrefix(string(v.Signature), signaturePrefix); ok {
			k.signature = s
		}
	case plugins.ToolResult:
		return k.result(v)
	}
	return nil, nil
}

func hasCall(c Content) bool {
	for _, p := range c.Parts {
		if p.FunctionCall != nil {
			return true
		}
	}
	return false
}

// object is the arguments of a call: the API takes only an object. A model of
// another provider may have written less than one; the model then sees the text.
func object(s string) (json.RawMessage, error) {
	if strings.TrimSpace(s) == "" {
		return json.RawMessage("{}"), nil
	}
	var m map[string]json.RawMessage
	err := json.Unmarshal([]byte(s), &m)
	switch {
	case err != nil:
		return json.Marshal(map[string]string{"arguments": s})
	case m == nil: // null
		return json.RawMessage("{}"), nil
	}
	return json.RawMessage(s), nil
}

// result makes the function response. Media are inside it where the model takes them
// there, as the CLI does it for its own tools, and else follow it.
func (k *converter) result(r plugins.ToolResult) ([]Part, error) {
	name := r.Name
	if name == "" {
		name = k.names[r.CallID]
	}
	if name == "" {
		return nil, fmt.Errorf("the result of call %q comes without the call", r.CallID)
	}
	var output string
	var inside, beside []Part
	for _, p := range r.Parts {
		switch v := p.(type) {
		case plugins.Text:
			output += string(v)
		case plugins.Blob:
			media := Part{InlineData: &Blob{MimeType: v.MediaType, Data: v.Data}}
			if k.nested && (strings.HasPrefix(v.MediaType, "image/") || v.MediaType == "application/pdf") {
				inside = append(inside, media)
			} else {
				beside = append(beside, media)
			}
		}
	}
	key := "output"
	if r.IsError {
		key = "error"
	}
	response, err := json.Marshal(map[string]string{key: output})
	if err != nil {
		return nil, err
	}
	return append([]Part{{FunctionResponse: &FunctionResponse{ID: r.CallID, Name: name, Response: response, Parts: inside}}}, beside...), nil
}
