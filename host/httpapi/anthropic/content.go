package anthropic

import (
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// blocks is the set of content blocks that are allowed at a place.
type blocks []string

var (
	ofSystem    = blocks{"text"}
	inResult    = blocks{"text", "image", "document", "search_result", "tool_reference"}
	ofUser      = blocks{"text", "image", "document", "search_result", "tool_result"}
	ofAssistant = blocks{"text", "thinking", "redacted_thinking", "tool_use", "compaction"}
)

func (b blocks) has(kind string) bool {
	for _, k := range b {
		if k == kind {
			return true
		}
	}
	return false
}

// content reads a string or an array of blocks. Empty texts are left out of arrays.
func (c *conversation) content(v wire.Value, allowed blocks) ([]engine.Part, error) {
	if v.IsString() {
		s, err := v.String()
		return []engine.Part{engine.Text(s)}, err
	}
	if !v.IsArray() {
		if len(v.Raw()) == 0 {
			return nil, v.Errorf("is required")
		}
		return nil, v.Errorf("must be a string or an array of blocks")
	}
	var parts []engine.Part
	for _, e := range v.Elements() {
		o, err := e.Object()
		if err != nil {
			return nil, err
		}
		kind, err := o.Get("type").String()
		if err != nil {
			return nil, err
		}
		if !allowed.has(kind) {
			if err := c.other(kind, o.Get("type"), allowed); err != nil {
				return nil, err
			}
			continue
		}
		block, err := c.block(kind, o)
		if err != nil {
			return nil, err
		}
		for _, p := range block {
			if p != engine.Text("") {
				parts = append(parts, p)
			}
		}
	}
	return parts, nil
}

// block reads one block; a document of blocks is several parts.
func (c *conversation) block(kind string, o wire.Object) ([]engine.Part, error) {
	one := func(p engine.Part, err error) ([]engine.Part, error) { return []engine.Part{p}, err }
	switch kind {
	case "text":
		s, err := o.Get("text").String()
		return one(engine.Text(s), err)
	case "image":
		return one(imageBlock(o.Get("source")))
	case "document":
		return c.named(o)
	case "tool_use":
		return one(c.toolUse(o))
	case "tool_result":
		return one(c.toolResult(o))
	case "thinking":
		r := wire.Read(o)
		text, err := o.Get("thinking").String()
		r.Fail(err)
		return one(engine.Reasoning{Text: text, Signature: decodeSignature(r.String("signature"))}, r.Err())
	case "redacted_thinking":
		data, err := o.Get("data").NonEmpty()
		return one(engine.Reasoning{Signature: decodeSignature(data), Redacted: true}, err)
	case "search_result":
		return one(c.searchResult(o))
	case "tool_reference":
		name, err := o.Get("tool_name").NonEmpty()
		return one(engine.Text("The tool "+name+" is there."), err)
	case "compaction":
		summary, err := o.Get("content").OptionalString()
		return one(engine.Text(summary), err)
	}
	return nil, o.Get("type").Unknown(kind) // cannot be: allowed lists what is above
}

// source reads the kind of a source and the source.
func source(v wire.Value) (string, wire.Object, error) {
	o, err := v.Object()
	if err != nil {
		return "", o, err
	}
	kind, err := o.Get("type").String()
	return kind, o, err
}

func noFile(o wire.Object) error {
	return o.Get("type").Errorf("must be base64 or url: there are no stored files")
}

func imageBlock(v wire.Value) (engine.Part, error) {
	kind, o, err := source(v)
	switch {
	case err != nil:
		return nil, err
	case kind == "url":
		return media.Image(o.Get("url"))
	case kind == "file":
		return nil, noFile(o)
	case kind != "base64":
		return nil, o.Get("type").Unknown("base64", "url")
	}
	return blob(o, "image/")
}

// blob reads media_type and data of a base64 source.
func blob(o wire.Object, prefix string) (engine.Blob, error) {
	mediaType, err := o.Get("media_type").NonEmpty()
	if err != nil {
		return engine.Blob{}, err
	}
	if !strings.HasPrefix(mediaType, prefix) {
		return engine.Blob{}, o.Get("media_type").Errorf("must begin with %s", prefix)
	}
	data, err := o.Get("data").Base64()
	if err != nil {
		return engine.Blob{}, err
	}
	return media.Inline(o.Get("media_type"), mediaType, data)
}

func (c *conversation) document(block wire.Object) ([]engine.Part, error) {
	title, err := block.Get("title").OptionalString()
	if err != nil {
		return nil, err
	}
	kind, o, err := source(block.Get("source"))
	if err != nil {
		return nil, err
	}
	switch kind {
	case "base64":
		b, err := blob(o, "application/pdf")
		b.Name = title
		return []engine.Part{b}, err
	case "text":
		s, err := o.Get("data").String()
		return []engine.Part{engine.Text(s)}, err
	case "content":
		return c.content(o.Get("content"), blocks{"text", "image"})
	case "url":
		b, err := media.Document(o.Get("url"))
		b.Name = title
		return []engine.Part{b}, err
	case "file":
		return nil, noFile(o)
	}
	return nil, o.Get("type").Unknown("base64", "text", "content", "url")
}

func (c *conversation) toolUse(o wire.Object) (engine.Part, error) {
	id, err := o.Get("id").NonEmpty()
	if err != nil {
		return nil, err
	}
	name, err := o.Get("name").NonEmpty()
	if err != nil {
		return nil, err
	}
	input := o.Get("input")
	if !input.IsObject() {
		_, err := input.Object()
		return nil, err
	}
	c.calls[id] = name
	return engine.ToolCall{ID: id, Name: name, Arguments: string(input.Compact())}, nil
}

func (c *conversation) toolResult(o wire.Object) (engine.Part, error) {
	id, err := o.Get("tool_use_id").NonEmpty()
	if err != nil {
		return nil, err
	}
	r := engine.ToolResult{CallID: id, Name: c.calls[id]}
	if r.IsError, err = o.Get("is_error").Bool(); err != nil {
		return nil, err
	}
	if content := o.Get("content"); !content.IsNull() {
		if r.Parts, err = c.content(content, inResult); err != nil {
			return nil, err
		}
	}
	return r, nil
}
