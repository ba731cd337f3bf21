package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func user(parts ...engine.Part) engine.Message {
	return engine.Message{Role: engine.RoleUser, Parts: parts}
}

func assistant(parts ...engine.Part) engine.Message {
	return engine.Message{Role: engine.RoleAssistant, Parts: parts}
}

func ptr[T any](v T) *T { return &v }

// hi is the conversation of tests that are about something else.
var hi = []engine.Message{user(engine.Text("hi"))}

func TestDecodeChat(t *testing.T) {
	for name, tt := range map[string]struct {
		body string // without model, and without messages unless it has them
		want engine.Turn
	}{
		"the least": {``, engine.Turn{}},
		"null is absence": {
			`"stream":null,"stream_options":null,"max_tokens":null,"stop":null,"temperature":null,"tools":null,"tool_choice":null,
			 "response_format":null,"n":null,"logprobs":null,"top_logprobs":null,"logit_bias":null,"metadata":null,"user":null,
			 "functions":null,"function_call":null,"parallel_tool_calls":null,"audio":null,"prediction":null,"web_search_options":null,"reasoning_effort":null,"modalities":null,"seed":null`,
			engine.Turn{},
		},
		"what must be accepted": {
			`"frequency_penalty":0.5,"presence_penalty":-2,"seed":7,"user":"u","logit_bias":{},"metadata":{"a":"b"},"store":true,
			 "service_tier":"auto","prompt_cache_key":"k","safety_identifier":"s","modalities":["text"],"response_format":{"type":"text"},
			 "stream_options":{"include_obfuscation":false},"verbosity":null,"reasoning_effort":"xhigh","unknown":{"x":1},"n":1,"logprobs":false,"top_logprobs":0`,
			engine.Turn{Sampling: engine.Sampling{
				FrequencyPenalty: ptr(0.5), PresencePenalty: ptr(-2.0), Seed: ptr(int64(7)), ReasoningEffort: "xhigh",
			}},
		},
		"sampling": {
			`"temperature":0.2,"top_p":1,"max_tokens":5,"max_completion_tokens":32000,"stop":["a","b"]`,
			engine.Turn{Sampling: engine.Sampling{
				Temperature: ptr(0.2), TopP: ptr(1.0), MaxOutputTokens: ptr(int64(32000)), Stop: []string{"a", "b"},
			}},
		},
		"one stop":    {`"stop":"a"`, engine.Turn{Sampling: engine.Sampling{Stop: []string{"a"}}}},
		"any object":  {`"response_format":{"type":"json_object"}`, engine.Turn{OutputSchema: json.RawMessage(`{"type":"object"}`)}},
		"json schema": {`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{ "type" : "object" },"strict":true}}`, engine.Turn{OutputSchema: json.RawMessage(`{"type":"object"}`)}},
		"tools": {
			`"tools":[{"type":"function","function":{"name":"a","description":"d","parameters":{"type": "object"},"strict":true}},
			  {"type":"function","function":{"name":"b"}}],"tool_choice":"auto","parallel_tool_calls":true`,
			engine.Turn{Tools: []engine.Tool{
				{Name: "a", Description: "d", InputSchema: json.RawMessage(`{"type":"object"}`)},
				{Name: "b", InputSchema: json.RawMessage(noParameters)},
			}},
		},
		"one call at most": {
			`"tools":[{"type":"function","function":{"name":"b","description":null,"parameters":null,"strict":null}}],"parallel_tool_calls":false`,
			engine.Turn{Tools: []engine.Tool{{Name: "b", InputSchema: json.RawMessage(noParameters)}}, SingleCall: true},
		},
		"functions": {
			`"functions":[{"name":"a","description":"d","parameters":{"type":"object"}}],"function_call":"auto"`,
			engine.Turn{Tools: []engine.Tool{{Name: "a", Description: "d", InputSchema: json.RawMessage(`{"type":"object"}`)}}, SingleCall: true},
		},
		"forced function": {
			`"functions":[{"name":"a"}],"function_call":{"name":"a"}`,
			engine.Turn{
				Tools: []engine.Tool{{Name: "a", InputSchema: json.RawMessage(noParameters)}}, SingleCall: true,
				ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceName, Name: "a"},
			},
		},
		"no function": {
			`"functions":[{"name":"a"}],"function_call":"none"`,
			engine.Turn{
				Tools: []engine.Tool{{Name: "a", InputSchema: json.RawMessage(noParameters)}}, SingleCall: true,
				ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceNone},
			},
		},
		"schema without a name": {`"response_format":{"type":"json_schema","json_schema":{"schema":{}}}`, engine.Turn{OutputSchema: json.RawMessage(`{}`)}},
		"schema without schema": {`"response_format":{"type":"json_schema","json_schema":{"name":"n"}}`, engine.Turn{OutputSchema: json.RawMessage(anyObject)}},
		"what a conversation may carry": {
			`"messages":[{"role":"user","name":"ann","content":"hi"},
			  {"role":"assistant","content":"a","refusal":null,"audio":null,"tool_calls":null,"function_call":null,"annotations":[],"reasoning_content":"hm"},
			  {"role":"assistant","content":null,"refusal":"no"},{"role":"user","content":"go"}]`,
			engine.Turn{Messages: []engine.Message{user(engine.Text("hi")), assistant(engine.Text("a")), assistant(engine.Text("no")), user(engine.Text("go"))}},
		},
		"link": {
			`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]},
			  {"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"r"},{"type":"image_url","image_url":"https://example.com/b"}]}]`,
			engine.Turn{Messages: []engine.Message{
				user(engine.Blob{MediaType: "image/", URL: "https://example.com/a.png", Field: "messages[0].content[0].image_url.url"}),
				user(engine.ToolResult{CallID: "c", Parts: []engine.Part{
					engine.Text("r"), engine.Blob{MediaType: "image/", URL: "https://example.com/b", Field: "messages[1].content[1].image_url"},
				}}),
			}},
		},
		"forced": {
			`"tools":[{"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"function","function":{"name":"b"}}`,
			engine.Turn{
				Tools:      []engine.Tool{{Name: "b", InputSchema: json.RawMessage(noParameters)}},
				ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceName, Name: "b"},
			},
		},
		"no call": {`"tool_choice":"none"`, engine.Turn{ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceNone}}},
		"allowed tools": {
			`"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],
			 "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"b"}}]}}`,
			engine.Turn{
				Tools:      []engine.Tool{{Name: "b", InputSchema: json.RawMessage(noParameters)}},
				ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceRequired},
			},
		},
		"system": {
			`"messages":[{"role":"system","content":"one"},{"role":"developer","content":[{"type":"text","text":"tw"},{"type":"text","text":"o"}]},
			  {"role":"user","content":"hi"},{"role":"system","content":"three"},{"role":"user","content":"go"}]`,
			engine.Turn{System: "one\n\ntwo", Messages: []engine.Message{
				user(engine.Text("hi")), user(engine.Text("<system>\nthree\n</system>")), user(engine.Text("go")),
			}},
		},
		"only system": {
			`"messages":[{"role":"system","content":"one"},{"role":"system","content":"two"}]`,
			engine.Turn{System: "one", Messages: []engine.Message{user(engine.Text("two"))}},
		},
		"history with calls": {
			`"messages":[{"role":"user","content":"hi"},
			  {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[
			   {"id":"c1","type":"function","function":{"name":"a","arguments":"{ }"}},{"id":"c2","function":{"name":"b","arguments":""}}]},
			  {"role":"tool","tool_call_id":"c2","content":"r2"},{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"r1"}]},
			  {"role":"user","content":"go"}]`,
			engine.Turn{Messages: []engine.Message{
				user(engine.Text("hi")),
				assistant(engine.ToolCall{ID: "c1", Name: "a", Arguments: "{ }"}, engine.ToolCall{ID: "c2", Name: "b"}),
				user(
					engine.ToolResult{CallID: "c2", Name: "b", Parts: []engine.Part{engine.Text("r2")}},
					engine.ToolResult{CallID: "c1", Name: "a", Parts: []engine.Part{engine.Text("r1")}},
				),
				user(engine.Text("go")),
			}},
		},
		"old calls": {
			`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"","function_call":{"name":"f","arguments":"{}"}},
			  {"role":"function","name":"f","content":"r"}]`,
			engine.Turn{Messages: []engine.Message{
				user(engine.Text("hi")),
				assistant(engine.ToolCall{ID: "call_function_1", Name: "f", Arguments: "{}"}),
				user(engine.ToolResult{CallID: "call_function_1", Name: "f", Parts: []engine.Part{engine.Text("r")}}),
			}},
		},
		"parts": {
			`"messages":[{"role":"user","content":[{"type":"text","text":"look: "},{"type":"text","text":""},
			  {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo=","detail":"low"}},
			  {"type":"file","file":{"filename":"f.pdf","file_data":"data:application/pdf;base64,JVBERi0="}},
			  {"type":"input_audio","input_audio":{"data":"aGk=","format":"mp3"}}]},
			  {"role":"assistant","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"no"}]},
			  {"role":"assistant","content":[]},{"role":"assistant","content":""},{"role":"user","content":""}]`,
			engine.Turn{Messages: []engine.Message{
				user(engine.Text("look: "), engine.Blob{MediaType: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")},
					engine.Blob{MediaType: "application/pdf", Data: []byte("%PDF-"), Name: "f.pdf"},
					engine.Blob{MediaType: "audio/mpeg", Data: []byte("hi")}),
				assistant(engine.Text("a"), engine.Text("no")),
				user(engine.Text("")),
			}},
		},
		"whole code points": {
			`"messages":[{"role":"user","content":"\ud83d\ude00 \u65e5 é \u0000"}]`,
			engine.Turn{Messages: []engine.Message{user(engine.Text("😀 日 é \x00"))}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := decodeChat(chatBody(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Model = "m"
			if tt.want.Messages == nil {
				tt.want.Messages = hi
			}
			if diff := cmp.Diff(tt.want, q.turn); diff != "" {
				t.Errorf("the turn (-want +got):\n%s", diff)
			}
		})
	}
}

// chatBody completes the members of a request.
func chatBody(members string) []byte {
	if !strings.Contains(members, `"messages"`) {
		members = strings.TrimSuffix(`"messages":[{"role":"user","content":"hi"}],`+members, ",")
	}
	return []byte(`{"model":"m",` + members + `}`)
}

func TestRefuseChat(t *testing.T) {
	message := func(s string) string { return `{"model":"m","messages":[` + s + `]}` }
	with := func(s string) string { return string(chatBody(s)) }
	tool := `{"type":"function","function":{"name":"a"}}`
	for name, tt := range map[string]struct{ body, param string }{
		"no JSON":               {`{"model":`, ""},
		"no object":             {`[]`, ""},
		"no model":              {`{"messages":[{"role":"user","content":"hi"}]}`, "model"},
		"null model":            {`{"model":null,"messages":[{"role":"user","content":"hi"}]}`, "model"},
		"empty model":           {`{"model":"","messages":[{"role":"user","content":"hi"}]}`, "model"},
		"model no string":       {`{"model":1,"messages":[{"role":"user","content":"hi"}]}`, "model"},
		"no messages":           {`{"model":"m"}`, "messages"},
		"null messages":         {`{"model":"m","messages":null}`, "messages"},
		"empty messages":        {`{"model":"m","messages":[]}`, "messages"},
		"messages no array":     {`{"model":"m","messages":"hi"}`, "messages"},
		"message no object":     {message(`"hi"`), "messages[0]"},
		"no role":               {message(`{"content":"hi"}`), "messages[0].role"},
		"unknown role":          {message(`{"role":"robot","content":"hi"}`), "messages[0].role"},
		"role no string":        {message(`{"role":1,"content":"hi"}`), "messages[0].role"},
		"no content":            {message(`{"role":"user"}`), "messages[0].content"},
		"null content":          {message(`{"role":"user","content":null}`), "messages[0].content"},
		"content number":        {message(`{"role":"user","content":1}`), "messages[0].content"},
		"content object":        {message(`{"role":"system","content":{}}`), "messages[0].content"},
		"assistant number":      {message(`{"role":"assistant","content":1}`), "messages[0].content"},
		"empty parts":           {message(`{"role":"user","content":[]}`), "messages[0].content"},
		"part no object":        {message(`{"role":"user","content":["hi"]}`), "messages[0].content[0]"},
		"part without type":     {message(`{"role":"user","content":[{"text":"hi"}]}`), "messages[0].content[0].type"},
		"unknown part":          {message(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"hologram"}]}`), "messages[0].content[1].type"},
		"text no string":        {message(`{"role":"user","content":[{"type":"text","text":1}]}`), "messages[0].content[0].text"},
		"image of system":       {message(`{"role":"system","content":[{"type":"image_url"}]}`), "messages[0].content[0].type"},
		"image that is a PDF":   {message(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/gif;base64,JVBERi0="}}]}`), "messages[0].content[0].image_url.url"},
		"image from a file":     {message(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///a.png"}}]}`), "messages[0].content[0].image_url.url"},
		"empty image":           {message(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,"}}]}`), "messages[0].content[0].image_url.url"},
		"file no pdf":           {message(`{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,aGk="}}]}`), "messages[0].content[0].file.file_data"},
		"name no string":        {message(`{"role":"user","name":1,"content":"hi"}`), "messages[0].name"},
		"earlier audio":         {message(`{"role":"assistant","audio":{"id":"a"}}`), "messages[0].audio"},
		"image no base64":       {message(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,a*"}}]}`), "messages[0].content[0].image_url.url"},
		"image no image":        {message(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:text/html;base64,aGk="}}]}`), "messages[0].content[0].image_url.url"},
		"file by id":            {message(`{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}`), "messages[0].content[0].file.file_id"},
		"unknown audio":         {message(`{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"aGk=","format":"ogg"}}]}`), "messages[0].content[0].input_audio.format"},
		"result without id":     {message(`{"role":"tool","content":"r"}`), "messages[0].tool_call_id"},
		"function without name": {message(`{"role":"function","content":"r"}`), "messages[0].name"},
		"calls no array":        {message(`{"role":"assistant","tool_calls":{}}`), "messages[0].tool_calls"},
		"call without id":       {message(`{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"a","arguments":""}}]}`), "messages[0].tool_calls[0].id"},
		"call without name":     {message(`{"role":"assistant","tool_calls":[{"id":"c","function":{"arguments":""}}]}`), "messages[0].tool_calls[0].function.name"},
		"custom call":           {message(`{"role":"assistant","tool_calls":[{"id":"c","type":"custom"}]}`), "messages[0].tool_calls[0].type"},
		"arguments no string":   {message(`{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"a","arguments":{}}}]}`), "messages[0].tool_calls[0].function.arguments"},
		"nothing said":          {message(`{"role":"assistant","content":null}`), "messages"},
		"stream no boolean":     {with(`"stream":"yes"`), "stream"},
		"stream options":        {with(`"stream_options":true`), "stream_options"},
		"include usage":         {with(`"stream_options":{"include_usage":1}`), "stream_options.include_usage"},
		"temperature no number": {with(`"temperature":"hot"`), "temperature"},
		"temperature too high":  {with(`"temperature":2.1`), "temperature"},
		"temperature negative":  {with(`"temperature":-0.1`), "temperature"},
		"top_p":                 {with(`"top_p":1.01`), "top_p"},
		"penalty":               {with(`"presence_penalty":3`), "presence_penalty"},
		"other penalty":         {with(`"frequency_penalty":-3`), "frequency_penalty"},
		"max_tokens zero":       {with(`"max_tokens":0`), "max_tokens"},
		"max_tokens no integer": {with(`"max_completion_tokens":1.5`), "max_completion_tokens"},
		"max_tokens string":     {with(`"max_tokens":"1"`), "max_tokens"},
		"seed":                  {with(`"seed":"x"`), "seed"},
		"stop":                  {with(`"stop":1`), "stop"},
		"stop of numbers":       {with(`"stop":[1]`), "stop[0]"},
		"empty stop":            {with(`"stop":""`), "stop"},
		"too many stops":        {with(`"stop":["a","b","c","d","e"]`), "stop"},
		"effort":                {with(`"reasoning_effort":"--help"`), "reasoning_effort"},
		"effort no string":      {with(`"reasoning_effort":3`), "reasoning_effort"},
		"n":                     {with(`"n":9`), "n"},
		"n huge":                {with(`"n":9223372036854775807`), "n"},
		"include obfuscation":   {with(`"stream_options":{"include_obfuscation":1}`), "stream_options.include_obfuscation"},
		"n zero":                {with(`"n":0`), "n"},
		"n no number":           {with(`"n":"2"`), "n"},
		"logprobs":              {with(`"logprobs":true`), "logprobs"},
		"top_logprobs":          {with(`"top_logprobs":3`), "top_logprobs"},
		"audio":                 {with(`"modalities":["text","audio"]`), "modalities"},
		"functions no array":    {with(`"functions":{}`), "functions"},
		"function no object":    {with(`"functions":["a"]`), "functions[0]"},
		"function has no name":  {with(`"functions":[{}]`), "functions[0].name"},
		"same function twice":   {with(`"functions":[{"name":"a"},{"name":"a"}]`), "functions[1]"},
		"functions and tools":   {with(`"tools":[` + tool + `],"functions":[{"name":"b"}]`), "functions"},
		"function_call, tools":  {with(`"tools":[` + tool + `],"function_call":"auto"`), "function_call"},
		"function_call":         {with(`"functions":[{"name":"a"}],"function_call":"required"`), "function_call"},
		"call of no function":   {with(`"functions":[{"name":"a"}],"function_call":{"name":"b"}`), "function_call"},
		"function_call no name": {with(`"functions":[{"name":"a"}],"function_call":{}`), "function_call.name"},
		"strict no boolean":     {with(`"tools":[{"type":"function","function":{"name":"a","strict":1}}]`), "tools[0].function.strict"},
		"moderation":            {with(`"moderation":{"model":"m"}`), "moderation"},
		"web search":            {with(`"web_search_options":{}`), "web_search_options"},
		"metadata":              {with(`"metadata":"x"`), "metadata"},
		"user":                  {with(`"user":1`), "user"},
		"store":                 {with(`"store":"x"`), "store"},
		"logit_bias":            {with(`"logit_bias":[]`), "logit_bias"},
		"parallel_tool_calls":   {with(`"parallel_tool_calls":"x"`), "parallel_tool_calls"},
		"format no object":      {with(`"response_format":"json"`), "response_format"},
		"format without type":   {with(`"response_format":{}`), "response_format.type"},
		"unknown format":        {with(`"response_format":{"type":"xml"}`), "response_format.type"},
		"format without schema": {with(`"response_format":{"type":"json_schema"}`), "response_format.json_schema"},
		"schema name":           {with(`"response_format":{"type":"json_schema","json_schema":{"name":1,"schema":{}}}`), "response_format.json_schema.name"},
		"schema strict":         {with(`"response_format":{"type":"json_schema","json_schema":{"strict":"x","schema":{}}}`), "response_format.json_schema.strict"},
		"schema no object":      {with(`"response_format":{"type":"json_schema","json_schema":{"schema":1}}`), "response_format.json_schema.schema"},
		"tools no array":        {with(`"tools":"x"`), "tools"},
		"tool no object":        {with(`"tools":["x"]`), "tools[0]"},
		"tool without type":     {with(`"tools":[{"function":{"name":"a"}}]`), "tools[0].type"},
		"custom tool":           {with(`"tools":[{"type":"custom","custom":{"name":"a"}}]`), "tools[0].type"},
		"tool without function": {with(`"tools":[{"type":"function"}]`), "tools[0].function"},
		"tool without name":     {with(`"tools":[{"type":"function","function":{}}]`), "tools[0].function.name"},
		"tool name":             {with(`"tools":[{"type":"function","function":{"name":"a b"}}]`), "tools[0].function.name"},
		"long tool name":        {with(`"tools":[{"type":"function","function":{"name":"` + strings.Repeat("a", 129) + `"}}]`), "tools[0].function.name"},
		"parameters":            {with(`"tools":[{"type":"function","function":{"name":"a","parameters":[]}}]`), "tools[0].function.parameters"},
		"same tool twice":       {with(`"tools":[` + tool + `,` + tool + `]`), "tools[1]"},
		"choice":                {with(`"tool_choice":"maybe"`), "tool_choice"},
		"choice number":         {with(`"tool_choice":1`), "tool_choice"},
		"choice without tools":  {with(`"tool_choice":"required"`), "tool_choice"},
		"choice of unknown":     {with(`"tools":[` + tool + `],"tool_choice":{"type":"function","function":{"name":"b"}}`), "tool_choice"},
		"choice without name":   {with(`"tools":[` + tool + `],"tool_choice":{"type":"function"}`), "tool_choice.function"},
		"choice type":           {with(`"tool_choice":{"type":"custom"}`), "tool_choice.type"},
		"allowed unknown":       {with(`"tools":[` + tool + `],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"b"}}]}}`), "tool_choice.allowed_tools.tools[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeChat([]byte(tt.body))
			field, ok := errors.AsType[*wire.Error](err)
			if !ok {
				t.Fatalf("got %v, want an error about %s", err, tt.param)
			}
			if field.Path != tt.param {
				t.Errorf("the error is about %q, want %q: %v", field.Path, tt.param, err)
			}
		})
	}
}

func TestIgnored(t *testing.T) {
	q, err := decodeChat(chatBody(`"max_tokens":3,"logit_bias":{"1":2},"verbosity":"low","prediction":{"type":"content","content":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"max_tokens", "temperature", "logit_bias", "verbosity", "prediction"}
	if diff := cmp.Diff(want, q.words([]string{engine.FieldMaxOutputTokens, engine.FieldTemperature})); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecodeChat(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}],
		"tools":[{"type":"function","function":{"name":"a","parameters":{}}}],"tool_choice":{"type":"function","function":{"name":"a"}},"stop":["x"],"n":1}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"a","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"c","content":"r"},{"role":"function","name":"f","content":"r"}],"response_format":{"type":"json_object"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := decodeChat(body)
		if err != nil {
			if _, ok := errors.AsType[*wire.Error](err); !ok {
				t.Fatalf("not an error of a field: %v", err)
			}
			return
		}
		if q.turn.Model == "" || len(q.turn.Messages) == 0 {
			t.Fatalf("not a turn: %+v", q.turn)
		}
		for _, m := range q.turn.Messages {
			if len(m.Parts) == 0 || m.Role == 0 {
				t.Fatalf("not a message: %+v", m)
			}
		}
	})
}
