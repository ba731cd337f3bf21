package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// The client's tools are stateless: the CLI gets them as tools that its own
// client carries out; when the model has called some, and said all it had to say,
// the turn is stopped and ends with the calls. The next turn brings calls and
// results as history.

// ToolSupport implements plugins.ToolCaller. The CLI cannot be told that a call is
// required.
func (b *backend) ToolSupport() plugins.ToolSupport { return plugins.ToolSupport{ParallelCalls: true} }

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// toolAlias is put before names that the CLI keeps for itself.
const toolAlias = "client_"

// upstreamName is the name that the model sees.
func upstreamName(name string) string {
	if name == "exec_command" || strings.HasPrefix(name, "mcp__") {
		return toolAlias + name
	}
	return name
}

// clientTools are the tools of a turn that the client carries out.
type clientTools struct {
	// params are for thread/start.
	params []object
	// names are the client's by those that the model sees.
	names map[string]string
}

func newClientTools(turn *plugins.Turn) (clientTools, error) {
	t := clientTools{names: map[string]string{}}
	if turn.ToolChoice.Kind == plugins.ToolChoiceNone {
		return t, nil
	}
	for _, tool := range turn.Tools {
		name := upstreamName(tool.Name)
		if !toolName.MatchString(name) {
			return t, plugins.Errorf(plugins.CodeInvalidRequest, "codex takes no tool named %q: only letters, digits, _ and -, at most 64", tool.Name)
		}
		if _, ok := t.names[name]; ok {
			return t, plugins.Errorf(plugins.CodeInvalidRequest, "two tools are named %q", tool.Name)
		}
		schema := json.RawMessage(`{"type":"object","properties":{}}`)
		if len(tool.InputSchema) > 0 {
			schema = tool.InputSchema
		}
		if !json.Valid(schema) {
			return t, plugins.Errorf(plugins.CodeInvalidRequest, "the schema of the tool %q is not JSON", tool.Name)
		}
		t.names[name] = tool.Name
		t.params = append(t.params, object{"type": "function", "name": name, "description": tool.Description, "inputSchema": schema})
	}
	return t, nil
}

// liteNamespace is where the CLI puts the tools of some models.
const liteNamespace = "functions"

// withNamespace makes earlier calls look as the model made them.
func withNamespace(items []object) []object {
	for _, item := range items {
		if item["type"] == "function_call" {
			item["namespace"] = liteNamespace
		}
	}
	return items
}

// rawItem takes an item as the model server sent it: the calls in their order and
// with their arguments untouched, and reasoning with what only the server can read.
func (r *run) rawItem(params json.RawMessage) error {
	var p struct {
		TurnID string `json:"turnId"`
		Item   struct {
			Type      string `json:"type"`
			CallID    string `json:"call_id"`
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
			reasoningItem
		} `json:"item"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading an item of the model server: %w", err)
	}
	name, ok := r.tools.names[p.Item.Name]
	switch {
	case p.TurnID != r.turnID:
		return nil
	case p.Item.Type == "reasoning" && p.Item.Encrypted != "":
		return r.signed(p.Item.reasoningItem)
	case p.Item.Type != "function_call" || !ok:
		return nil
	}
	if err := r.begin(); err != nil {
		return err
	}
	r.toolCalls++
	call := plugins.ToolCall{ID: p.Item.CallID, Name: name, Arguments: p.Item.Arguments, Origin: plugins.OriginClient}
	if err := r.out.ToolCallStarted(call.ID, call.Name, call.Origin); err != nil {
		return err
	}
	if err := r.out.ToolCallDelta(call.ID, call.Arguments); err != nil {
		return err
	}
	return r.out.ToolCall(call)
}

// signed ends a block of reasoning with what the server wants back.
func (r *run) signed(item reasoningItem) error {
	signature, err := item.signature()
	if err == nil {
		err = r.begin()
	}
	if err != nil {
		return err
	}
	return r.out.ReasoningSignature(signature)
}

// hold keeps a call of a client's tool without an answer. As a rule the model's answer
// ends right after it, and with that the turn; the CLI then answers the call itself.
func (r *run) hold(request json.RawMessage) {
	r.held = append(r.held, request)
	r.heldFor.Reset(heldTime)
}

// letGo answers the calls that are held: the model writes on, or its answer ended too
// early, which the CLI tells only when no call is open any more.
func (r *run) letGo() error {
	for _, request := range r.held {
		if err := r.client.Reply(request, object{"contentItems": []any{}, "success": false}); err != nil {
			return err
		}
	}
	r.held = nil
	return nil
}

// rawResponse takes the end of a model call. After calls of the client's tools it
// is the end of the turn; the CLI would wait for their results.
func (r *run) rawResponse(params json.RawMessage) error {
	var p struct {
		TurnID string     `json:"turnId"`
		Usage  tokenUsage `json:"usage"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading the end of a model call: %w", err)
	}
	if p.TurnID != r.turnID || r.toolCalls == 0 {
		return nil
	}
	if err := r.out.Usage(r.used.plus(p.Usage).since(r.before).report()); err != nil {
		return err
	}
	r.finish = plugins.FinishToolCalls
	return errFinished
}
