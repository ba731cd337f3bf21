package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func called(id, name, arguments string) *backendv1.Part {
	return &backendv1.Part{Content: &backendv1.Part_ToolCall{ToolCall: &backendv1.ToolCall{Id: id, Name: name, ArgumentsJson: arguments}}}
}

func yielded(id, text string) *backendv1.Part {
	return &backendv1.Part{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{CallId: id, Parts: user(text).GetParts()}}}
}

// TestCallsOfAnotherOrigin: what the API would refuse of earlier calls reaches it in
// a form that it takes, and each result still belongs to its call.
func TestCallsOfAnotherOrigin(t *testing.T) {
	long := strings.Repeat("n", maxName+1)
	eachRelease(t, func(t *testing.T, f *fixture) {
		start := chat(user("u"),
			&backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{
				called("toolu_1", "f", `{"a":1}`), called("functions.f:0", "ns.f ✓", `{"a":`), called("functions.f:1", long, `[1]`),
			}},
			&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{
				yielded("toolu_1", "r0"), yielded("functions.f:0", "r1"), yielded("functions.f:1", "r2"),
			}})
		f.complete(start)
		_, messages := f.received()
		if len(messages) != 3 || len(messages[1].Parts) != 3 || len(messages[2].Parts) != 3 {
			t.Fatalf("%d messages: %s", len(messages), words(messages))
		}
		var got []string
		for i, call := range messages[1].Parts {
			got = append(got, call.Name+" "+call.Text)
			if r := messages[2].Parts[i]; r.ID != call.ID || !allowedID.MatchString(call.ID) {
				t.Errorf("call %q has the result of %q", call.ID, r.ID)
			}
		}
		want := []string{`f {"a":1}`, `ns_f__ {"arguments":"{\"a\":"}`, long[1:] + ` {"arguments":"[1]"}`}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if id := messages[1].Parts[0].ID; id != "toolu_1" {
			t.Errorf("a good id became %q", id)
		}
	})
}

// TestWhatIsTold: ids, names and arguments are always such as the API takes, and what
// it takes stays as it is.
func TestWhatIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z0-9_-]{1,140}`), rapid.SampledFrom([]string{"null", `{"a":1}`, "{}", `{"a":`})).Draw(t, "text")
		good := allowedID.MatchString(text)
		if id := idTold(text); !allowedID.MatchString(id) || good && id != text || id != idTold(text) {
			t.Errorf("id %q", id)
		}
		if name := nameTold(text); !allowedID.MatchString(name) || len(name) > maxName || good && len(text) <= maxName && name != text {
			t.Errorf("name %q", name)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(argumentsTold(text)), &object); err != nil || object == nil {
			t.Errorf("arguments %q: %v", argumentsTold(text), err)
		}
	})
}
