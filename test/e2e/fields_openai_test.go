//go:build unix

package e2e

import "strings"

// chatTools and the like are put beside fields that need tools.
var chatTools = object{"tools": []object{chatTool}}

var chatTool = object{"type": "function", "function": object{
	"name": toolName, "description": "Counts zebras.", "parameters": object{"type": "object", "properties": object{}},
}}

// userParts is a message of those parts and the prompt.
func userParts(parts ...object) []object {
	return []object{{"role": "user", "content": append(parts, object{"type": "text", "text": "PROMPT"})}}
}

var chatFields = endpoint{
	title: "POST /openai/v1/chat/completions", path: "/openai/v1/chat/completions",
	body: func(model, prompt string) object {
		return object{"model": model, "messages": []object{{"role": "user", "content": prompt}}}
	},
	fields: []field{
		{name: "stream", value: true, seen: inStream("data: [DONE]")},
		{name: "stream_options.include_usage", value: true, body: object{"stream": true}, seen: inStream(`"usage":{`)},
		{name: "max_tokens", value: 3, say: "one two three four five six", seen: either(told(3, "max_tokens", "max_output_tokens", "maxOutputTokens"), answered("finish_reason", "length"))},
		{name: "max_completion_tokens", value: 3, say: "one two three four five six", seen: either(told(3, "max_tokens", "max_output_tokens", "maxOutputTokens"), answered("finish_reason", "length"))},
		{name: "stop", value: []string{"HALT"}, say: "before HALT after", seen: either(told([]string{"HALT"}, "stop_sequences", "stopSequences"), answered("content", "before "))},
		{name: "temperature", value: 0.25, seen: told(0.25, "temperature")},
		{name: "top_p", value: 0.75, seen: told(0.75, "top_p", "topP")},
		{name: "presence_penalty", value: 0.5, seen: told(0.5, "presence_penalty", "presencePenalty")},
		{name: "frequency_penalty", value: 0.5, seen: told(0.5, "frequency_penalty", "frequencyPenalty")},
		{name: "seed", value: 4711, seen: told(4711, "seed")},
		{name: "n", form: "2", value: 2, seen: answered("index", 1)},
		{name: "logprobs", value: true},
		{name: "top_logprobs", value: 2, body: object{"logprobs": false}},
		{name: "logit_bias", value: object{"50256": -100}},
		{name: "reasoning_effort", value: "low", values: object{"codex": "high"}, seen: effort},
		{name: "verbosity", value: "low", seen: told("low", "verbosity")},
		{name: "response_format", form: "text", value: object{"type": "text"}, harmless: true},
		{name: "response_format", form: "json_object", value: object{"type": "json_object"}, say: structured, seen: func(p probe) bool {
			return reached(`"json_object"`)(p) || reached("application/json")(p) || reached("json_schema")(p)
		}},
		{name: "response_format", form: "json_schema", value: object{
			"type": "json_schema", "json_schema": object{"name": "zebras", "schema": answerSchema, "strict": true},
		}, say: structured, seen: reached(property)},
		{name: "tools", value: chatTools["tools"], echo: "tool", seen: either(reached(toolName), calls(true))},
		{name: "tool_choice", form: "auto", value: "auto", body: chatTools, echo: "tool", usual: true, seen: either(reached(toolName), calls(true))},
		{name: "tool_choice", form: "none", value: "none", body: chatTools, echo: "tool", seen: either(forced("none"), calls(false), withoutTool)},
		{name: "tool_choice", form: "required", value: "required", body: chatTools, echo: "tool", usual: true, seen: either(forced("any", "required"), calls(true))},
		{name: "tool_choice", form: "a function", value: object{"type": "function", "function": object{"name": toolName}}, body: chatTools, echo: "tool", usual: true, seen: either(forced("any", "tool", "function"), calls(true))},
		{name: "parallel_tool_calls", form: "false", value: false, body: chatTools, echo: "tool", seen: either(told(false, "parallel_tool_calls"), told(true, "disable_parallel_tool_use"))},
		{name: "messages", form: "system", value: []object{{"role": "system", "content": "zebra system"}, {"role": "user", "content": "PROMPT"}}, echo: "transcript", seen: either(reached("zebra system"), inBody("zebra system"))},
		{name: "messages", form: "developer", value: []object{{"role": "developer", "content": "zebra system"}, {"role": "user", "content": "PROMPT"}}, echo: "transcript", seen: either(reached("zebra system"), inBody("zebra system"))},
		{name: "messages", form: "image_url, data", value: userParts(object{"type": "image_url", "image_url": object{"url": "data:image/png;base64," + pixel}}), seen: reached(pixel)},
		{name: "messages", form: "file, data", value: userParts(object{"type": "file", "file": object{"filename": "a.pdf", "file_data": "data:application/pdf;base64," + page}}), seen: reached(page)},
		{name: "messages", form: "input_audio", value: userParts(object{"type": "input_audio", "input_audio": object{"data": "UklGRg==", "format": "wav"}}), seen: reached("UklGRg==")},
		{name: "modalities", form: "text", value: []string{"text"}, harmless: true},
		{name: "modalities", form: "audio", value: []string{"text", "audio"}},
		{name: "audio", value: object{"voice": "alloy", "format": "wav"}, harmless: true},
		{name: "prediction", value: object{"type": "content", "content": "one"}},
		{name: "web_search_options", value: object{}},
		{name: "functions", value: []object{{"name": toolName, "parameters": object{"type": "object"}}}, seen: reached(toolName)},
		{name: "function_call", value: "auto"},
		{name: "metadata", value: object{"a": "b"}, harmless: true},
		{name: "store", value: true, harmless: true},
		{name: "user", value: "zebra", harmless: true},
		{name: "safety_identifier", value: "zebra", harmless: true},
		{name: "prompt_cache_key", value: "zebra", harmless: true},
		{name: "prompt_cache_retention", value: "24h", harmless: true},
		{name: "service_tier", value: "auto", harmless: true},
	},
}

// withoutTool says that the model API was not told of the tool.
func withoutTool(p probe) bool { return p.sent != nil && !reached(toolName)(p) }

// inBody says that the answer holds a text.
func inBody(text string) func(probe) bool {
	return func(p probe) bool {
		return walk(p.body, func(_ string, v any) bool {
			s, ok := v.(string)
			return ok && strings.Contains(s, text)
		})
	}
}
