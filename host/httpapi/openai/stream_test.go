package openai

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

var update = flag.Bool("update", false, "write the golden files")

// completion is what a client reads of an answer.
type completion struct {
	ID, Object, Model string
	Created           int64
	Choices           []struct {
		Index        int
		Message      *chatMessage
		Delta        *chatMessage
		FinishReason *string `json:"finish_reason"`
	}
	Usage json.RawMessage
}

type chatMessage struct {
	Role      string
	Content   *string
	Reasoning string `json:"reasoning_content"`
	ToolCalls []struct {
		Index    *int
		ID, Type string
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
	FunctionCall *struct{ Name, Arguments string } `json:"function_call"`
}

// result is a stream or an answer, put together.
type result struct {
	Content, Reasoning, Finish, Usage string
	Calls                             [][3]string // id, name, arguments
}

// readAnswer reads an answer of one choice.
func readAnswer(t dialecttest.TB, body []byte) result {
	t.Helper()
	return readAnswers(t, body)[0]
}

// readAnswers reads all choices; the usage is in each.
func readAnswers(t dialecttest.TB, body []byte) (out []result) {
	t.Helper()
	dialecttest.Valid(t, "ChatCompletion", body)
	var c completion
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for i, choice := range c.Choices {
		m := choice.Message
		r := result{Reasoning: m.Reasoning, Finish: *choice.FinishReason, Usage: string(c.Usage)}
		if m.Content != nil {
			r.Content = *m.Content
		} else if len(m.ToolCalls) == 0 && m.FunctionCall == nil {
			t.Fatalf("null content without calls: %s", body)
		}
		for _, call := range m.ToolCalls {
			r.Calls = append(r.Calls, [3]string{call.ID, call.Function.Name, call.Function.Arguments})
		}
		if f := m.FunctionCall; f != nil {
			r.Calls = append(r.Calls, [3]string{"", f.Name, f.Arguments})
		}
		if choice.Index != i {
			t.Fatalf("choice %d has the index %d", i, choice.Index)
		}
		out = append(out, r)
	}
	return out
}

// readStream reads a stream of one choice as a strict client would.
func readStream(t dialecttest.TB, stream []byte, usage bool) result {
	t.Helper()
	return readStreams(t, stream, 1, usage)[0]
}

// readStreams reads a stream of n choices.
func readStreams(t dialecttest.TB, stream []byte, n int, usage bool) []result {
	t.Helper()
	out := make([]result, n)
	begun, over := make([]bool, n), 0
	events := dialecttest.ReadSSE(t, stream)
	if last := events[len(events)-1]; last.Data != "[DONE]" {
		t.Fatalf("the last event is %q", last.Data)
	}
	var first completion
	for i, e := range events[:len(events)-1] {
		dialecttest.Valid(t, "ChatCompletionChunk", []byte(e.Data))
		var c completion
		if err := json.Unmarshal([]byte(e.Data), &c); err != nil || e.Name != "" {
			t.Fatalf("%v: %+v", err, e)
		}
		if i == 0 {
			first = c
		}
		if c.ID != first.ID || c.Created != first.Created || c.Model != first.Model {
			t.Fatalf("chunks of different answers: %s", e.Data)
		}
		if !usage && (len(c.Choices) == 0 || c.Usage != nil) {
			t.Fatalf("a chunk that was not asked for: %s", e.Data)
		}
		if len(c.Choices) == 0 {
			if i != len(events)-2 || over != n {
				t.Fatalf("usage before the end: %s", e.Data)
			}
			for i := range out {
				out[i].Usage = string(c.Usage)
			}
			continue
		}
		if usage && string(c.Usage) != "null" {
			t.Fatalf("no usage: null: %s", e.Data)
		}
		choice := c.Choices[0]
		if d := choice.Delta; !begun[choice.Index] != (d.Role == "assistant" && *d.Content == "") {
			t.Fatalf("the first chunk of each choice tells the role, and no other: %s", e.Data)
		}
		begun[choice.Index] = true
		out[choice.Index].add(t, *choice.Delta, e.Data)
		if f := choice.FinishReason; f != nil {
			out[choice.Index].Finish = *f
			over++
		}
	}
	if over != n {
		t.Fatalf("%d of %d choices came to an end", over, n)
	}
	return out
}

func (r *result) add(t dialecttest.TB, d chatMessage, data string) {
	t.Helper()
	if r.Finish != "" {
		t.Fatalf("something after the finish_reason: %s", data)
	}
	r.Reasoning += d.Reasoning
	if d.Content != nil {
		r.Content += *d.Content
	}
	for _, call := range d.ToolCalls {
		switch i := *call.Index; {
		case call.ID != "":
			if i != len(r.Calls) || call.Function.Arguments != "" || call.Type != "function" {
				t.Fatalf("not the beginning of a call: %s", data)
			}
			r.Calls = append(r.Calls, [3]string{call.ID, call.Function.Name, ""})
		case i >= len(r.Calls) || call.Function.Name != "":
			t.Fatalf("not a piece of a call: %s", data)
		default:
			r.Calls[i][2] += call.Function.Arguments
		}
	}
	if f := d.FunctionCall; f != nil {
		if f.Name != "" {
			r.Calls = append(r.Calls, [3]string{"", f.Name, ""})
		}
		r.Calls[0][2] += f.Arguments
	}
}

func collect(t dialecttest.TB, events []engine.Event) *engine.Answer {
	t.Helper()
	a, err := engine.Collect(engine.Replay("turn_1", "echo", "m", dialecttest.Source(events, nil)))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return a
}

// one is a request for one choice; usage says that a stream is to tell it.
func one(usage bool) *request { return &request{n: 1, includeUsage: usage} }

// first lets an encoder of choices encode one, as the tests of all dialects do it.
type first struct{ httpapi.ChoiceEncoder }

func (f first) Event(b []byte, ev engine.Event) []byte { return f.ChoiceEncoder.Event(b, 0, ev) }

func encodeStream(q *request, events []engine.Event, failure *engine.Error) []byte {
	return dialecttest.Encode(first{newStream(testHeader, q)}, events, failure)
}

func encodeOne(a *engine.Answer) []byte { return encodeAnswer(testHeader, false, []*engine.Answer{a}) }

var testHeader = header{id: "chatcmpl-1", model: "m", created: 1700000000}

func TestStreamEqualsAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := dialecttest.Events(t)
		want := readAnswer(t, encodeOne(collect(t, events)))
		got := readStream(t, encodeStream(one(true), events, nil), true)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the stream differs from the answer (-answer +stream):\n%s", diff)
		}
		want.Usage = ""
		if diff := cmp.Diff(want, readStream(t, encodeStream(one(false), events, nil), false)); diff != "" {
			t.Fatalf("without usage the stream differs:\n%s", diff)
		}
		calls, text := 0, ""
		for _, ev := range events {
			switch v := ev.(type) {
			case *engine.ToolCallDone:
				if v.Client {
					calls++
				}
			case *engine.TextDelta:
				text += v.Text
			}
		}
		if calls != len(got.Calls) || text != got.Content {
			t.Fatalf("%d calls and %q went in, %d and %q came out", calls, text, len(got.Calls), got.Content)
		}
	})
}

// sample is a turn with a bit of everything.
var sample = []engine.Event{
	&engine.Started{Model: "real"},
	&engine.ReasoningDelta{Block: 0, Text: "hm"},
	&engine.ReasoningDelta{Block: 0, Signature: []byte("sig")},
	&engine.TextDelta{Block: 1, Text: "Hel"},
	&engine.UsageEvent{Usage: engine.Usage{InputTokens: ptr(int64(5))}},
	&engine.Notice{Message: "not part of it"},
	&engine.TextDelta{Block: 1, Text: "lo \"w\"\n\u2028😀"},
	&engine.ToolCallStarted{Block: 2, ID: "own", Name: "shell"},
	&engine.ToolCallDelta{ID: "own", Arguments: "{}"},
	&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "own", Name: "shell", Arguments: "{}"}},
	&engine.ToolResultEvent{ToolResult: engine.ToolResult{CallID: "own"}},
	&engine.ToolCallStarted{Block: 3, ID: "call_1", Name: "add", Client: true},
	&engine.ToolCallDelta{ID: "call_1", Arguments: `{"a":`, Client: true},
	&engine.ToolCallDelta{ID: "call_1", Arguments: `1}`, Client: true},
	&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "call_1", Name: "add", Arguments: `{"a":1}`}, Client: true},
	&engine.ToolCallStarted{Block: 4, ID: "call_2", Name: "now", Client: true},
	&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "call_2", Name: "now"}, Client: true},
	&engine.Completed{Reason: engine.FinishToolCalls, Usage: engine.Usage{
		InputTokens: ptr(int64(10)), OutputTokens: ptr(int64(20)), CacheReadTokens: ptr(int64(4)),
		CacheWriteTokens: ptr(int64(2)), ReasoningTokens: ptr(int64(3)),
	}},
}

// short is a turn of text alone.
var short = []engine.Event{
	&engine.Started{Model: "real"},
	&engine.TextDelta{Text: "Hel"},
	&engine.TextDelta{Text: "lo"},
	&engine.Completed{Reason: engine.FinishStop, Usage: engine.Usage{InputTokens: ptr(int64(3)), OutputTokens: ptr(int64(2))}},
}

var textHeader = header{id: "cmpl-1", model: "m", created: 1700000000}

func TestGolden(t *testing.T) {
	failed := append([]engine.Event(nil), sample[:4]...)
	for name, got := range map[string][]byte{
		"answer.json":       encodeOne(collect(t, sample)),
		"empty.json":        encodeOne(&engine.Answer{Completed: engine.Completed{Reason: engine.FinishLength}}),
		"stream.txt":        encodeStream(one(false), sample, nil),
		"stream-usage.txt":  encodeStream(one(true), sample, nil),
		"stream-failed.txt": encodeStream(one(false), failed, &engine.Error{Code: engine.CodeCLIFailure, Message: "it broke"}),
		"choices.json":      encodeAnswer(testHeader, false, []*engine.Answer{collect(t, short), collect(t, short)}),
		"functions.json":    encodeAnswer(testHeader, true, []*engine.Answer{collect(t, sample)}),
		"functions.txt":     encodeStream(&request{n: 1, functions: true}, sample, nil),
		"text.json":         encodeCompletion(textHeader, &request{n: 1, echo: true, prompts: []string{"Say: "}}, []*engine.Answer{collect(t, short)}),
		"text.txt":          dialecttest.Encode(first{newTextStream(textHeader, &request{n: 1, echo: true, includeUsage: true, prompts: []string{"Say: "}})}, short, nil),
		"heartbeat.txt":     newStream(testHeader, one(false)).Heartbeat(nil),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailedStream(t *testing.T) {
	b := encodeStream(one(true), sample[:4], &engine.Error{Code: engine.CodeOverloaded, Message: "busy"})
	events := dialecttest.ReadSSE(t, b)
	last := events[len(events)-1].Data
	dialecttest.Valid(t, "OpenAIError", []byte(last))
	if strings.Contains(string(b), `"finish_reason":"`) || strings.Contains(string(b), "[DONE]") {
		t.Errorf("a failed stream claims an end: %s", b)
	}
}

func TestFinishReason(t *testing.T) {
	for _, tt := range []struct {
		reason    engine.FinishReason
		functions bool
		calls     int
		want      string
	}{
		{engine.FinishStop, false, 0, "stop"},
		{engine.FinishStop, false, 1, "tool_calls"},
		{engine.FinishToolCalls, false, 2, "tool_calls"},
		{engine.FinishToolCalls, true, 1, "function_call"},
		{engine.FinishStop, true, 0, "stop"},
		{engine.FinishToolCalls, false, 0, "stop"},
		{engine.FinishStopSequence, false, 0, "stop"},
		{engine.FinishLength, false, 1, "length"},
		{engine.FinishContentFilter, false, 0, "content_filter"},
		{engine.FinishInterrupted, false, 0, "length"},
	} {
		if got := finishReason(tt.reason, tt.functions, tt.calls); got != tt.want {
			t.Errorf("reason %d with %d calls: got %s, want %s", tt.reason, tt.calls, got, tt.want)
		}
	}
}

// TestStreamAllocatesNothing keeps the path that every token takes free of garbage.
func TestStreamAllocatesNothing(t *testing.T) {
	s, buf := newStream(testHeader, one(true)), make([]byte, 0, 1024)
	var ev engine.Event = &engine.TextDelta{Text: "a usual token"}
	if n := testing.AllocsPerRun(100, func() { buf = s.Event(buf[:0], 0, ev) }); n > 0 {
		t.Errorf("%v allocations for a token", n)
	}
}

func BenchmarkStream(b *testing.B) {
	s := newStream(testHeader, one(true))
	ev := &engine.TextDelta{Text: "a usual token \"or\" two\n"}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Event(buf[:0], 0, ev)
	}
	b.SetBytes(int64(len(buf)))
}
