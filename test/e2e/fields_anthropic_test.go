//go:build unix

package e2e

var messageTools = object{"tools": []object{messageTool}}

var messageTool = object{"name": toolName, "description": "Counts zebras.", "input_schema": object{"type": "object", "properties": object{}}}

var messageFields = endpoint{
	title: "POST /anthropic/v1/messages", path: "/anthropic/v1/messages",
	body: func(model, prompt string) object {
		return object{"model": model, "max_tokens": 32000, "messages": []object{{"role": "user", "content": prompt}}}
	},
	fields: []field{
		{name: "stream", value: true, seen: inStream("event: message_stop")},
		{name: "max_tokens", value: 3, say: "one two three four five six", seen: either(told(3, "max_tokens", "max_output_tokens", "maxOutputTokens"), answered("stop_reason", "max_tokens"))},
		{name: "system", value: "zebra system", echo: "transcript", seen: either(reached("zebra system"), inBody("zebra system"))},
		{name: "stop_sequences", value: []string{"HALT"}, say: "before HALT after", seen: either(told([]string{"HALT"}, "stop_sequences", "stopSequences"), answered("stop_sequence", "HALT"))},
		{name: "temperature", value: 0.25, seen: told(0.25, "temperature")},
		{name: "top_p", value: 0.75, seen: told(0.75, "top_p", "topP")},
		{name: "top_k", value: 7, seen: told(7, "top_k", "topK")},
		{name: "thinking", form: "enabled", value: object{"type": "enabled", "budget_tokens": 2048}, seen: either(told(2048, "budget_tokens", "thinkingBudget"), told("adaptive", "type"), told("MEDIUM", "thinkingLevel"))},
		{name: "thinking", form: "adaptive", value: object{"type": "adaptive"}, usual: true, seen: either(told("adaptive", "type"), told(true, "includeThoughts"))},
		{name: "thinking", form: "disabled", value: object{"type": "disabled"}, usual: true, seen: unthinking},
		{name: "output_config.effort", value: "low", values: object{"codex": "high"}, seen: effort},
		{name: "output_config.format", value: object{"type": "json_schema", "schema": answerSchema}, say: structured, seen: reached(property)},
		{name: "output_format", value: object{"type": "json_schema", "schema": answerSchema}, say: structured, seen: reached(property)},
		{name: "tools", value: messageTools["tools"], echo: "tool", seen: either(reached(toolName), calls(true))},
		{name: "tool_choice", form: "auto", value: object{"type": "auto"}, body: messageTools, echo: "tool", usual: true, seen: either(reached(toolName), calls(true))},
		{name: "tool_choice", form: "none", value: object{"type": "none"}, body: messageTools, echo: "tool", seen: either(forced("none"), calls(false), withoutTool)},
		{name: "tool_choice", form: "any", value: object{"type": "any"}, body: messageTools, echo: "tool", usual: true, seen: either(forced("any", "required"), calls(true))},
		{name: "tool_choice", form: "tool", value: object{"type": "tool", "name": toolName}, body: messageTools, echo: "tool", usual: true, seen: either(forced("any", "tool", "function"), calls(true))},
		{name: "tool_choice.disable_parallel_tool_use", value: true, body: object{"tools": messageTools["tools"], "tool_choice": object{"type": "auto"}}, echo: "tool", seen: either(told(false, "parallel_tool_calls"), told(true, "disable_parallel_tool_use"))},
		{name: "messages", form: "system", value: []object{{"role": "system", "content": "zebra system"}, {"role": "user", "content": "PROMPT"}}, echo: "transcript", seen: either(reached("zebra system"), inBody("zebra system"))},
		{name: "messages", form: "image, base64", value: userParts(object{"type": "image", "source": object{"type": "base64", "media_type": "image/png", "data": pixel}}), seen: reached(pixel)},
		{name: "messages", form: "document, base64", value: userParts(object{"type": "document", "source": object{"type": "base64", "media_type": "application/pdf", "data": page}}), seen: reached(page)},
		{name: "cache_control", value: object{"type": "ephemeral"}, harmless: true},
		{name: "metadata", value: object{"user_id": "zebra"}, harmless: true},
		{name: "service_tier", value: "auto", harmless: true},
		{name: "inference_geo", value: "eu", harmless: true},
		{name: "context_management", value: object{"edits": []object{}}},
		{name: "container", value: "zebra"},
		{name: "mcp_servers", value: []object{{"type": "url", "url": "http://127.0.0.1:1", "name": "zebra"}}},
	},
}

// unthinking says that the model API was not asked to think.
func unthinking(p probe) bool {
	return p.sent != nil && !walk(p.sent, func(key string, value any) bool {
		o, _ := value.(object)
		return key == "thinking" && o["type"] != "disabled" || key == "thinkingConfig" && o["thinkingLevel"] != "MINIMAL" || key == "reasoning"
	})
}
