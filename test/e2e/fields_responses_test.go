//go:build unix

package e2e

var responseTools = object{"tools": []object{responseTool}}

var responseTool = object{
	"type": "function", "name": toolName, "description": "Counts zebras.", "parameters": object{"type": "object", "properties": object{}},
}

// inputParts is an input of those parts and the prompt.
func inputParts(parts ...object) []object {
	return []object{{"role": "user", "content": append(parts, object{"type": "input_text", "text": "PROMPT"})}}
}

var responseFields = endpoint{
	title: "POST /openai/v1/responses", path: "/openai/v1/responses",
	body: func(model, prompt string) object { return object{"model": model, "input": prompt} },
	fields: []field{
		{name: "stream", value: true, seen: inStream("response.completed")},
		{name: "instructions", value: "zebra system", echo: "transcript", seen: either(reached("zebra system"), inText("zebra system"))},
		{name: "input", form: "system", value: []object{{"role": "system", "content": "zebra system"}, {"role": "user", "content": "PROMPT"}}, echo: "transcript", seen: either(reached("zebra system"), inText("zebra system"))},
		{name: "input", form: "developer", value: []object{{"role": "developer", "content": "zebra system"}, {"role": "user", "content": "PROMPT"}}, echo: "transcript", seen: either(reached("zebra system"), inText("zebra system"))},
		{name: "input", form: "input_image, data", value: inputParts(object{"type": "input_image", "image_url": "data:image/png;base64," + pixel}), seen: reached(pixel)},
		{name: "input", form: "input_file, data", value: inputParts(object{"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64," + page}), seen: reached(page)},
		{name: "max_output_tokens", value: 3, say: "one two three four five six", seen: either(told(3, "max_tokens", "max_output_tokens", "maxOutputTokens"), answered("reason", "max_output_tokens"))},
		{name: "temperature", value: 0.25, seen: told(0.25, "temperature")},
		{name: "top_p", value: 0.75, seen: told(0.75, "top_p", "topP")},
		{name: "top_logprobs", value: 2},
		{name: "reasoning.effort", value: "low", values: object{"codex": "high"}, seen: effort},
		{name: "text.verbosity", value: "low", seen: told("low", "verbosity")},
		{name: "text.format", form: "text", value: object{"type": "text"}, harmless: true},
		{name: "text.format", form: "json_object", value: object{"type": "json_object"}, say: structured, seen: func(p probe) bool {
			return reached("application/json")(p) || reached("json_schema")(p)
		}},
		{name: "text.format", form: "json_schema", value: object{"type": "json_schema", "name": "zebras", "schema": fieldAnswerSchema, "strict": true}, say: structured, seen: reached(property)},
		{name: "tools", form: "function", value: responseTools["tools"], echo: "tool", seen: either(reached(toolName), calls(true))},
		{name: "tools", form: "web_search", value: []object{{"type": "web_search"}}},
		{name: "tool_choice", form: "auto", value: "auto", body: responseTools, echo: "tool", usual: true, seen: either(reached(toolName), calls(true))},
		{name: "tool_choice", form: "none", value: "none", body: responseTools, echo: "tool", seen: either(forced("none"), withoutTool)},
		{name: "tool_choice", form: "required", value: "required", body: responseTools, echo: "tool", usual: true, seen: either(forced("any", "required"), calls(true))},
		{name: "tool_choice", form: "a function", value: object{"type": "function", "name": toolName}, body: responseTools, echo: "tool", usual: true, seen: either(forced("any", "tool", "function"), calls(true))},
		{name: "parallel_tool_calls", form: "false", value: false, body: responseTools, echo: "tool", seen: told(true, "disable_parallel_tool_use")},
		{name: "max_tool_calls", value: 3},
		{name: "store", form: "false", value: false, seen: answered("store", false)},
		{name: "background", value: true, seen: either(answered("status", "queued"), answered("status", "in_progress"))},
		{name: "previous_response_id", form: "unknown", value: "resp_zebra"},
		{name: "conversation", value: "conv_zebra"},
		{name: "prompt", value: object{"id": "pmpt_zebra"}},
		{name: "include", value: []string{"reasoning.encrypted_content"}, harmless: true},
		{name: "truncation", form: "auto", value: "auto"},
		{name: "metadata", value: object{"a": "zebra"}, seen: answered("a", "zebra")},
		{name: "user", value: "zebra", harmless: true},
		{name: "safety_identifier", value: "zebra", harmless: true},
		{name: "prompt_cache_key", value: "zebra", harmless: true},
		{name: "service_tier", value: "auto", harmless: true},
	},
}

// inText says that a text is in the answer's own output.
func inText(text string) func(probe) bool {
	return func(p probe) bool {
		body, _ := p.body.(object)
		return inBody(text)(probe{body: body["output"]})
	}
}
