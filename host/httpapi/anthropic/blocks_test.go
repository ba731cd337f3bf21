package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func TestBlocks(t *testing.T) {
	png := engine.Blob{MediaType: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")}
	pdf := engine.Blob{MediaType: "application/pdf", Data: []byte("%PDF-1.4"), Name: "t"}
	for name, tt := range map[string]struct {
		messages string
		want     []engine.Message
		ignored  []string
	}{
		"server tools of an earlier turn": {
			`{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"looking"},
			  {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},
			  {"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","url":"u","title":"t","encrypted_content":"x"}]},
			  {"type":"mcp_tool_use","id":"m","name":"a","server_name":"b","input":{}},{"type":"mcp_tool_result","tool_use_id":"m","content":"r"},
			  {"type":"tool_search_tool_result","tool_use_id":"x","content":{}},{"type":"fallback"},
			  {"type":"server_tool_use","id":"s2","name":"web_fetch","input":{}},{"type":"web_fetch_tool_result","tool_use_id":"s2","content":{}},
			  {"type":"text","text":"found"}]},{"role":"user","content":"thanks"}`,
			[]engine.Message{hi[0], assistant(engine.Text("looking"), engine.Text("found")), user(engine.Text("thanks"))},
			[]string{"messages.server_tool_use", "messages.web_search_tool_result", "messages.mcp_tool_use", "messages.mcp_tool_result", "messages.web_fetch_tool_result"},
		},
		"an answer of nothing else": {
			`{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]}`,
			hi, []string{"messages.server_tool_use"},
		},
		"compaction": {
			`{"role":"assistant","content":[{"type":"compaction","content":"all so far","encrypted_content":"x"},{"type":"compaction","content":null}]},{"role":"user","content":"hi"}`,
			[]engine.Message{assistant(engine.Text("all so far")), hi[0]}, nil,
		},
		"search result": {
			`{"role":"user","content":[{"type":"search_result","title":"T","source":"https://example.com","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"citations":{"enabled":true}},{"type":"text","text":"hi"}]}`,
			[]engine.Message{user(engine.Text("Title: T\nSource: https://example.com\n\na\n\nb"), engine.Text("hi"))},
			[]string{"messages.citations"},
		},
		"documents": {
			`{"role":"user","content":[{"type":"document","title":"t","context":"from me","citations":{"enabled":false},"source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQ="}},
			  {"type":"document","title":"t","context":"c","source":{"type":"text","media_type":"text/plain","data":"plain"}},
			  {"type":"document","title":"u","source":{"type":"content","content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]}}]}`,
			[]engine.Message{user(engine.Text("Context: from me\n\n"), pdf, engine.Text("Title: t\nContext: c\n\n"), engine.Text("plain"),
				engine.Text("Title: u\n\n"), engine.Text("x"), png)},
			nil,
		},
		"results": {
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"a"},
			  {"type":"search_result","title":"T","source":"S","content":[{"type":"text","text":"r"}]},
			  {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQ="},"title":"t"}],"cache_control":{"type":"ephemeral"},"toolset_name":null}]}`,
			[]engine.Message{user(engine.ToolResult{CallID: "t", Parts: []engine.Part{
				engine.Text("The tool a is there."), engine.Text("Title: T\nSource: S\n\nr"), pdf,
			}})},
			nil,
		},
		"turns of one role": {
			`{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}`,
			[]engine.Message{user(engine.Text("a")), user(engine.Text("b")), assistant(engine.Text("c")), assistant(engine.Text("d")), user(engine.Text("e"))},
			nil,
		},
		"the system's last word": {
			`{"role":"user","content":"hi"},{"role":"system","content":"now"}`,
			[]engine.Message{hi[0], user(engine.Text("<system>\nnow\n</system>"))}, nil,
		},
		"until the next question": {
			`{"role":"user","content":"a"},{"role":"system","content":"old","clear_at":"next_user_message"},{"role":"system","content":"stays","clear_at":"never"},
			  {"role":"system","content":"old too","clear_at":"next_user_message"},{"role":"assistant","content":"b"},{"role":"user","content":"hi"},
			  {"role":"system","content":"now","clear_at":"next_user_message"}`,
			[]engine.Message{user(engine.Text("a")), user(engine.Text("<system>\nstays\n</system>")), assistant(engine.Text("b")), hi[0],
				user(engine.Text("<system>\nnow\n</system>"))},
			nil,
		},
		"settings for later turns": {
			`{"role":"user","content":"hi"},{"role":"system","output_config":{"effort":"low"}}`, hi, []string{"messages.output_config"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := complete(`"messages":[` + tt.messages + `]`)
			dialecttest.Valid(t, "MessageRequest", body)
			q, err := decodeMessages(body, terms{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, q.turn.Messages); diff != "" {
				t.Errorf("the messages (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ignored, q.ignored); diff != "" {
				t.Errorf("what is ignored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefuseBlocks(t *testing.T) {
	for block, param := range map[string]string{
		`{"type":"container_upload","file_id":"f"}`:                                                                             "messages[0].content[0].type",
		`{"type":"tool_removal","tool":{}}`:                                                                                     "messages[0].content[0].type",
		`{"type":"server_tool_use","id":"s","name":"web_search","input":{}}`:                                                    "messages[0].content[0].type",
		`{"type":"compaction","content":"c"}`:                                                                                   "messages[0].content[0].type",
		`{"type":"search_result","source":"s","content":[]}`:                                                                    "messages[0].content[0].title",
		`{"type":"search_result","title":"t","source":"s","content":[{"type":"image"}]}`:                                        "messages[0].content[0].content[0].type",
		`{"type":"search_result","title":"t","source":"s","content":[],"citations":1}`:                                          "messages[0].content[0].citations",
		`{"type":"document","context":1,"source":{"type":"text","data":"x"}}`:                                                   "messages[0].content[0].context",
		`{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference"}]}`:                                        "messages[0].content[0].content[0].tool_name",
		`{"type":"tool_result","tool_use_id":"t","content":[{"type":"browser_state","tabs":[]}]}`:                               "messages[0].content[0].content[0].type",
		`{"type":"tool_result","tool_use_id":"t","content":[{"type":"web_search_tool_result","tool_use_id":"s","content":[]}]}`: "messages[0].content[0].content[0].type",
	} {
		_, err := decodeMessages(complete(`"messages":[{"role":"user","content":[`+block+`]}]`), terms{})
		if f, ok := errors.AsType[*wire.Error](err); !ok || f.Path != param {
			t.Errorf("%s: got %v, want an error about %s", block, err, param)
		}
	}
	for message, param := range map[string]string{
		`{"role":"system","content":"x","clear_at":1}`:      "messages[1].clear_at",
		`{"role":"system","content":"x","output_config":1}`: "messages[1].output_config",
		`{"role":"system"}`: "messages[1].content",
		`{"role":"system","content":[{"type":"tool_addition","tool":{"name":"a"}}]}`: "messages[1].content[0].type",
	} {
		_, err := decodeMessages(complete(`"messages":[{"role":"user","content":"hi"},`+message+`]`), terms{})
		if f, ok := errors.AsType[*wire.Error](err); !ok || f.Path != param {
			t.Errorf("%s: got %v, want an error about %s", message, err, param)
		}
	}
}

// What comes out of a plain answer or a stream, given back as history, reaches the
// engine byte for byte: text, reasoning with its signatures, and calls.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := dialecttest.Events(t)
		want := collect(t, events).Parts
		if len(want) == 0 {
			return
		}
		plain := readAnswer(t, encodeAnswer(testShape, collect(t, events)))
		streamed := readStream(t, dialecttest.Encode(newStream(testShape), events, nil))
		for _, m := range []message{plain, streamed} {
			content, err := json.Marshal(m.Content)
			if err != nil {
				t.Fatal(err)
			}
			q, err := decodeMessages(complete(`"messages":[{"role":"assistant","content":`+string(content)+`},{"role":"user","content":"hi"}]`), terms{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, q.turn.Messages[0].Parts, sameCall, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-went out +came back):\n%s", diff)
			}
		}
	})
}

// sameCall compares calls by the meaning of their arguments: clients parse them. No
// arguments are an empty object.
var sameCall = cmp.Comparer(func(a, b engine.ToolCall) bool {
	parse := func(s string) (v any) {
		d := json.NewDecoder(bytes.NewReader([]byte(s)))
		if s == "" || d.Decode(&v) != nil {
			return map[string]any{}
		}
		return v
	}
	return a.ID == b.ID && a.Name == b.Name && cmp.Equal(parse(a.Arguments), parse(b.Arguments))
})
