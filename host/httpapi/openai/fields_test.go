package openai

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"

	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// samples are values of fields that ask for something.
var samples = map[string]string{
	"model": `"other"`, "messages": `[{"role":"user","content":"other"}]`, "prompt": `"other"`, "stream": `true`,
	"stream_options": `{"include_usage":true}`, "n": `2`, "max_tokens": `5`, "max_completion_tokens": `5`, "temperature": `0.5`,
	"top_p": `0.5`, "presence_penalty": `1`, "frequency_penalty": `1`, "seed": `1`, "stop": `"x"`, "reasoning_effort": `"low"`,
	"response_format": `{"type":"json_object"}`, "tools": `[{"type":"function","function":{"name":"f"}}]`, "tool_choice": `"none"`,
	"parallel_tool_calls": `false`, "functions": `[{"name":"f"}]`, "function_call": `"none"`, "echo": `true`,
	"user": `"u"`, "safety_identifier": `"s"`, "prompt_cache_key": `"k"`, "prompt_cache_retention": `"24h"`,
	"prompt_cache_options": `{"mode":"explicit"}`, "service_tier": `"flex"`, "metadata": `{"a":"b"}`, "store": `true`,
	"audio": `{"voice":"alloy","format":"wav"}`, "logit_bias": `{"50256":-100}`, "verbosity": `"low"`,
	"prediction": `{"type":"content","content":"x"}`, "top_logprobs": `2`, "modalities": `["text","audio"]`,
	"moderation": `{"model":"omni-moderation-latest"}`, "web_search_options": `{}`, "suffix": `"s"`, "best_of": `2`,
}

// TestFields holds the tables against OpenAI's own client, which knows every field, and
// against what decoding does with each.
func TestFields(t *testing.T) {
	for _, kind := range []struct {
		name     string
		fields   []field
		params   reflect.Type
		body     string
		logprobs string
		decode   func([]byte) (*request, error)
	}{
		{"chat", chatFields, reflect.TypeFor[openai.ChatCompletionNewParams](), `"model":"m","messages":[{"role":"user","content":"hi"}]`, `true`, decodeChat},
		{"text", completionFields, reflect.TypeFor[openai.CompletionNewParams](), `"model":"m","prompt":"hi"`, `1`, decodeCompletion},
	} {
		for i := range kind.params.NumField() {
			name, _, _ := strings.Cut(kind.params.Field(i).Tag.Get("json"), ",")
			if name != "" && !slices.ContainsFunc(kind.fields, func(f field) bool { return f.name == name }) {
				t.Errorf("%s: nobody thought of %s", kind.name, name)
			}
		}
		plain, err := kind.decode([]byte("{" + kind.body + "}"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range kind.fields {
			t.Run(kind.name+" "+f.name, func(t *testing.T) {
				value := samples[f.name]
				if f.name == "logprobs" {
					value = kind.logprobs
				}
				q, err := kind.decode([]byte("{" + kind.body + `,"` + f.name + `":` + value + "}"))
				if f.treatment == refused {
					if e, ok := errors.AsType[*wire.Error](err); !ok || e.Path != f.name {
						t.Errorf("got %v, want an error about %s", err, f.name)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if named := slices.Contains(q.ignored, f.name); named != (f.treatment == ignored) {
					t.Errorf("named as ignored: %v", named)
				}
				q.ignored = nil
				changed := !cmp.Equal(plain, q, cmp.AllowUnexported(request{}))
				if changed != (f.treatment == honoured) {
					t.Errorf("it made a difference: %v", changed)
				}
			})
		}
	}
}
