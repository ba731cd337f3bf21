package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func callStarted(id string, origin backendv1.ToolOrigin) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallStarted{ToolCallStarted: &backendv1.ToolCallStarted{Id: id, Name: "t" + id, Origin: origin}}}
}

func callDelta(id, text string) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallDelta{ToolCallDelta: &backendv1.ToolCallDelta{Id: id, ArgumentsJson: text}}}
}

func callDone(id, text string, origin backendv1.ToolOrigin) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCall{ToolCall: &backendv1.ToolCall{Id: id, Name: "t" + id, ArgumentsJson: text, Origin: origin}}}
}

// show writes events in one line each.
func show(events []Event) (out []string) {
	for _, e := range events {
		switch v := e.(type) {
		case *Started:
		case *TextDelta:
			out = append(out, "text "+v.Text)
		case *ToolCallStarted:
			out = append(out, "start "+v.ID)
		case *ToolCallDelta:
			out = append(out, "delta "+v.ID+" "+v.Arguments)
		case *ToolCallDone:
			out = append(out, "done "+v.ID+" "+v.Arguments)
		default:
			out = append(out, strings.TrimPrefix(fmt.Sprintf("%T", e), "*engine."))
		}
	}
	return out
}

func TestNormalize(t *testing.T) {
	const client, own = backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT, backendv1.ToolOrigin_TOOL_ORIGIN_BACKEND
	tests := []struct {
		name   string
		events []*backendv1.ExecuteResponse
		want   []string
	}{
		{"calls that overlap come one after the other", []*backendv1.ExecuteResponse{
			callStarted("1", client), callStarted("2", client), callDelta("2", "{"), callDelta("1", "{}"), callDelta("2", "}"),
			callDone("2", "{}", client), callDone("1", "{}", client), callDone("3", "{}", client), completed(""),
		}, []string{"start 1", "delta 1 {}", "done 1 {}", "start 2", "delta 2 {", "delta 2 }", "done 2 {}", "start 3", "delta 3 {}", "done 3 {}", "Completed"}},
		{"text around a backend's tool is kept apart", []*backendv1.ExecuteResponse{
			delta("a"), callDone("1", "{}", own), delta("b"), delta("c"), completed(""),
		}, []string{"text a", "start 1", "delta 1 {}", "done 1 {}", "text \n\nb", "text c", "Completed"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var n normalizer
			for i, e := range test.events {
				e.Sequence = uint64(i + 1)
				if failure, err := n.add("b", e); failure != nil || err != nil {
					t.Fatal(failure, err)
				}
			}
			if diff := cmp.Diff(test.want, show(n.queue)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrefixKeyIgnoresWhiteSpaceInArguments(t *testing.T) {
	a := extend(prefixKey{}, Message{RoleAssistant, []Part{ToolCall{"1", "t", `{"a": 1}`}}})
	if a != extend(prefixKey{}, Message{RoleAssistant, []Part{ToolCall{"1", "t", `{"a":1}`}}}) {
		t.Error("reformatted arguments are another conversation")
	}
	if a == extend(prefixKey{}, Message{RoleAssistant, []Part{ToolCall{"1", "t", `{"a":2}`}}}) {
		t.Error("other arguments are the same conversation")
	}
}
