package anthropic

import (
	"encoding/json"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// anthropicTool is a family of tools whose meaning Anthropic's models know by the
// type; a family's members differ in the date at the end.
type anthropicTool struct {
	prefix string
	// treatment is honoured when the client carries the tool out and its input is
	// known: then any model can be told.
	treatment   treatment
	description string
	schema      json.RawMessage
}

// anthropicTools lists them. What runs on Anthropic's servers cannot be offered; a
// search for tools is not needed, because all tools are offered at once.
var anthropicTools = []anthropicTool{
	{prefix: "bash_", description: bashDescription, schema: bashSchema},
	{prefix: "text_editor_", description: editorDescription, schema: editorSchema},
	{prefix: "memory_", description: memoryDescription, schema: memorySchema},
	{prefix: "tool_search_tool_", treatment: harmless},
	{prefix: "web_search_", treatment: noted},
	{prefix: "web_fetch_", treatment: noted},
	{prefix: "code_execution_", treatment: noted},
	{prefix: "computer_", treatment: noted},
	{prefix: "browser_", treatment: noted},
	{prefix: "advisor_", treatment: noted},
	{prefix: "mcp_toolset", treatment: noted},
}

// ownTool finds the family of a type; nil: there is none.
func ownTool(kind string) *anthropicTool {
	for i := range anthropicTools {
		if strings.HasPrefix(kind, anthropicTools[i].prefix) {
			return &anthropicTools[i]
		}
	}
	return nil
}

// name of the family, for notes.
func (a *anthropicTool) name() string { return strings.TrimSuffix(a.prefix, "_") }

// tool is what a model is told that does not know the type.
func (a *anthropicTool) tool(o wire.Object) (engine.Tool, error) {
	name, err := o.Get("name").ToolName()
	return engine.Tool{Name: name, Description: a.description, InputSchema: a.schema}, err
}

// The input of these tools is what Anthropic's documentation says that it is. For the
// editor's insert it has said new_str and insert_text; clients read the one or the other.
var (
	bashSchema = json.RawMessage(`{"type":"object","properties":{` +
		`"command":{"type":"string","description":"The command to run. Required unless restart is true."},` +
		`"restart":{"type":"boolean","description":"Start a new shell instead of running a command."}}}`)

	editorSchema = json.RawMessage(`{"type":"object","required":["command","path"],"properties":{` +
		`"command":{"type":"string","enum":["view","str_replace","create","insert"]},` +
		`"path":{"type":"string","description":"The file, or for view also a directory."},` +
		`"view_range":{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":2,` +
		`"description":"For view: the first and last line to show, from 1; -1 as the last is the end of the file."},` +
		`"old_str":{"type":"string","description":"For str_replace: the text to replace, which must be in the file exactly once."},` +
		`"new_str":{"type":"string","description":"For str_replace: the new text. For insert: the text."},` +
		`"file_text":{"type":"string","description":"For create: the content of the file."},` +
		`"insert_line":{"type":"integer","minimum":0,"description":"For insert: the line after which the text goes; 0 is the beginning."},` +
		`"insert_text":{"type":"string","description":"For insert: the same as new_str."}}}`)

	memorySchema = json.RawMessage(`{"type":"object","required":["command"],"properties":{` +
		`"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},` +
		`"path":{"type":"string","description":"A path within /memories; not for rename."},` +
		`"view_range":{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":2},` +
		`"file_text":{"type":"string","description":"For create."},` +
		`"old_str":{"type":"string","description":"For str_replace."},` +
		`"new_str":{"type":"string","description":"For str_replace."},` +
		`"insert_line":{"type":"integer","minimum":0,"description":"For insert."},` +
		`"insert_text":{"type":"string","description":"For insert."},` +
		`"old_path":{"type":"string","description":"For rename."},` +
		`"new_path":{"type":"string","description":"For rename."}}}`)
)

const (
	bashDescription   = "Runs a command in a shell that keeps its state from call to call."
	editorDescription = "Views and changes text files."
	memoryDescription = "Keeps notes in files under /memories, which outlive this conversation. Look there before you begin, and note what will be needed again."
)
