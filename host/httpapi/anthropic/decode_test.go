package anthropic

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
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

// complete adds the members that must be there.
func complete(members string) []byte {
	if !strings.Contains(members, `"messages"`) {
		members = `"messages":[{"role":"user","content":"hi"}],` + members
	}
	if !strings.Contains(members, `"max_tokens"`) {
		members = `"max_tokens":100,` + members
	}
	return []byte(`{"model":"m",` + strings.TrimSuffix(members, ",") + `}`)
}

func TestDecodeMessages(t *testing.T) {
	schema := json.RawMessage(`{"type":"object"}`)
	for name, tt := range map[string]struct {
		body string
		want engine.Turn // without model and max_tokens
	}{
		"the least": {``, engine.Turn{}},
		"null is absence": {
			`"stream":null,"system":null,"temperature":null,"top_p":null,"top_k":null,"stop_sequences":null,"tools":null,"tool_choice":null,
			 "thinking":null,"metadata":null,"container":null,"mcp_servers":null,"output_config":null,"service_tier":null,"context_management":null`,
			engine.Turn{},
		},
		"what must be accepted": {
			`"metadata":{"user_id":"u"},"service_tier":"auto","container":null,"mcp_servers":[],"cache_control":{"type":"ephemeral","ttl":"1h"},
			 "context_management":{"edits":[]},"output_config":{},"unknown":1,"temperature":1,"top_p":0.5,"top_k":4,"stop_sequences":["a"]`,
			engine.Turn{Sampling: engine.Sampling{Temperature: ptr(1.0), TopP: ptr(0.5), TopK: ptr(int64(4)), Stop: []string{"a"}}},
		},
		"thinking":          {`"thinking":{"type":"enabled","budget_tokens":1024},"max_tokens":1025`, engine.Turn{Sampling: engine.Sampling{ReasoningTokens: ptr(int64(1024)), MaxOutputTokens: ptr(int64(1025))}}},
		"adaptive thinking": {`"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"max"}`, engine.Turn{Sampling: engine.Sampling{ReasoningEffort: "max"}}},
		"between tools":     {`"thinking":{"type":"between_tools"}`, engine.Turn{}},
		"no thinking":       {`"thinking":{"type":"disabled"}`, engine.Turn{Sampling: engine.Sampling{ReasoningTokens: ptr(int64(0))}}},
		"format":            {`"output_config":{"format":{"type":"json_schema","schema":{"type": "object"}}}`, engine.Turn{OutputSchema: schema}},
		"old format":        {`"output_format":{"type":"json_schema","schema":{"type":"object"}}`, engine.Turn{OutputSchema: schema}},
		"tools": {
			`"tools":[{"name":"a","description":"d","input_schema":{"type": "object"},"cache_control":{"type":"ephemeral"}},
			  {"type":"custom","name":"b","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}`,
			engine.Turn{
				Tools:      []engine.Tool{{Name: "a", Description: "d", InputSchema: schema}, {Name: "b", InputSchema: schema}},
				ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceRequired},
			},
		},
		"forced": {
			`"tools":[{"name":"a","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"a"}`,
			engine.Turn{
				Tools:      []engine.Tool{{Name: "a", InputSchema: schema}},
				ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceName, Name: "a"},
			},
		},
		"no call": {`"tool_choice":{"type":"none"}`, engine.Turn{ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceNone}}},
		"auto":    {`"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`, engine.Turn{}},
		"one call": {
			`"tools":[{"name":"a","input_schema":{"type":"object"}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`,
			engine.Turn{Tools: []engine.Tool{{Name: "a", InputSchema: schema}}, SingleCall: true},
		},
		"much":        {`"max_tokens":1000000000000`, engine.Turn{Sampling: engine.Sampling{MaxOutputTokens: ptr(int64(1e12))}}},
		"system text": {`"system":"be terse"`, engine.Turn{System: "be terse"}},
		"system blocks": {
			`"system":[{"type":"text","text":"one","cache_control":{"type":"ephemeral"}},{"type":"text","text":""},{"type":"text","text":"two"}],
			 "messages":[{"role":"system","content":"three"},{"role":"user","content":"hi"},{"role":"system","content":[{"type":"text","text":"four"}]}]`,
			engine.Turn{System: "one\n\ntwo\n\nthree", Messages: []engine.Message{user(engine.Text("hi")), user(engine.Text("<system>\nfour\n</system>"))}},
		},
		"blocks": {
			`"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},
			  {"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}},
			  {"type":"document","title":"t","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}},
			  {"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"}},
			  {"type":"document","source":{"type":"content","content":[{"type":"text","text":"c1"},{"type":"text","text":"c2"}]}}]},
			  {"role":"user","content":"again"}]`,
			engine.Turn{Messages: []engine.Message{
				user(engine.Text("a"), engine.Blob{MediaType: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")},
					engine.Blob{MediaType: "application/pdf", Data: []byte("%PDF-"), Name: "t"},
					engine.Text("plain"), engine.Text("c1"), engine.Text("c2")),
				user(engine.Text("again")),
			}},
		},
		"links": {
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}},
			  {"type":"document","title":"t","source":{"type":"url","url":"https://example.com/a.pdf"}}]}]`,
			engine.Turn{Messages: []engine.Message{user(
				engine.Blob{MediaType: "image/", URL: "https://example.com/a.png", Field: "messages[0].content[0].source.url"},
				engine.Blob{MediaType: "application/pdf", Name: "t", URL: "https://example.com/a.pdf", Field: "messages[0].content[1].source.url"},
			)}},
		},
		"history with calls": {
			`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[
			  {"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"redacted_thinking","data":"eHg="},
			  {"type":"text","text":"calling"},{"type":"tool_use","id":"t1","name":"a","input":{ "q" : [1, 2] },"caller":{"type":"direct"}},
			  {"type":"tool_use","id":"t2","name":"b","input":{}}]},
			  {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"r1"},{"type":"tool_result","tool_use_id":"t2","is_error":true},
			  {"type":"tool_result","tool_use_id":"t9","content":[{"type":"text","text":"r"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]},
			  {"type":"text","text":"go"}]},{"role":"assistant","content":[]}]`,
			engine.Turn{Messages: []engine.Message{
				user(engine.Text("hi")),
				assistant(engine.Reasoning{Text: "hm", Signature: []byte("c2ln")}, engine.Reasoning{Signature: []byte("eHg="), Redacted: true},
					engine.Text("calling"), engine.ToolCall{ID: "t1", Name: "a", Arguments: `{"q":[1,2]}`}, engine.ToolCall{ID: "t2", Name: "b", Arguments: `{}`}),
				user(engine.ToolResult{CallID: "t1", Name: "a", Parts: []engine.Part{engine.Text("r1")}},
					engine.ToolResult{CallID: "t2", Name: "b", IsError: true},
					engine.ToolResult{CallID: "t9", Parts: []engine.Part{engine.Text("r"), engine.Blob{MediaType: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")}}},
					engine.Text("go")),
			}},
		},
		"whole code points": {
			`"messages":[{"role":"user","content":"\ud83d\ude00 日\u0000"}]`,
			engine.Turn{Messages: []engine.Message{user(engine.Text("😀 日\x00"))}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dialecttest.Valid(t, "MessageRequest", complete(tt.body))
			q, err := decodeMessages(complete(tt.body), terms{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.Model = "m"; tt.want.Sampling.MaxOutputTokens == nil {
				tt.want.Sampling.MaxOutputTokens = ptr(int64(100))
			}
			if tt.want.Messages == nil {
				tt.want.Messages = hi
			}
			if diff := cmp.Diff(tt.want, q.turn); diff != "" {
				t.Errorf("the turn (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefuseMessages(t *testing.T) {
	with := func(s string) string { return string(complete(s)) }
	message := func(s string) string { return with(`"messages":[` + s + `]`) }
	block := func(s string) string { return message(`{"role":"user","content":[` + s + `]}`) }
	answer := func(s string) string { return message(`{"role":"assistant","content":[` + s + `]}`) }
	tool := `{"name":"a","input_schema":{}}`
	for name, tt := range map[string]struct{ body, param string }{
		"no JSON":               {`{"model":`, ""},
		"no object":             {`"x"`, ""},
		"no model":              {`{"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`, "model"},
		"model no string":       {`{"model":1,"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`, "model"},
		"no messages":           {`{"model":"m","max_tokens":1}`, "messages"},
		"empty messages":        {with(`"messages":[]`), "messages"},
		"messages no array":     {with(`"messages":{}`), "messages"},
		"message no object":     {message(`1`), "messages[0]"},
		"no role":               {message(`{"content":"hi"}`), "messages[0].role"},
		"unknown role":          {message(`{"role":"tool","content":"hi"}`), "messages[0].role"},
		"no content":            {message(`{"role":"user"}`), "messages[0].content"},
		"null content":          {message(`{"role":"user","content":null}`), "messages[0].content"},
		"content number":        {message(`{"role":"user","content":1}`), "messages[0].content"},
		"block no object":       {block(`"x"`), "messages[0].content[0]"},
		"block without type":    {block(`{"text":"x"}`), "messages[0].content[0].type"},
		"unknown block":         {block(`{"type":"hologram"}`), "messages[0].content[0].type"},
		"call of the user":      {block(`{"type":"tool_use","id":"t","name":"a","input":{}}`), "messages[0].content[0].type"},
		"result of the model":   {answer(`{"type":"tool_result","tool_use_id":"t"}`), "messages[0].content[0].type"},
		"text no string":        {block(`{"type":"text","text":1}`), "messages[0].content[0].text"},
		"image without url":     {block(`{"type":"image","source":{"type":"url"}}`), "messages[0].content[0].source.url"},
		"image by id":           {block(`{"type":"image","source":{"type":"file","file_id":"f"}}`), "messages[0].content[0].source.type"},
		"image that is a PDF":   {block(`{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"JVBERi0="}}`), "messages[0].content[0].source.media_type"},
		"image without source":  {block(`{"type":"image"}`), "messages[0].content[0].source"},
		"image type":            {block(`{"type":"image","source":{"type":"base64","media_type":"text/html","data":"aGk="}}`), "messages[0].content[0].source.media_type"},
		"image no base64":       {block(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"*"}}`), "messages[0].content[0].source.data"},
		"document url":          {block(`{"type":"document","source":{"type":"url","url":"a.pdf"}}`), "messages[0].content[0].source.url"},
		"document no pdf":       {block(`{"type":"document","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}`), "messages[0].content[0].source.media_type"},
		"document type":         {block(`{"type":"document","source":{"type":"x"}}`), "messages[0].content[0].source.type"},
		"call without id":       {answer(`{"type":"tool_use","name":"a","input":{}}`), "messages[0].content[0].id"},
		"call without name":     {answer(`{"type":"tool_use","id":"t","input":{}}`), "messages[0].content[0].name"},
		"call without input":    {answer(`{"type":"tool_use","id":"t","name":"a"}`), "messages[0].content[0].input"},
		"input no object":       {answer(`{"type":"tool_use","id":"t","name":"a","input":"{}"}`), "messages[0].content[0].input"},
		"result without id":     {block(`{"type":"tool_result","content":"r"}`), "messages[0].content[0].tool_use_id"},
		"result content":        {block(`{"type":"tool_result","tool_use_id":"t","content":1}`), "messages[0].content[0].content"},
		"result block":          {block(`{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_use"}]}`), "messages[0].content[0].content[0].type"},
		"is_error":              {block(`{"type":"tool_result","tool_use_id":"t","is_error":"yes"}`), "messages[0].content[0].is_error"},
		"thinking no string":    {answer(`{"type":"thinking","signature":"s"}`), "messages[0].content[0].thinking"},
		"redacted no data":      {answer(`{"type":"redacted_thinking"}`), "messages[0].content[0].data"},
		"system number":         {with(`"system":1`), "system"},
		"system image":          {with(`"system":[{"type":"image"}]`), "system[0].type"},
		"no max_tokens":         {`{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "max_tokens"},
		"max_tokens zero":       {with(`"max_tokens":0`), "max_tokens"},
		"max_tokens string":     {with(`"max_tokens":"1"`), "max_tokens"},
		"temperature":           {with(`"temperature":1.1`), "temperature"},
		"temperature string":    {with(`"temperature":"hot"`), "temperature"},
		"top_p":                 {with(`"top_p":-1`), "top_p"},
		"top_k":                 {with(`"top_k":-1`), "top_k"},
		"stop":                  {with(`"stop_sequences":"x"`), "stop_sequences"},
		"empty stop":            {with(`"stop_sequences":["a",""]`), "stop_sequences[1]"},
		"stream":                {with(`"stream":"yes"`), "stream"},
		"metadata":              {with(`"metadata":"x"`), "metadata"},
		"thinking":              {with(`"thinking":"enabled"`), "thinking"},
		"thinking type":         {with(`"thinking":{"type":"deep"}`), "thinking.type"},
		"user":                  {with(`"metadata":{"user_id":5}`), "metadata.user_id"},
		"no budget":             {with(`"thinking":{"type":"enabled"}`), "thinking.budget_tokens"},
		"budget":                {with(`"thinking":{"type":"enabled","budget_tokens":"x"}`), "thinking.budget_tokens"},
		"small budget":          {with(`"thinking":{"type":"enabled","budget_tokens":1023},"max_tokens":2000`), "thinking.budget_tokens"},
		"budget beyond the end": {with(`"thinking":{"type":"enabled","budget_tokens":2000},"max_tokens":2000`), "thinking.budget_tokens"},
		"begun answer":          {message(`{"role":"user","content":"hi"},{"role":"assistant","content":"The answer is ("}`), "messages"},
		"only an answer":        {answer(`{"type":"text","text":"hello"}`), "messages"},
		"effort":                {with(`"output_config":{"effort":"-x"}`), "output_config.effort"},
		"format":                {with(`"output_config":{"format":{"type":"xml"}}`), "output_config.format.type"},
		"format without schema": {with(`"output_format":{"type":"json_schema"}`), "output_format.schema"},
		"tools":                 {with(`"tools":{}`), "tools"},
		"tool no object":        {with(`"tools":["a"]`), "tools[0]"},
		"tool name":             {with(`"tools":[{"name":"a.b","input_schema":{}}]`), "tools[0].name"},
		"tool without schema":   {with(`"tools":[{"name":"a"}]`), "tools[0].input_schema"},
		"same tool twice":       {with(`"tools":[` + tool + `,` + tool + `]`), "tools[1]"},
		"choice string":         {with(`"tool_choice":"auto"`), "tool_choice"},
		"choice type":           {with(`"tool_choice":{"type":"maybe"}`), "tool_choice.type"},
		"choice without tools":  {with(`"tool_choice":{"type":"any"}`), "tool_choice"},
		"choice of unknown":     {with(`"tools":[` + tool + `],"tool_choice":{"type":"tool","name":"b"}`), "tool_choice"},
		"choice without name":   {with(`"tools":[` + tool + `],"tool_choice":{"type":"tool"}`), "tool_choice.name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeMessages([]byte(tt.body), terms{})
			f, ok := errors.AsType[*wire.Error](err)
			if !ok {
				t.Fatalf("got %v, want an error about %s", err, tt.param)
			}
			if f.Path != tt.param {
				t.Errorf("the error is about %q, want %q: %v", f.Path, tt.param, err)
			}
		})
	}
}

func TestIgnored(t *testing.T) {
	q, err := decodeMessages(complete(`"context_management":{}`), terms{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"max_tokens", "stop_sequences", "temperature", "context_management"}
	if diff := cmp.Diff(want, q.words([]string{engine.FieldMaxOutputTokens, engine.FieldStop, engine.FieldTemperature})); diff != "" {
		t.Error(diff)
	}
}

func TestSignature(t *testing.T) {
	for _, s := range [][]byte{nil, []byte("EqQBCgIYAh=="), {0, 255, 128}, []byte("base64:aGk="), []byte("é")} {
		if got := decodeSignature(encodeSignature(s)); string(got) != string(s) {
			t.Errorf("%q came back as %q", s, got)
		}
	}
}

// seed adds bodies of requests for the fuzzer to begin with.
func seed(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":1,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},
		{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}},{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"}]}]}],
		"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"tool","name":"a"},"thinking":{"type":"enabled","budget_tokens":1024}}`))
	f.Add([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"a","input":{}},
		{"type":"thinking","thinking":"x","signature":"base64:eA=="},{"type":"redacted_thinking","data":"x"},{"type":"server_tool_use"},{"type":"compaction","content":"c"}]},
		{"role":"user","content":[{"type":"document","title":"t","context":"c","source":{"type":"content","content":"x"}},
		{"type":"search_result","title":"t","source":"s","content":[{"type":"text","text":"r"}],"citations":{"enabled":true}}]},
		{"role":"system","content":"x","clear_at":"next_user_message"},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"a"}]}]}],
		"tools":[{"type":"bash_20250124","name":"bash"},{"type":"web_search_20250305","name":"w"},{"name":"a","input_schema":{},"input_examples":[{}],"strict":true,"allowed_callers":["direct"]}],
		"speed":"fast","inference_geo":"global","fallbacks":"default","output_config":{"task_budget":{}},"temperature":1}`))
}

func FuzzDecodeMessages(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) { checkDecode(t, body, terms{}) })
}

func FuzzDecodeCountTokens(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) { checkDecode(t, body, terms{count: true, noSampling: true}) })
}

// checkDecode decodes whatever it is given to a turn or to an error of a field.
func checkDecode(t *testing.T, body []byte, how terms) {
	q, err := decodeMessages(body, how)
	if err != nil {
		if _, ok := errors.AsType[*wire.Error](err); !ok {
			t.Fatalf("not an error of a field: %v", err)
		}
		return
	}
	if q.turn.Model == "" || len(q.turn.Messages) == 0 || (q.turn.Sampling.MaxOutputTokens == nil) != how.count {
		t.Fatalf("not a turn: %+v", q.turn)
	}
	for _, m := range q.turn.Messages {
		if len(m.Parts) == 0 || m.Role == 0 {
			t.Fatalf("not a message: %+v", m)
		}
	}
	if last := q.turn.Messages[len(q.turn.Messages)-1]; last.Role != engine.RoleUser && !how.count {
		t.Fatalf("nothing to answer: %+v", last)
	}
	for _, tool := range q.turn.Tools {
		if tool.Name == "" || !json.Valid(tool.InputSchema) {
			t.Fatalf("not a tool: %+v", tool)
		}
	}
}

// TestDisabledThinking is named as the client wrote it when a backend cannot do it.
func TestDisabledThinking(t *testing.T) {
	q, err := decodeMessages(complete(`"thinking":{"type":"disabled"}`), terms{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"thinking"}, q.words([]string{engine.FieldReasoningTokens})); diff != "" {
		t.Error(diff)
	}
}
