package gemini

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// Message is one message that reached the API; Role is "user" or "model".
type Message struct {
	Role  string
	Parts []Part
}

// Part is one part in a form that all fakes could share.
type Part struct {
	// Kind is text, thought, image (any inline data), tool_use or tool_result.
	Kind string
	// Text of the part; of a tool_use its arguments and of a tool_result its
	// response as JSON, of an image its base64 data.
	Text string
	// ID of the call for tool_use and tool_result; may be empty.
	ID string
	// Name of the tool, or the media type of an image.
	Name string
	// Content is the media inside a tool_result.
	Content []Part
	// Signature of the model's reasoning that led to the part.
	Signature string
}

// Text is the message's text parts put together.
func (m Message) Text() string {
	var b strings.Builder
	for _, p := range m.Parts {
		if p.Kind == "text" {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// request is the part of a generateContent request that the fake looks at.
type request struct {
	Contents          []content      `json:"contents"`
	SystemInstruction *content       `json:"systemInstruction"`
	GenerationConfig  map[string]any `json:"generationConfig"`
	Tools             []struct {
		FunctionDeclarations []struct {
			Name string `json:"name"`
		} `json:"functionDeclarations"`
	} `json:"tools"`
}

type content struct {
	Role  string `json:"role"`
	Parts []part `json:"parts"`
}

type part struct {
	Text         *string `json:"text"`
	Thought      bool    `json:"thought"`
	Signature    string  `json:"thoughtSignature"`
	FunctionCall *struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
	FunctionResponse *struct {
		ID       string          `json:"id"`
		Name     string          `json:"name"`
		Response json.RawMessage `json:"response"`
		Parts    []part          `json:"parts"`
	} `json:"functionResponse"`
	InlineData *struct {
		MimeType string `json:"mimeType"`
		Data     string `json:"data"`
	} `json:"inlineData"`
}

func parse(body []byte) (request, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("parsing the request: %w", err)
	}
	if len(r.Contents) == 0 {
		return r, fmt.Errorf("parsing the request: no contents")
	}
	return r, nil
}

func (p part) neutral() Part {
	switch {
	case p.FunctionCall != nil:
		return Part{Kind: "tool_use", Text: string(p.FunctionCall.Args), ID: p.FunctionCall.ID, Name: p.FunctionCall.Name, Signature: p.Signature}
	case p.FunctionResponse != nil:
		r := Part{Kind: "tool_result", Text: string(p.FunctionResponse.Response), ID: p.FunctionResponse.ID, Name: p.FunctionResponse.Name}
		for _, inner := range p.FunctionResponse.Parts {
			r.Content = append(r.Content, inner.neutral())
		}
		return r
	case p.InlineData != nil:
		return Part{Kind: "image", Text: p.InlineData.Data, Name: p.InlineData.MimeType}
	case p.Text != nil && p.Thought:
		return Part{Kind: "thought", Text: *p.Text}
	case p.Text != nil:
		return Part{Kind: "text", Text: *p.Text}
	}
	return Part{}
}

// own says that the CLI's agent put this part into the conversation on its own
// account: where it works and what day it is.
func (p Part) own() bool {
	return p.Kind == "text" && strings.HasPrefix(strings.TrimSpace(p.Text), "<session_context>\nThis is the Gemini CLI.")
}

// Conversation is what reached the API, without what the CLI says on its own
// account; see Additions.
func Conversation(r *fakeapi.Request) (system string, messages []Message) {
	system, messages, _ = split(r)
	return system, messages
}

// Additions is what the CLI put into the conversation on its own account.
func Additions(r *fakeapi.Request) []string {
	_, _, additions := split(r)
	return additions
}

// Tools are the names of the tools that were offered.
func Tools(r *fakeapi.Request) []string {
	req, err := parse(r.Body)
	if err != nil {
		return nil
	}
	return req.tools()
}

func (r request) tools() (names []string) {
	for _, t := range r.Tools {
		for _, f := range t.FunctionDeclarations {
			names = append(names, f.Name)
		}
	}
	return names
}

// GenerationConfig is the request's, as it was sent.
func GenerationConfig(r *fakeapi.Request) map[string]any {
	req, err := parse(r.Body)
	if err != nil {
		return nil
	}
	return req.GenerationConfig
}

func split(r *fakeapi.Request) (system string, messages []Message, additions []string) {
	req, err := parse(r.Body)
	if err != nil {
		return "", nil, nil
	}
	if req.SystemInstruction != nil {
		for _, p := range req.SystemInstruction.Parts {
			system += p.neutral().Text
		}
	}
	for _, c := range req.Contents {
		m := Message{Role: c.Role}
		for _, p := range c.Parts {
			n := p.neutral()
			if n.own() {
				additions = append(additions, n.Text)
				continue
			}
			m.Parts = append(m.Parts, n)
		}
		if len(m.Parts) > 0 {
			messages = append(messages, m)
		}
	}
	return system, messages, additions
}

// prompt is the text of the last content that is not the model's, or that of its
// function responses when there is nothing else.
func (r request) prompt() string {
	for i := len(r.Contents) - 1; i >= 0; i-- {
		if r.Contents[i].Role == "model" {
			continue
		}
		m, results := Message{}, ""
		for _, p := range r.Contents[i].Parts {
			n := p.neutral()
			if n.Kind == "tool_result" {
				results += n.Text
			}
			if !n.own() {
				m.Parts = append(m.Parts, n)
			}
		}
		return cmp.Or(m.Text(), results)
	}
	return ""
}
