package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// entry is a message in the session file that the CLI goes on writing.
type entry struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Content   json.RawMessage `json:"content"`
	ToolCalls []struct {
		ID     string          `json:"id"`
		Name   string          `json:"name"`
		Args   json.RawMessage `json:"args"`
		Result []Part          `json:"result"`
	} `json:"toolCalls"`
	parts []Part // Content as it is sent again
}

// Said is what a turn has added to the conversation: session is what the CLI has
// added to its session file, responses are its record. The file has the order and
// the tools' results, but of the model's answers only a tidied text and no signature;
// those come from the record. Calls that nothing has come back for are answered
// with an error: the API wants an answer.
func Said(session []byte, responses []Response) ([]Content, error) {
	entries, err := entries(session)
	if err != nil {
		return nil, err
	}
	answers := 0
	for _, e := range entries {
		if e.answer() {
			answers++
		}
	}
	t := talk{responses: responses, inOrder: answers == len(responses)}
	for _, e := range entries {
		switch {
		case e.answer():
			t.model(e)
		case e.Type == "user" || e.Type == "info" && media(e.parts):
			t.user(e.parts)
		}
	}
	t.settle()
	return t.contents, nil
}

// Text is all that the model said in contents.
func Text(contents []Content) string {
	var out strings.Builder
	for _, c := range contents {
		if c.Role == "model" {
			out.WriteString(plain(c.Parts))
		}
	}
	return out.String()
}

// Spoken is a text that the model said.
func Spoken(s string) Content { return Content{Role: "model", Parts: []Part{text(s)}} }

// entries reads the messages. The CLI writes one again when it learns more about it;
// when a turn is cancelled it takes its messages back, by lines of another kind.
func entries(session []byte) ([]*entry, error) {
	var out []*entry
	byID := map[string]*entry{}
	for line := range bytes.Lines(session) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("reading the CLI's session: %w", err)
		}
		if e.ID == "" {
			continue
		}
		if err := e.parse(); err != nil {
			return nil, fmt.Errorf("reading the CLI's session: %w", err)
		}
		if known := byID[e.ID]; known != nil {
			*known = e
			continue
		}
		byID[e.ID] = &e
		out = append(out, &e)
	}
	return out, nil
}

func (e *entry) parse() error {
	if len(e.Content) == 0 {
		return nil
	}
	var s string
	if json.Unmarshal(e.Content, &s) == nil {
		if s != "" {
			e.parts = []Part{text(s)}
		}
		return nil
	}
	var pieces []Part
	if err := json.Unmarshal(e.Content, &pieces); err != nil {
		return err
	}
	e.parts = speech(pieces)
	return nil
}

// answer says that the entry is the model's: the CLI notes thoughts of its own making
// as the model's as well.
func (e *entry) answer() bool {
	return e.Type == "gemini" && (len(e.parts) > 0 || len(e.ToolCalls) > 0 || bytes.Equal(e.Content, []byte(`""`)))
}

// talk puts the conversation together.
type talk struct {
	responses []Response // those that were not used yet
	// inOrder says that each answer in the file has its response; otherwise some
	// are of the CLI's other agents.
	inOrder  bool
	contents []Content
	open     []FunctionCall  // calls that nothing has come back for
	results  map[string]Part // what the file says about them, by id
}

func (t *talk) model(e *entry) {
	t.settle()
	parts := t.exact(e)
	if len(parts) == 0 {
		return
	}
	t.contents = append(t.contents, Content{Role: "model", Parts: parts})
	for _, p := range parts {
		if p.FunctionCall != nil {
			t.open = append(t.open, *p.FunctionCall)
		}
	}
	t.results = map[string]Part{}
	for _, c := range e.ToolCalls {
		for _, p := range c.Result {
			if p.FunctionResponse != nil {
				t.results[p.FunctionResponse.ID] = p
			}
		}
	}
}

// exact is what the model said at an entry.
func (t *talk) exact(e *entry) []Part {
	for i, r := range t.responses {
		if t.inOrder || e.matches(r) {
			t.responses = t.responses[i+1:]
			return speech(r.Parts)
		}
	}
	parts := slices.Clone(e.parts)
	for _, c := range e.ToolCalls {
		if len(c.Args) == 0 {
			c.Args = json.RawMessage("{}")
		}
		call := Part{FunctionCall: &FunctionCall{ID: c.ID, Name: c.Name, Args: c.Args}}
		if !hasCall(Content{Parts: parts}) {
			call.ThoughtSignature = noSignature
		}
		parts = append(parts, call)
	}
	return parts
}

func (e *entry) matches(r Response) bool {
	if len(e.ToolCalls) > 0 {
		for _, c := range r.Calls {
			if c.ID == e.ToolCalls[0].ID {
				return true
			}
		}
		return false
	}
	return trim(plain(e.parts)) == trim(plain(r.Parts))
}

// user adds what the model was told: results, or words of the CLI's own.
func (t *talk) user(parts []Part) {
	if blank(Content{Parts: parts}) {
		return // the prompt that had the model answer
	}
	answered := map[string]bool{}
	for _, p := range parts {
		if r := p.FunctionResponse; r != nil {
			r.Response = withoutMedia(r.Response)
			answered[r.ID] = true
		}
	}
	var open []FunctionCall
	for _, c := range t.open {
		if !answered[c.ID] {
			open = append(open, c)
		}
	}
	t.open = open
	t.settle()
	t.contents = append(t.contents, Content{Role: "user", Parts: parts})
}

// settle answers the calls that are open.
func (t *talk) settle() {
	var parts []Part
	for _, c := range t.open {
		p, ok := t.results[c.ID]
		if !ok {
			p = Part{FunctionResponse: &FunctionResponse{ID: c.ID, Name: c.Name, Response: json.RawMessage(interrupted)}}
		}
		p.FunctionResponse.Response = withoutMedia(p.FunctionResponse.Response)
		parts = append(parts, p)
	}
	if len(parts) > 0 {
		t.contents = append(t.contents, Content{Role: "user", Parts: parts})
	}
	t.open = nil
}

// interrupted is the answer to a call that the turn's end came before.
const interrupted = `{"error":"The turn was interrupted before the tool had finished."}`

// mediaKey is where the CLI notes media that a model does not take inside a result.
// It sends them by themselves, and notes that too.
const mediaKey = "__binary_injection__"

func withoutMedia(response json.RawMessage) json.RawMessage {
	var m map[string]json.RawMessage
	if !bytes.Contains(response, []byte(mediaKey)) || json.Unmarshal(response, &m) != nil {
		return response
	}
	delete(m, mediaKey)
	out, err := json.Marshal(m)
	if err != nil {
		return response
	}
	return out
}

func media(parts []Part) bool {
	for _, p := range parts {
		if p.InlineData != nil {
			return true
		}
	}
	return false
}

// speech puts pieces together as the CLI does when it sends them again: text is one
// part, and thoughts are left out.
func speech(pieces []Part) []Part {
	var out []Part
	var run strings.Builder
	end := func() {
		if run.Len() > 0 {
			out = append(out, text(run.String()))
			run.Reset()
		}
	}
	for _, p := range pieces {
		if p.onlyText() && !p.Thought {
			run.WriteString(*p.Text)
			continue
		}
		end()
		if p.Thought || p.Text == nil && p.InlineData == nil && p.FunctionCall == nil && p.FunctionResponse == nil {
			continue
		}
		if p.FunctionCall != nil && len(p.FunctionCall.Args) == 0 {
			call := *p.FunctionCall
			call.Args = json.RawMessage("{}")
			p.FunctionCall = &call
		}
		out = append(out, p)
	}
	end()
	return out
}

func (p Part) onlyText() bool { return p.Text != nil && p.ThoughtSignature == "" }

func plain(parts []Part) string {
	var out strings.Builder
	for _, p := range parts {
		if p.Text != nil && !p.Thought {
			out.WriteString(*p.Text)
		}
	}
	return out.String()
}
