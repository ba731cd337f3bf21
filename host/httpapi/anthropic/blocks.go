package anthropic

import (
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// otherBlocks are the content blocks that are known and not carried on. What ran on
// Anthropic's servers in an earlier turn is noted: the answer that came of it is
// carried on, and nothing here could read the rest.
var otherBlocks = map[string]struct {
	treatment treatment
	advice    string // follows "is not supported"
}{
	"server_tool_use":                        {treatment: noted},
	"web_search_tool_result":                 {treatment: noted},
	"web_fetch_tool_result":                  {treatment: noted},
	"code_execution_tool_result":             {treatment: noted},
	"bash_code_execution_tool_result":        {treatment: noted},
	"text_editor_code_execution_tool_result": {treatment: noted},
	"tool_search_tool_result":                {treatment: harmless},
	"advisor_tool_result":                    {treatment: noted},
	"mcp_tool_use":                           {treatment: noted},
	"mcp_tool_result":                        {treatment: noted},
	"mcp_tool_listing":                       {treatment: harmless},
	"fallback":                               {treatment: harmless},
	"container_upload":                       {treatment: refused, advice: "send the file as a document or an image"},
	"browser_state":                          {treatment: refused, advice: "send what is to be seen as text or as an image"},
	"tool_addition":                          {treatment: refused, advice: "give the tools of the next answer in tools"},
	"tool_removal":                           {treatment: refused, advice: "give the tools of the next answer in tools"},
}

// other says what becomes of a block that is none of those allowed at a place: nil
// when it is left out.
func (c *conversation) other(kind string, v wire.Value, allowed blocks) error {
	b, known := otherBlocks[kind]
	switch {
	case !known:
		return v.Unknown(allowed...)
	case b.treatment == refused:
		return v.Errorf("is %q, which is not supported; %s", kind, b.advice)
	case !allowed.has("thinking"): // it is no part of an answer
		return v.Unknown(allowed...)
	case b.treatment == noted:
		c.note("messages." + kind)
	}
	return nil
}

// searchResult reads what the client has found, for the model to go by.
func (c *conversation) searchResult(o wire.Object) (engine.Part, error) {
	r := wire.Read(o)
	title, err := o.Get("title").String()
	r.Fail(err)
	source, err := o.Get("source").String()
	r.Fail(err)
	text, err := c.text(o.Get("content"))
	r.Fail(err)
	r.Fail(c.citations(o))
	return engine.Text("Title: " + title + "\nSource: " + source + "\n\n" + text), r.Err()
}

// named reads a document with what the client says about it.
func (c *conversation) named(o wire.Object) ([]engine.Part, error) {
	parts, err := c.document(o)
	if err != nil {
		return nil, err
	}
	if err := c.citations(o); err != nil {
		return nil, err
	}
	context, err := o.Get("context").OptionalString()
	if err != nil {
		return nil, err
	}
	title, err := o.Get("title").OptionalString()
	if err != nil {
		return nil, err
	}
	var head []string
	if _, file := first(parts).(engine.Blob); title != "" && !file { // a file has its name
		head = append(head, "Title: "+title)
	}
	if context != "" {
		head = append(head, "Context: "+context)
	}
	if len(head) == 0 {
		return parts, nil
	}
	return append([]engine.Part{engine.Text(strings.Join(head, "\n") + "\n\n")}, parts...), nil
}

func first(parts []engine.Part) engine.Part {
	if len(parts) == 0 {
		return nil
	}
	return parts[0]
}

// citations notes that an answer should point at its sources: no backend does that.
func (c *conversation) citations(o wire.Object) error {
	v := o.Get("citations")
	if v.IsNull() {
		return nil
	}
	settings, err := v.Object()
	if err != nil {
		return err
	}
	enabled, err := settings.Get("enabled").Bool()
	if enabled {
		c.note("messages.citations")
	}
	return err
}
