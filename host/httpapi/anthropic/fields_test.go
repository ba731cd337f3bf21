package anthropic

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// keys lists the JSON keys of a struct of the official client.
func keys(v any) (names []string) {
	t := reflect.TypeOf(v)
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// variants lists the types that a union of the official client can have: the value of
// the constant that each variant has as its type.
func variants(t *testing.T, union any) (kinds []string) {
	t.Helper()
	u := reflect.TypeOf(union)
	for i := range u.NumField() {
		v := u.Field(i).Type
		if v.Kind() != reflect.Pointer {
			continue
		}
		field, ok := v.Elem().FieldByName("Type")
		if !ok {
			t.Fatalf("%v has no type", v)
		}
		if kind := field.Tag.Get("default"); kind != "" {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		t.Fatalf("%v has no variants", u)
	}
	return kinds
}

// Whatever Anthropic's client can send has been thought about.
func TestEveryField(t *testing.T) {
	for name, tt := range map[string]struct {
		sent  []any
		known []requestField
		extra []string // what this client writes by hand, and what others have besides
	}{
		"request": {
			[]any{sdk.MessageNewParams{}, sdk.BetaMessageNewParams{}, sdk.MessageCountTokensParams{}, sdk.BetaMessageCountTokensParams{}},
			requestFields, []string{"stream", "billing_policy", "thread"},
		},
		"output_config": {[]any{sdk.OutputConfigParam{}, sdk.BetaOutputConfigParam{}}, outputFields, nil},
		"tool":          {[]any{sdk.ToolParam{}, sdk.BetaToolParam{}}, toolFields, nil},
	} {
		known := map[string]bool{}
		for _, f := range tt.known {
			if known[f.name] {
				t.Errorf("%s: %s is there twice", name, f.name)
			}
			known[f.name] = true
		}
		sent := map[string]bool{}
		for _, key := range tt.extra {
			sent[key] = true
		}
		for _, v := range tt.sent {
			for _, key := range keys(v) {
				sent[key] = true
				if !known[key] {
					t.Errorf("%s: nothing says what becomes of %s", name, key)
				}
			}
		}
		for f := range known {
			if !sent[f] {
				t.Errorf("%s: %s is sent by no client", name, f)
			}
		}
	}
}

func TestEveryBlock(t *testing.T) {
	known := map[string]bool{}
	for _, b := range []blocks{ofSystem, inResult, ofUser, ofAssistant} {
		for _, kind := range b {
			known[kind] = true
		}
	}
	for kind := range otherBlocks {
		if known[kind] {
			t.Errorf("%s is both carried on and not", kind)
		}
		known[kind] = true
	}
	for _, union := range []any{
		sdk.ContentBlockParamUnion{}, sdk.BetaContentBlockParamUnion{},
		sdk.ToolResultBlockParamContentUnion{}, sdk.BetaToolResultBlockParamContentUnion{},
	} {
		for _, kind := range variants(t, union) {
			if !known[kind] {
				t.Errorf("%T: nothing says what becomes of %s", union, kind)
			}
		}
	}
}

func TestEveryTool(t *testing.T) {
	for _, union := range []any{sdk.ToolUnionParam{}, sdk.BetaToolUnionParam{}} {
		for _, kind := range variants(t, union) {
			if ownTool(kind) == nil {
				t.Errorf("%T: nothing says what becomes of %s", union, kind)
			}
		}
	}
}

func TestFields(t *testing.T) {
	for name, tt := range map[string]struct {
		body    string
		ignored []string
		refused string // the field
	}{
		"nothing asked":     {`"speed":"standard","inference_geo":"global","fallbacks":[],"mcp_servers":[],"container":null,"thread":null`, nil, ""},
		"without effect":    {`"metadata":{},"service_tier":"standard_only","diagnostics":{"previous_message_id":null},"billing_policy":{"type":"billing_policy"},"fallback_credit_token":"x"`, nil, ""},
		"noted":             {`"context_management":{"edits":[]},"compaction":{"type":"summarize"},"speed":"fast","fallbacks":[{"model":"x"}]`, []string{"context_management", "compaction", "fallbacks", "speed"}, ""},
		"fallbacks by word": {`"fallbacks":"default"`, []string{"fallbacks"}, ""},
		"budget of a task":  {`"output_config":{"effort":"xhigh","task_budget":{"type":"tokens","total":20000}}`, []string{"output_config.task_budget"}, ""},
		"container":         {`"container":"c"`, nil, "container"},
		"container object":  {`"container":{"id":"c"}`, nil, "container"},
		"MCP servers":       {`"mcp_servers":[{"type":"url"}]`, nil, "mcp_servers"},
		"thread":            {`"thread":{"type":"create"}`, nil, "thread"},
		"place":             {`"inference_geo":"us"`, nil, "inference_geo"},
		"no object":         {`"context_management":"x"`, nil, "context_management"},
		"no string":         {`"speed":1`, nil, "speed"},
		"no array":          {`"mcp_servers":{}`, nil, "mcp_servers"},
		"no task":           {`"output_config":{"task_budget":1}`, nil, "output_config.task_budget"},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := decodeMessages(complete(tt.body), terms{})
			if tt.refused != "" {
				if f, ok := errors.AsType[*wire.Error](err); !ok || f.Path != tt.refused {
					t.Errorf("got %v, want an error about %s", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.ignored, q.ignored); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	sampling := []string{`"temperature":0.5`, `"top_p":0.5`, `"top_k":5`}
	for version, refuses := range map[string]bool{
		"": false, "2023-06-01": false, "2026-10-20": false, "2026-10-21": true, "2027-01-01": true, "latest": false, "2026-10-21-x": false,
	} {
		how := termsOf(asking(version, "", ""))
		for _, body := range sampling {
			if _, err := decodeMessages(complete(body), how); (err != nil) != refuses {
				t.Errorf("version %q, %s: got %v", version, body, err)
			}
		}
		if _, err := decodeMessages(complete(`"temperature":null,"top_k":null`), how); err != nil {
			t.Errorf("version %q: null is not absence: %v", version, err)
		}
	}
}

func TestBetas(t *testing.T) {
	for name, tt := range map[string]struct {
		betas, query string
		want         terms
	}{
		"none":     {"", "", terms{}},
		"query":    {"", "?beta=true", terms{beta: true}},
		"no query": {"", "?beta=false", terms{}},
		"any":      {"never-heard-of-2030-01-01,x", "", terms{beta: true}},
		"thinking": {"a,interleaved-thinking-2025-05-14", "?beta=true", terms{beta: true, interleaved: true}},
	} {
		if got := termsOf(asking("2023-06-01", tt.betas, tt.query)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
	if _, err := decodeMessages(complete(`"thinking":{"type":"enabled","budget_tokens":2048}`), terms{interleaved: true}); err != nil {
		t.Errorf("a budget for several calls: %v", err)
	}
}

// What comes in is a turn even when the client asks for all that is not there.
func TestCountDecodes(t *testing.T) {
	q, err := decodeMessages([]byte(`{"model":"m","system":"s","stream":"yes","temperature":9,"max_tokens":"x","stop_sequences":1,
		"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"The answer is ("}],
		"thinking":{"type":"enabled","budget_tokens":10000},"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"any"}}`), terms{count: true, noSampling: true})
	if err != nil {
		t.Fatal(err)
	}
	want := engine.Turn{
		Model: "m", System: "s", Messages: []engine.Message{hi[0], assistant(engine.Text("The answer is ("))},
		Tools: []engine.Tool{{Name: "a", InputSchema: []byte("{}")}}, ToolChoice: engine.ToolChoice{Kind: engine.ToolChoiceRequired},
		Sampling: engine.Sampling{ReasoningTokens: ptr(int64(10000))},
	}
	if diff := cmp.Diff(want, q.turn); diff != "" {
		t.Error(diff)
	}
	for body, field := range map[string]string{
		`{"model":"m","messages":[]}`: "messages", `{"messages":[{"role":"user","content":"hi"}]}`: "model",
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":1}`: "tools",
	} {
		_, err := decodeMessages([]byte(body), terms{count: true})
		if f, ok := errors.AsType[*wire.Error](err); !ok || f.Path != field {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

// asking is a request with headers and a query.
func asking(version, betas, query string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/anthropic/v1/messages"+query, nil)
	r.Header.Set("Anthropic-Version", version)
	r.Header.Set("Anthropic-Beta", betas)
	return r
}
