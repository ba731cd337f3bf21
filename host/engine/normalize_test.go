package engine

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

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

// TestNormalizeRefuses shows what ends a turn because a host would have to keep too
// much, or because it makes no sense.
func TestNormalizeRefuses(t *testing.T) {
	const client, own = backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT, backendv1.ToolOrigin_TOOL_ORIGIN_BACKEND
	mega := strings.Repeat("x", 1<<20)
	tests := []struct {
		name string
		next func(n int) *backendv1.ExecuteResponse
		want string
	}{
		{"a call of the client's started twice", func(int) *backendv1.ExecuteResponse { return callStarted("1", client) }, "started twice"},
		{"a call of its own started twice", func(int) *backendv1.ExecuteResponse { return callStarted("1", own) }, "started twice"},
		{"calls without an end", func(n int) *backendv1.ExecuteResponse { return callStarted(fmt.Sprint(n), own) }, "more than 1000 calls"},
		{"calls of the client's without an end", func(n int) *backendv1.ExecuteResponse { return callDone(fmt.Sprint(n), "{}", client) }, "more than 1000 calls"},
		{"arguments without an end", func(n int) *backendv1.ExecuteResponse {
			if n == 0 {
				return callStarted("1", client)
			}
			return callDelta("1", mega)
		}, "larger than 2 MiB"},
		{"many small arguments that wait", func(n int) *backendv1.ExecuteResponse {
			if n < 2 {
				return callStarted(fmt.Sprint(n), client)
			}
			return callDelta("1", "x")
		}, "larger than 2 MiB"},
		{"large arguments at once", func(int) *backendv1.ExecuteResponse { return callDone("1", mega+mega+mega, client) }, "larger than 2 MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var n normalizer
			for i := range 100_000 {
				r := test.next(i)
				r.Sequence = uint64(i) + 1
				_, err := n.add("b", r)
				for n.pop() != nil { // they are handed on
				}
				if err != nil {
					if !strings.Contains(err.Error(), test.want) {
						t.Errorf("error %v, want %q", err, test.want)
					}
					return
				}
			}
			t.Error("it goes on for ever")
		})
	}
}

// TestNormalizeLargeOwnCall shows that a call of the backend's own that comes whole may
// be as large as a message: a patch that removes a large file, for example.
func TestNormalizeLargeOwnCall(t *testing.T) {
	var n normalizer
	arguments := strings.Repeat("x", 3<<20)
	for i := range 3 { // nothing of it adds up
		r := callDone(fmt.Sprint(i), arguments, backendv1.ToolOrigin_TOOL_ORIGIN_BACKEND)
		r.Sequence = uint64(i) + 1
		if _, err := n.add("b", r); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for e := n.pop(); e != nil; e = n.pop() {
			if d, ok := e.(*ToolCallDelta); ok {
				got.WriteString(d.Arguments)
			}
		}
		if got.String() != arguments {
			t.Errorf("%d bytes of arguments, want %d", got.Len(), len(arguments))
		}
	}
}

// TestNormalizeForgets shows that calls that are over cost nothing: an agent runs
// thousands of them in a turn.
func TestNormalizeForgets(t *testing.T) {
	var n normalizer
	for i := range 5000 {
		r := callDone(fmt.Sprint(i), strings.Repeat("x", 10_000), backendv1.ToolOrigin_TOOL_ORIGIN_BACKEND)
		r.Sequence = uint64(i) + 1
		if _, err := n.add("b", r); err != nil {
			t.Fatal(err)
		}
	}
	if n.held != 0 || len(n.calls) != 0 {
		t.Errorf("%d bytes of %d calls are held", n.held, len(n.calls))
	}
}

// TestNormalizePieces shows that long texts are cut between code points and come
// out whole.
func TestNormalizePieces(t *testing.T) {
	long := strings.Repeat("ä€🙂", 40_000)
	var n normalizer
	for i, r := range []*backendv1.ExecuteResponse{
		delta(long),
		{Event: &backendv1.ExecuteResponse_ReasoningDelta{ReasoningDelta: &backendv1.ReasoningDelta{Text: long, Signature: []byte("s")}}},
		callDone("1", long, backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT),
	} {
		r.Sequence = uint64(i) + 1
		if _, err := n.add("b", r); err != nil {
			t.Fatal(err)
		}
	}
	var text, reasoning, arguments, signature string
	for ev := n.pop(); ev != nil; ev = n.pop() {
		var part string
		switch v := ev.(type) {
		case *TextDelta:
			part, text = v.Text, text+v.Text
		case *ReasoningDelta:
			part, reasoning, signature = v.Text, reasoning+v.Text, signature+string(v.Signature)
		case *ToolCallDelta:
			part, arguments = v.Arguments, arguments+v.Arguments
		}
		if len(part) > pieceSize || !utf8.ValidString(part) {
			t.Errorf("a piece of %d bytes, valid: %v", len(part), utf8.ValidString(part))
		}
	}
	if text != long || reasoning != long || arguments != long || signature != "s" {
		t.Error("the pieces do not add up")
	}
}

// FuzzNormalize makes up events: whatever comes, nothing panics and what the
// comment of Event promises holds.
func FuzzNormalize(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{1, 1, 3, 1, 17, 3, 33, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		var n normalizer
		blocks, open := -1, ""
		for i, b := range script {
			id, origin := fmt.Sprint(b>>6), backendv1.ToolOrigin(1+b>>5&1)
			var r *backendv1.ExecuteResponse
			switch b & 15 {
			case 0:
				r = started()
			case 1, 2:
				r = callStarted(id, origin)
			case 3, 4:
				r = callDelta(id, "x")
			case 5, 6:
				r = callDone(id, "x", origin)
			case 7:
				r = callDone(id, "", origin)
			case 8:
				r = &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ReasoningDelta{ReasoningDelta: &backendv1.ReasoningDelta{Text: "r", Redacted: b>>4&1 == 1}}}
			case 9:
				r = &backendv1.ExecuteResponse{}
			case 10:
				r = completed("")
			default:
				r = delta("t")
			}
			r.Sequence = uint64(i) + 1
			_, err := n.add("b", r)
			for ev := n.pop(); ev != nil; ev = n.pop() {
				block := blocks
				switch v := ev.(type) {
				case *TextDelta:
					block = v.Block
				case *ReasoningDelta:
					block = v.Block
				case *ToolCallStarted:
					block = v.Block
					if v.Client && open != "" {
						t.Fatalf("the call %s begins within the call %s", v.ID, open)
					}
					if v.Client {
						open = v.ID
					}
				case *ToolCallDelta:
					if v.Client && v.ID != open {
						t.Fatalf("arguments of the call %s within the call %q", v.ID, open)
					}
				case *ToolCallDone:
					if v.Client && v.ID != open {
						t.Fatalf("the call %s ends within the call %q", v.ID, open)
					}
					if v.Client {
						open = ""
					}
				}
				if block < blocks {
					t.Fatalf("block %d after block %d", block, blocks)
				}
				blocks = max(blocks, block)
			}
			if err != nil || r.GetCompleted() != nil {
				return
			}
		}
	})
}

// TestContentWithinACall waits for the call's end: blocks never overlap.
func TestContentWithinACall(t *testing.T) {
	origin := backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT
	f := newFakes(t)
	f.add("b", &backendv1.Capabilities{Chat: &backendv1.ChatCapability{}, ClientTools: &backendv1.ClientToolCapability{}}, script(
		started(),
		&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallStarted{ToolCallStarted: &backendv1.ToolCallStarted{Id: "a", Name: "t", Origin: origin}}},
		delta("between"),
		&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallDelta{ToolCallDelta: &backendv1.ToolCallDelta{Id: "a", ArgumentsJson: `{"x":1}`}}},
		&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCall{ToolCall: &backendv1.ToolCall{Id: "a", Name: "t", ArgumentsJson: `{"x":1}`, Origin: origin}}},
		completed(""),
	))
	a, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("x"), Tools: []Tool{{Name: "t"}}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Part{ToolCall{ID: "a", Name: "t", Arguments: `{"x":1}`}, Text("between")}, a.Parts); diff != "" {
		t.Error(diff)
	}
}
