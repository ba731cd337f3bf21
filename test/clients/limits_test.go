//go:build unix

package clients

import (
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
)

// Limits on the answer, which the server keeps where a backend does not.

func (s *openAISuite) limits() []behaviour {
	return []behaviour{{pathChat, "stop", s.stop}, {pathChat, "max_tokens", s.maxTokens}}
}

func (s *anthropicSuite) limits() []behaviour {
	return []behaviour{{pathMessages, "stop_sequences", s.stop}, {pathMessages, "max_tokens", s.maxTokens}}
}

func (s *openAISuite) stop(t *testing.T) {
	p := chat("echo", say("one two END three"))
	p.Stop.OfString = openai.String("END")
	if got := s.both(t, p).Choices[0]; strings.TrimSpace(got.Message.Content) != "one two" || got.FinishReason != "stop" {
		t.Errorf("got %s", got.RawJSON())
	}
}

func (s *openAISuite) maxTokens(t *testing.T) {
	p := chat("echo", say(strings.Repeat("word ", 200)))
	p.MaxCompletionTokens = openai.Int(5)
	if got := s.both(t, p).Choices[0]; len(got.Message.Content) > 100 || got.FinishReason != "length" {
		t.Errorf("got %s", got.RawJSON())
	}
}

func (s *anthropicSuite) stop(t *testing.T) {
	p := message("echo", user("one two END three"))
	p.StopSequences = []string{"END"}
	if got := s.both(t, p); strings.TrimSpace(text(t, got)) != "one two" || got.StopReason != anthropic.StopReasonStopSequence || got.StopSequence != "END" {
		t.Errorf("got %s", got.RawJSON())
	}
}

func (s *anthropicSuite) maxTokens(t *testing.T) {
	p := message("echo", user(strings.Repeat("word ", 200)))
	p.MaxTokens = 5
	if got := s.both(t, p); len(text(t, got)) > 100 || got.StopReason != anthropic.StopReasonMaxTokens {
		t.Errorf("got %s", got.RawJSON())
	}
}
