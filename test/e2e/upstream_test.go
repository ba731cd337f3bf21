//go:build unix

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// sent is a model call as the provider got it, in neutral form: what the client said,
// without what the CLI says on its own account.
type sent struct {
	turns  []turn
	tools  []tool
	choice string         // auto, none, required, or a tool's name; empty: nothing was said
	schema string         // of the answer, as canonical JSON; empty: none
	fields map[string]any // the body
}

// only is the one model call that holds text.
func (u upstream) only(t *testing.T, text string) *fakeapi.Request {
	t.Helper()
	calls := u.find(text)
	if len(calls) != 1 {
		t.Fatalf("%d model calls", len(calls))
	}
	return calls[0]
}

// readSent reads a model call of a backend.
func readSent(t *testing.T, backend string, r *fakeapi.Request) sent {
	t.Helper()
	var s sent
	err := json.Unmarshal(r.Body, &s.fields)
	if err == nil {
		own := shared.upstream(backend).additions(r)
		switch backend {
		case "claude":
			err = s.claude(r.Body, own)
		case "codex":
			err = s.codex(r.Body)
		case "gemini":
			err = s.gemini(r.Body, own)
		}
	}
	if err != nil {
		t.Fatalf("reading what went upstream: %v\n%s", err, r.Body)
	}
	return s
}

// flat is the conversation as pairs of role and part: providers draw the borders of
// messages in different places.
func flat(turns []turn) (out []turn) {
	for _, t := range turns {
		for _, p := range t.Parts {
			if p.Kind == "call" {
				p.Text = canonical(p.Text)
			}
			out = append(out, turn{t.Role, []part{p}})
		}
	}
	return out
}

// sentBlock is a content block of Anthropic's API.
type sentBlock struct {
	anthropicBlock
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
	Source    struct {
		Media string `json:"media_type"`
		Data  string `json:"data"`
	} `json:"source"`
}

// sentBlocks reads content, which is a string or a list of blocks.
func sentBlocks(raw json.RawMessage) (out []part, err error) {
	var s string
	if len(raw) == 0 {
		return nil, nil
	}
	if json.Unmarshal(raw, &s) == nil {
		return []part{text(s)}, nil
	}
	var blocks []sentBlock
	if err := json.Unmarshal(raw, &blocks); err != nil {
		return nil, err
	}
	for _, b := range blocks {
		p := b.part()
		switch b.Type {
		case "tool_result":
			p = part{Kind: "result", ID: b.ToolUseID, IsError: b.IsError}
			if p.Parts, err = sentBlocks(b.Content); err != nil {
				return nil, err
			}
		case "image", "document":
			p.Media, p.Data = b.Source.Media, b.Source.Data
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *sent) claude(body []byte, own []string) error {
	var v struct {
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Tools []struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Schema      json.RawMessage `json:"input_schema"`
		} `json:"tools"`
		Choice struct{ Type, Name string } `json:"tool_choice"`
		Output struct {
			Format struct {
				Schema json.RawMessage `json:"schema"`
			} `json:"format"`
		} `json:"output_config"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	for _, m := range v.Messages {
		parts, err := sentBlocks(m.Content)
		if err != nil {
			return err
		}
		parts = slices.DeleteFunc(parts, func(p part) bool { return p.Kind == "text" && slices.Contains(own, p.Text) })
		s.turns = append(s.turns, turn{m.Role, parts})
	}
	for _, t := range v.Tools {
		s.tools = append(s.tools, tool{t.Name, t.Description, canonical(string(t.Schema))})
	}
	s.choice = map[string]string{"any": "required", "tool": v.Choice.Name}[v.Choice.Type]
	if s.choice == "" {
		s.choice = v.Choice.Type
	}
	if v.Output.Format.Schema != nil {
		s.schema = canonical(string(v.Output.Format.Schema))
	}
	return nil
}

// sentTool is a tool of OpenAI's API, or a namespace of tools.
type sentTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Tools       []sentTool      `json:"tools"`
}

func (s *sent) offer(tools []sentTool) {
	for _, t := range tools {
		if t.Type == "namespace" {
			s.offer(t.Tools)
			continue
		}
		s.tools = append(s.tools, tool{t.Name, t.Description, canonical(string(t.Parameters))})
	}
}

// sentItem is an item of the input of OpenAI's API.
type sentItem struct {
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"`
	Tools     []sentTool      `json:"tools"`
}

// sentContent reads content, which is a string or a list.
func sentContent(raw json.RawMessage) (out []part, err error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return []part{text(s)}, nil
	}
	var list []struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		ImageURL string `json:"image_url"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.Type != "input_image" {
			out = append(out, text(c.Text))
			continue
		}
		media, data, _ := strings.Cut(strings.TrimPrefix(c.ImageURL, "data:"), ";base64,")
		out = append(out, part{Kind: "image", Media: media, Data: data})
	}
	return out, nil
}

func (s *sent) codex(body []byte) (err error) {
	var v struct {
		Input  []sentItem      `json:"input"`
		Tools  []sentTool      `json:"tools"`
		Choice json.RawMessage `json:"tool_choice"`
		Text   struct {
			Format struct {
				Schema json.RawMessage `json:"schema"`
			} `json:"format"`
		} `json:"text"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	s.offer(v.Tools)
	for _, i := range v.Input {
		var t turn
		switch i.Type {
		case "message", "":
			t.Role = i.Role
			t.Parts, err = sentContent(i.Content)
		case "function_call":
			t = assistant(call(i.CallID, i.Name, i.Arguments))
		case "function_call_output":
			t = user(result(i.CallID))
			t.Parts[0].Parts, err = sentContent(i.Output)
		case "additional_tools":
			s.offer(i.Tools)
		default:
			t = turn{i.Role, []part{{Kind: i.Type}}}
		}
		if err != nil {
			return err
		}
		if t.Parts != nil && t.Role != "developer" {
			s.turns = append(s.turns, t)
		}
	}
	var named struct{ Name string }
	if json.Unmarshal(v.Choice, &s.choice) != nil && json.Unmarshal(v.Choice, &named) == nil {
		s.choice = named.Name
	}
	if v.Text.Format.Schema != nil {
		s.schema = canonical(string(v.Text.Format.Schema))
	}
	return nil
}

// sentPart is a part of Gemini's API.
type sentPart struct {
	Text         string `json:"text"`
	Thought      bool   `json:"thought"`
	FunctionCall *struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	} `json:"functionCall"`
	FunctionResponse *struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Response struct {
			Output *string `json:"output"`
			Error  *string `json:"error"`
		} `json:"response"`
		Parts []sentPart `json:"parts"`
	} `json:"functionResponse"`
	InlineData *struct {
		Media string `json:"mimeType"`
		Data  string `json:"data"`
	} `json:"inlineData"`
}

func (p sentPart) part() part {
	switch {
	case p.FunctionCall != nil:
		return call(p.FunctionCall.ID, p.FunctionCall.Name, string(p.FunctionCall.Args))
	case p.FunctionResponse != nil:
		r := result(p.FunctionResponse.ID)
		output := p.FunctionResponse.Response.Output
		if e := p.FunctionResponse.Response.Error; e != nil {
			output, r.IsError = e, true
		}
		if output != nil {
			r.Parts = []part{text(*output)}
		}
		for _, inner := range p.FunctionResponse.Parts {
			r.Parts = append(r.Parts, inner.part())
		}
		return r
	case p.InlineData != nil && strings.HasPrefix(p.InlineData.Media, "image/"):
		return part{Kind: "image", Media: p.InlineData.Media, Data: p.InlineData.Data}
	case p.InlineData != nil:
		return part{Kind: "document", Media: p.InlineData.Media, Data: p.InlineData.Data}
	case p.Thought:
		return part{Kind: "thinking", Text: p.Text}
	}
	return text(p.Text)
}

func (s *sent) gemini(body []byte, own []string) error {
	var v struct {
		Contents []struct {
			Role  string     `json:"role"`
			Parts []sentPart `json:"parts"`
		} `json:"contents"`
		Tools []struct {
			Functions []struct {
				Name        string          `json:"name"`
				Description string          `json:"description"`
				Parameters  json.RawMessage `json:"parametersJsonSchema"`
			} `json:"functionDeclarations"`
		} `json:"tools"`
		Config struct {
			Calling struct {
				Mode    string   `json:"mode"`
				Allowed []string `json:"allowedFunctionNames"`
			} `json:"functionCallingConfig"`
		} `json:"toolConfig"`
		Generation struct {
			Schema json.RawMessage `json:"responseJsonSchema"`
		} `json:"generationConfig"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	for _, c := range v.Contents {
		t := turn{Role: strings.Replace(c.Role, "model", "assistant", 1)}
		for _, p := range c.Parts {
			if n := p.part(); n.Kind != "text" || !slices.Contains(own, n.Text) {
				t.Parts = append(t.Parts, n)
			}
		}
		s.turns = append(s.turns, t)
	}
	for _, t := range v.Tools {
		for _, f := range t.Functions {
			s.tools = append(s.tools, tool{f.Name, f.Description, canonical(string(f.Parameters))})
		}
	}
	s.choice = map[string]string{"ANY": "required", "NONE": "none", "AUTO": "auto"}[v.Config.Calling.Mode]
	if len(v.Config.Calling.Allowed) == 1 {
		s.choice = v.Config.Calling.Allowed[0]
	}
	if v.Generation.Schema != nil {
		s.schema = canonical(string(v.Generation.Schema))
	}
	return nil
}
