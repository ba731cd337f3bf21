package responses

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	api "github.com/openai/openai-go/v3/responses"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func read(body string) (*request, error) {
	q, err := decode([]byte(body))
	if err != nil {
		return nil, err
	}
	return q, q.converse(nil, nil)
}

func TestDecodeErrors(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                        "the body must be a JSON object, not an array",
		`{"input":"x"}`:             "model is required",
		`{"model":"m"}`:             "input is required",
		`{"model":"m","input":1}`:   "input must be a string or an array of items",
		`{"model":"m","input":[]}`:  "input must have at least one item with content",
		`{"model":"m","input":[1]}`: "input[0] must be an object, not a number",
		`{"model":"m","input":[{"role":"x","content":"y"}]}`:                                            `input[0].role must be one of system, developer, user, assistant, not "x"`,
		`{"model":"m","input":[{"role":"user","content":1}]}`:                                           "input[0].content must be a string or an array of parts",
		`{"model":"m","input":[{"role":"user","content":[{"type":"video"}]}]}`:                          `input[0].content[0].type must be one of input_text, input_image, input_file, not "video"`,
		`{"model":"m","input":[{"type":"function_call_output","output":"x"}]}`:                          "input[0].call_id is required",
		`{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}`:                                `input[0].id refers to the item "msg_1", which is not kept here`,
		`{"model":"m","input":"x","stream":"yes"}`:                                                      "stream must be a boolean, not a string",
		`{"model":"m","input":"x","temperature":"hot"}`:                                                 "temperature must be a number, not a string",
		`{"model":"m","input":"x","top_logprobs":1}`:                                                    "top_logprobs must be 0: the backends do not tell probabilities",
		`{"model":"m","input":"x","prompt":{"id":"p"}}`:                                                 "prompt is not supported; send its text as input and instructions",
		`{"model":"m","input":"x","conversation":"c"}`:                                                  "conversation is not supported; continue a response with previous_response_id",
		`{"model":"m","input":"x","tools":"x"}`:                                                         "tools must be an array, not a string",
		`{"model":"m","input":"x","tool_choice":"required"}`:                                            "tool_choice asks for a call, but there are no tools that the client carries out",
		`{"model":"m","input":"x","tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}}`: `tool_choice.type is "web_search": no backend can carry out a tool of that type; it must be function, custom or allowed_tools`,
		`{"model":"m","input":"x","tool_choice":{"type":"function","name":"f"}}`:                        `tool_choice names the tool "f", which is not among the tools`,
		`{"model":"m","input":"x","background":true,"store":false}`:                                     "background needs store: the answer is fetched later",
		`{"model":"m","input":"x","metadata":{"a":1}}`:                                                  "metadata.a must be a string, not a number",
		`{"model":"m","input":"x","truncation":"never"}`:                                                `truncation must be one of auto, disabled, not "never"`,
		`{"model":"m","input":"x","text":{"format":{"type":"xml"}}}`:                                    `text.format.type must be one of text, json_object, json_schema, not "xml"`,
	} {
		_, err := read(body)
		if _, ok := errors.AsType[*wire.Error](err); !ok || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", body, err, want)
		}
	}
}

func TestDecodeAgent(t *testing.T) {
	q, err := read(`{"model":"m","instructions":"a","parallel_tool_calls":false,"input":[
		{"type":"message","role":"developer","content":[{"type":"input_text","text":"b"}]},
		{"role":"user","content":"hi"},
		{"type":"reasoning","summary":[],"encrypted_content":"of another"},
		{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"clinvk.1.c2ln"},
		{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ok","annotations":[]}]},
		{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},
		{"type":"custom_tool_call","call_id":"2","name":"patch","input":"a\nb"},
		{"type":"function_call_output","call_id":"1","output":"one"},
		{"type":"custom_tool_call_output","call_id":"2","output":[{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo="}]}],
		"tools":[{"type":"function","name":"f","strict":true,"parameters":{"type":"object"}},{"type":"custom","name":"patch"},{"type":"web_search"},
			{"type":"namespace","name":"ns","tools":[{"type":"function","name":"f"}]}],
		"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"array"}}},"reasoning":{"effort":"high","summary":"auto"}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Message{
		{Role: engine.RoleUser, Parts: []engine.Part{engine.Text("hi")}},
		{Role: engine.RoleAssistant, Parts: []engine.Part{
			engine.Reasoning{Text: "hm", Signature: []byte("sig")}, engine.Text("ok"),
			engine.ToolCall{ID: "1", Name: "f", Arguments: "{}"}, engine.ToolCall{ID: "2", Name: "patch", Arguments: `{"input":"a\nb"}`},
		}},
		{Role: engine.RoleUser, Parts: []engine.Part{
			engine.ToolResult{CallID: "1", Name: "f", Parts: []engine.Part{engine.Text("one")}},
			engine.ToolResult{CallID: "2", Name: "patch", Parts: []engine.Part{engine.Blob{MediaType: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")}}},
		}},
	}
	if diff := cmp.Diff(want, q.turn.Messages); diff != "" {
		t.Error(diff)
	}
	if q.turn.System != "a\n\nb" || !q.turn.SingleCall || q.turn.Sampling.ReasoningEffort != "high" || string(q.turn.OutputSchema) != `{"type":"array"}` {
		t.Errorf("got %+v", q.turn)
	}
	names := []string{}
	for _, tool := range q.turn.Tools {
		names = append(names, tool.Name)
	}
	if diff := cmp.Diff([]string{"f", "patch", "ns__f"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"tools.web_search"}, q.ignored); diff != "" {
		t.Error(diff)
	}
}

// TestToolsAgain: the items of a conversation bring their tools each time.
func TestToolsAgain(t *testing.T) {
	tools := func(describe string) string {
		return `{"type":"additional_tools","tools":[{"type":"function","name":"f","description":"` + describe + `"},{"type":"custom","name":"g","description":"` + describe + `"}]}`
	}
	q, err := decode([]byte(`{"model":"m","tools":[{"type":"function","name":"f","description":"own"}],"input":[` + tools("new") + `,{"role":"user","content":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.converse([]json.RawMessage{json.RawMessage("[" + tools("old") + "]")}, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tool := range q.turn.Tools {
		got = append(got, tool.Name+" "+tool.Description)
	}
	if diff := cmp.Diff([]string{"f own", "g new"}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecodeResponses(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"x"}]}],"tools":[{"type":"custom","name":"a"}]}`))
	f.Add([]byte(`{"model":"m","input":[{"type":"function_call","call_id":"1","name":"f"},{"id":"x"},{"type":"reasoning","encrypted_content":"clinvk.1."}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := decode(body)
		if err == nil {
			err = q.converse(nil, nil)
		}
		if err != nil {
			if _, ok := errors.AsType[*wire.Error](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		items, err := inputItems(q.input, "resp_1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseArray(items); err != nil {
			t.Fatalf("%v: %s", err, items)
		}
		if len(q.turn.Messages) == 0 {
			t.Fatal("no messages")
		}
	})
}

// TestKnown holds the list of fields against OpenAI's own client.
func TestKnown(t *testing.T) {
	params := reflect.TypeFor[api.ResponseNewParams]()
	for i := range params.NumField() {
		name, _, _ := strings.Cut(params.Field(i).Tag.Get("json"), ",")
		if name != "" && !slices.Contains(known, name) {
			t.Errorf("nobody thought of %s", name)
		}
	}
	q, err := read(`{"model":"m","input":"x","stream":true,"temprature":1}`)
	if err != nil || q.unknown != "temprature" {
		t.Errorf("got %+v, %v", q, err)
	}
}
