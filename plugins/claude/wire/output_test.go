package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// captured are lines that the pinned releases printed.
func captured(tb testing.TB) []string {
	tb.Helper()
	data, err := os.ReadFile("testdata/lines.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		out = append(out, s.Text())
	}
	if err := s.Err(); err != nil || len(out) < 30 {
		tb.Fatalf("%d lines, %v", len(out), err)
	}
	return out
}

// summary is what the driver uses of a line.
func summary(l *Line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", l.Type)
	if l.Subtype != "" {
		fmt.Fprintf(&b, "/%s", l.Subtype)
	}
	if l.Failure != "" {
		fmt.Fprintf(&b, " failure=%s", l.Failure)
	}
	show := func(name string, v any) {
		text, err := json.Marshal(v)
		if err == nil && string(text) != "null" {
			fmt.Fprintf(&b, " %s=%s", name, text)
		}
	}
	if l.Event != nil {
		show("event", []any{l.Event.Type, l.Event.Index, l.Event.Message.ID, l.Event.Message.Model, l.Event.ContentBlock.Type, l.Event.ContentBlock.Name, l.Event.Delta.Text, l.Event.Delta.Thinking, l.Event.Delta.PartialJSON, l.Event.Delta.StopReason})
		show("usage", l.Event.Usage)
	}
	if l.Message != nil {
		kinds := []string{}
		for _, c := range l.Message.Content {
			kinds = append(kinds, c.Type)
		}
		show("message", []any{l.Message.ID, l.Message.Model, kinds})
	}
	show("retry", l.Retry)
	if l.Result != nil {
		show("result", l.Result)
	}
	if l.Request != nil {
		show("request", []any{l.Request.ID, l.Request.Subtype, l.Request.Tool, l.Request.CallID, string(l.Request.Input)})
	}
	if l.Response != nil {
		show("response", []any{l.Response.ID, l.Response.Subtype, l.Response.Error})
	}
	return b.String()
}

func TestParseCapturedLines(t *testing.T) {
	var got strings.Builder
	for i, text := range captured(t) {
		l, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("line %d: %v", i+1, err)
			continue
		}
		fmt.Fprintln(&got, summary(l))
	}
	const golden = "testdata/lines.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("summaries (-want +got):\n%s", diff)
	}
}

func TestParseOddLines(t *testing.T) {
	tests := []struct {
		name, line string
		foreign    bool
		failed     bool
	}{
		{"empty", "", true, true},
		{"a warning", "(node:1) Warning: something", true, true},
		{"an array", "[]", true, true},
		{"half an object", `{"type":"resu`, true, true},
		{"unknown type", `{"type":"news","event":7}`, false, false},
		{"no type", `{"a":1}`, false, false},
		{"key order", `{"is_error":true,"api_error_status":429,"type":"result"}`, false, false},
		{"no event", `{"type":"stream_event"}`, false, true},
		{"odd event", `{"type":"stream_event","event":[]}`, false, true},
		{"no message", `{"type":"assistant"}`, false, true},
		{"error is an object", `{"type":"assistant","message":{"content":"x"},"error":{"a":1}}`, false, false},
		{"content is an object", `{"type":"user","message":{"content":[{"type":"web_search_tool_result","content":{"type":"error"}}]}}`, false, false},
		{"no request", `{"type":"control_request","request_id":"1"}`, false, true},
		{"no response", `{"type":"control_response"}`, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.line))
			if errors.Is(err, ErrForeign) != test.foreign || (err != nil) != test.failed {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range captured(f) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(data)
		if (l == nil) == (err == nil) {
			t.Fatalf("line %v, error %v", l, err)
		}
		if err != nil {
			return
		}
		switch l.Type {
		case TypeStreamEvent:
			if l.Event == nil {
				t.Error("an event without content")
			}
		case TypeAssistant, TypeUser:
			if l.Message == nil {
				t.Error("a message without content")
			}
		case TypeResult:
			if l.Result == nil {
				t.Error("a result without content")
			}
		}
	})
}
