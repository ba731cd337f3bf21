package wire

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTranscript(t *testing.T) {
	n := 0
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	transcript := &Transcript{Session: "s", ID: func() string { n++; return strconv.Itoa(n) }, At: at}
	if err := transcript.Add(User{Content: []any{TextBlock("one")}}); err != nil {
		t.Fatal(err)
	}
	if err := transcript.Add(Assistant{ID: "m", Model: "opus", Content: []any{TextBlock("two")}}); err != nil {
		t.Fatal(err)
	}
	want := `{"isSidechain":false,"message":{"content":[{"text":"one","type":"text"}],"role":"user"},"parentUuid":null,` +
		`"sessionId":"s","timestamp":"2026-11-28T12:00:00Z","type":"user","userType":"external","uuid":"1"}
{"isSidechain":false,"message":{"content":[{"text":"two","type":"text"}],"id":"m","model":"opus","role":"assistant",` +
		`"stop_reason":"end_turn","stop_sequence":null,"type":"message","usage":{"input_tokens":0,"output_tokens":0}},"parentUuid":"1",` +
		`"sessionId":"s","timestamp":"2026-11-28T12:00:00Z","type":"assistant","userType":"external","uuid":"2"}
`
	if diff := cmp.Diff(want, string(transcript.Bytes())); diff != "" {
		t.Errorf("transcript (-want +got):\n%s", diff)
	}
}

func TestSummarize(t *testing.T) {
	tests := []struct {
		name, text string
		want       Summary
	}{
		{"empty", "", Summary{}},
		{"no transcript", "hello\n\n[1]\n{\"type\":7}\n", Summary{}},
		{"cut", `{"type":"user","cwd":"/w","message":{"content":"on`, Summary{}},
		{"text", `{"type":"user","cwd":"/w","message":{"content":"one"}}`, Summary{Prompt: "one", WorkingDir: "/w"}},
		{
			"title, and words of the CLI before the user's",
			`{"type":"custom-title","customTitle":"mine"}
{"type":"queue-operation","operation":"enqueue"}
{"type":"user","isMeta":true,"cwd":"/w","message":{"content":[{"type":"text","text":"caveat"}]}}
{"type":"assistant","cwd":"/elsewhere","message":{"content":[{"type":"text","text":"well"}]}}
{"type":"user","cwd":"/elsewhere","message":{"content":[{"type":"image"},{"type":"text","text":"one"}]}}
{"type":"user","cwd":"/w","message":{"content":"two"}}`,
			Summary{Title: "mine", Prompt: "one", WorkingDir: "/w"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Summarize(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzSummarize(f *testing.F) {
	f.Add(`{"type":"user","cwd":"/w","message":{"content":"one"}}`)
	f.Add("{\"type\":\"custom-title\",\"customTitle\":\"a\"}\n{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"b\"}]}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Summarize(strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	})
}
