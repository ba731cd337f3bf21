package anthropic

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
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

var update = flag.Bool("update", false, "write the golden files")

// counts is the part of a usage that message_delta repeats.
type counts struct {
	Input    int64 `json:"input_tokens"`
	Output   int64 `json:"output_tokens"`
	Created  int64 `json:"cache_creation_input_tokens"`
	Read     int64 `json:"cache_read_input_tokens"`
	Thinking struct {
		Tokens int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// message is what a client reads of an answer.
type message struct {
	ID, Model    string
	Content      []map[string]any
	StopReason   *string `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
	Usage        counts
}

func readAnswer(t dialecttest.TB, body []byte) (m message) {
	t.Helper()
	dialecttest.Valid(t, "AnthropicMessage", body)
	if err := json.Unmarshal(body, &m); err != nil || m.StopReason == nil {
		t.Fatalf("%v: %s", err, body)
	}
	return m
}

// event is any event of a stream.
type event struct {
	Type    string
	Message *message
	Index   int
	Block   map[string]any `json:"content_block"`
	Delta   map[string]any
	Usage   counts
}

// readStream reads a stream as a strict client would.
func readStream(t dialecttest.TB, stream []byte) message {
	t.Helper()
	var m *message
	var input strings.Builder // of the open call
	open, ended := false, false
	for _, e := range dialecttest.ReadSSE(t, stream) {
		dialecttest.Valid(t, "AnthropicEvent", []byte(e.Data))
		var ev event
		if err := json.Unmarshal([]byte(e.Data), &ev); err != nil || e.Name != ev.Type {
			t.Fatalf("%v: %+v", err, e)
		}
		if (m == nil) != (ev.Type == "message_start") || ended {
			t.Fatalf("out of place: %s", e.Data)
		}
		switch ev.Type {
		case "message_start":
			m = ev.Message
			if len(m.Content) > 0 || m.StopReason != nil {
				t.Fatalf("starts with an end: %s", e.Data)
			}
		case "content_block_start":
			if open || ev.Index != len(m.Content) {
				t.Fatalf("blocks overlap: %s", e.Data)
			}
			open = true
			input.Reset()
			m.Content = append(m.Content, ev.Block)
		case "content_block_delta":
			if !open || ev.Index != len(m.Content)-1 {
				t.Fatalf("a delta of another block: %s", e.Data)
			}
			apply(t, m.Content[ev.Index], ev.Delta, &input)
		case "content_block_stop":
			if !open || ev.Index != len(m.Content)-1 {
				t.Fatalf("ends another block: %s", e.Data)
			}
			open = false
			if input.Len() > 0 {
				var v map[string]any
				if err := json.Unmarshal([]byte(input.String()), &v); err != nil {
					t.Fatalf("%v: %s", err, input.String())
				}
				m.Content[ev.Index]["input"] = v
			}
		case "message_delta":
			if open || m.StopReason != nil {
				t.Fatalf("ends with an open block: %s", e.Data)
			}
			reason, _ := ev.Delta["stop_reason"].(string)
			m.StopReason, m.Usage = &reason, ev.Usage
			if s, ok := ev.Delta["stop_sequence"].(string); ok {
				m.StopSequence = &s
			}
		case "message_stop":
			ended = true
		}
	}
	if m == nil || !ended || m.StopReason == nil {
		t.Fatalf("the stream has no end: %s", stream)
	}
	return *m
}

func apply(t dialecttest.TB, block, delta map[string]any, input *strings.Builder) {
	t.Helper()
	for kind, key := range map[string]string{"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"} {
		if delta["type"] == kind {
			before, ok := block[key].(string)
			piece, ok2 := delta[key].(string)
			if !ok || !ok2 {
				t.Fatalf("%v for the block %v", delta, block)
			}
			block[key] = before + piece
			return
		}
	}
	piece, ok := delta["partial_json"].(string)
	if !ok || block["type"] != "tool_use" {
		t.Fatalf("%v for the block %v", delta, block)
	}
	input.WriteString(piece)
}

func collect(t dialecttest.TB, events []engine.Event) *engine.Answer {
	t.Helper()
	a, err := engine.Collect(engine.Replay("turn_1", "echo", "m", dialecttest.Source(events, nil)))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return a
}

var testShape = shape{id: "msg_1", model: "m", thinking: true}

func TestStreamEqualsAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := testShape
		s.thinking, s.omitted = rapid.Bool().Draw(t, "thinking"), rapid.Bool().Draw(t, "omitted")
		events := dialecttest.Events(t)
		want := readAnswer(t, encodeAnswer(s, collect(t, events)))
		got := readStream(t, dialecttest.Encode(newStream(s), events, nil))
		if len(got.Content) == 0 {
			got.Content = want.Content[:0]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the stream differs from the answer (-answer +stream):\n%s", diff)
		}
		in, out := 0, 0
		for _, ev := range events {
			if c, ok := ev.(*engine.ToolCallDone); ok && c.Client {
				in++
			}
		}
		for _, b := range got.Content {
			switch b["type"] {
			case "tool_use":
				out++
			case "thinking", "redacted_thinking":
				if !s.thinking {
					t.Fatalf("a block that was not asked for: %v", b)
				}
			}
		}
		if in != out {
			t.Fatalf("%d calls went in, %d came out", in, out)
		}
	})
}

// sample is a turn with a bit of everything.
var sample = []engine.Event{
	&engine.Started{Model: "real"},
	&engine.UsageEvent{Usage: engine.Usage{
		InputTokens: ptr(int64(10)), OutputTokens: ptr(int64(1)), CacheReadTokens: ptr(int64(4)), CacheWriteTokens: ptr(int64(2)),
	}},
	&engine.ReasoningDelta{Block: 0, Text: "hm"},
	&engine.ReasoningDelta{Block: 0, Signature: []byte("sig")},
	&engine.ReasoningDelta{Block: 1, Signature: []byte("hidden"), Redacted: true},
	&engine.TextDelta{Block: 2, Text: "Hel"},
	&engine.Notice{Message: "not part of it"},
	&engine.TextDelta{Block: 2, Text: "lo \"w\"\n\u2028😀"},
	&engine.ToolCallStarted{Block: 3, ID: "own", Name: "shell"},
	&engine.ToolCallDelta{ID: "own", Arguments: "{}"},
	&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "own", Name: "shell", Arguments: "{}"}},
	&engine.ToolResultEvent{ToolResult: engine.ToolResult{CallID: "own"}},
	&engine.TextDelta{Block: 4, Text: "then"},
	&engine.ToolCallStarted{Block: 5, ID: "toolu_1", Name: "add", Client: true},
	&engine.ToolCallDelta{ID: "toolu_1", Arguments: `{"a":`, Client: true},
	&engine.ToolCallDelta{ID: "toolu_1", Arguments: `1}`, Client: true},
	&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "toolu_1", Name: "add", Arguments: `{"a":1}`}, Client: true},
	&engine.ToolCallStarted{Block: 6, ID: "toolu_2", Name: "now", Client: true},
	&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "toolu_2", Name: "now"}, Client: true},
	&engine.Completed{Reason: engine.FinishToolCalls, Usage: engine.Usage{
		InputTokens: ptr(int64(10)), OutputTokens: ptr(int64(20)), CacheReadTokens: ptr(int64(4)),
		CacheWriteTokens: ptr(int64(2)), ReasoningTokens: ptr(int64(3)),
	}},
}

func TestGolden(t *testing.T) {
	omitted := testShape
	omitted.omitted = true
	ping := newStream(shape{id: "msg_1", model: "m"})
	for name, got := range map[string][]byte{
		"answer.json":          encodeAnswer(testShape, collect(t, sample)),
		"answer-omitted.json":  encodeAnswer(omitted, collect(t, sample)),
		"answer-unasked.json":  encodeAnswer(shape{id: "msg_1", model: "m"}, collect(t, sample)),
		"answer-sequence.json": encodeAnswer(testShape, &engine.Answer{Completed: engine.Completed{Reason: engine.FinishStopSequence, StopSequence: "END"}}),
		"stream.txt":           dialecttest.Encode(newStream(testShape), sample, nil),
		"stream-ping.txt":      ping.Event(ping.Heartbeat(ping.Heartbeat(nil)), &engine.Completed{Reason: engine.FinishStop}),
		"stream-failed.txt":    dialecttest.Encode(newStream(testShape), sample[:4], &engine.Error{Code: engine.CodeOverloaded, Message: "busy"}),
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
	b := dialecttest.Encode(newStream(testShape), sample[:6], &engine.Error{Code: engine.CodeOverloaded, Message: "busy"})
	events := dialecttest.ReadSSE(t, b)
	last := events[len(events)-1]
	dialecttest.Valid(t, "AnthropicError", []byte(last.Data))
	if last.Name != "error" || strings.Contains(string(b), "message_delta") || strings.Contains(string(b), "message_stop") {
		t.Errorf("a failed stream claims an end: %s", b)
	}
}

func TestStopReason(t *testing.T) {
	for _, tt := range []struct {
		reason engine.FinishReason
		calls  int
		want   string
	}{
		{engine.FinishStop, 0, "end_turn"},
		{engine.FinishStop, 1, "tool_use"},
		{engine.FinishToolCalls, 2, "tool_use"},
		{engine.FinishToolCalls, 0, "end_turn"},
		{engine.FinishStopSequence, 0, "stop_sequence"},
		{engine.FinishLength, 1, "max_tokens"},
		{engine.FinishContentFilter, 0, "refusal"},
		{engine.FinishInterrupted, 0, "max_tokens"},
	} {
		if got := stopReason(tt.reason, tt.calls); got != tt.want {
			t.Errorf("reason %d with %d calls: got %s, want %s", tt.reason, tt.calls, got, tt.want)
		}
	}
}

func TestUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		usage engine.Usage
		want  int64
	}{
		"all":         {engine.Usage{InputTokens: ptr(int64(100)), CacheReadTokens: ptr(int64(60)), CacheWriteTokens: ptr(int64(30))}, 10},
		"not cached":  {engine.Usage{InputTokens: ptr(int64(100))}, 100},
		"unknown":     {engine.Usage{}, 0},
		"impossible":  {engine.Usage{InputTokens: ptr(int64(1)), CacheReadTokens: ptr(int64(2))}, 0},
		"only cached": {engine.Usage{CacheReadTokens: ptr(int64(2))}, 0},
	} {
		if got := input(tt.usage); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	s := newStream(testShape)
	ev := &engine.TextDelta{Text: "a usual token \"or\" two\n"}
	buf := s.Event(make([]byte, 0, 1024), ev)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Event(buf[:0], ev)
	}
	b.SetBytes(int64(len(buf)))
}
