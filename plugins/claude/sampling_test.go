package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestSampling: settings reach the API, and those that it refuses do not; the fake
// refuses them as well.
func TestSampling(t *testing.T) {
	half, warm, hot := 0.5, 0.25, 1.75
	topK, few, many, budget, none := int64(7), int64(77), int64(1<<20), int64(2048), int64(0)
	type members = map[string]any
	tests := []struct {
		name, model string
		sampling    *backendv1.Sampling
		want        members
	}{
		{"all", "claude-opus-4-5", &backendv1.Sampling{Temperature: &warm, TopP: &half, TopK: &topK, MaxOutputTokens: &few, Stop: []string{"END", "\n", " "}},
			members{"temperature": 0.25, "top_k": 7.0, "max_tokens": 77.0, "stop_sequences": []any{"END"}}},
		{"nothing that stops", "claude-opus-4-8", &backendv1.Sampling{Stop: []string{"\n\n"}}, members{}},
		{"top_p alone", "claude-opus-4-8", &backendv1.Sampling{TopP: &half}, members{"top_p": 0.5}},
		{"top_p beside the CLI's temperature", "claude-opus-4-5", &backendv1.Sampling{TopP: &half}, members{"temperature": 1.0}},
		{"hot", "claude-opus-4-5", &backendv1.Sampling{Temperature: &hot}, members{"temperature": 1.0}},
		{"more than the model can write", "claude-opus-4-5", &backendv1.Sampling{MaxOutputTokens: &many}, members{"temperature": 1.0, "max_tokens": 64000.0}},
		{"as much as it can write", "claude-opus-4-8", &backendv1.Sampling{MaxOutputTokens: &many}, members{"max_tokens": 128000.0}},
		{"with a budget", "claude-opus-4-5", &backendv1.Sampling{Temperature: &warm, TopP: &half, TopK: &topK, ReasoningTokens: &budget, ReasoningEffort: "low"},
			members{"thinking": "enabled"}},
		{"with an effort", "claude-opus-4-8", &backendv1.Sampling{Temperature: &warm, TopP: &half, TopK: &topK, ReasoningEffort: "high"},
			members{"thinking": "adaptive"}},
		{"with an effort and no budget", "claude-opus-4-8", &backendv1.Sampling{Temperature: &warm, ReasoningEffort: "high", ReasoningTokens: &none},
			members{"temperature": 0.25}},
	}
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, test := range tests {
			start := chat(user("hi"))
			start.Model, start.Sampling = test.model, test.sampling
			f.api.Log.Reset()
			f.complete(start)
			body, got := f.body(), members{}
			for _, k := range []string{"temperature", "top_p", "top_k", "max_tokens", "stop_sequences"} {
				if body[k] != nil && (k != "max_tokens" || test.sampling.MaxOutputTokens != nil) {
					got[k] = body[k]
				}
			}
			if thinking, ok := body["thinking"].(members); ok {
				got["thinking"] = thinking["type"]
				if n := thinking["budget_tokens"]; test.sampling.ReasoningTokens != nil && n != 2048.0 {
					t.Errorf("%s: budget %v", test.name, n)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.name, diff)
			}
			if output, _ := body["output_config"].(members); got["thinking"] != nil && output["effort"] != test.sampling.GetReasoningEffort() {
				t.Errorf("%s: output_config %v", test.name, output)
			}
			if body["model"] != test.model || len(f.api.Log.Requests()) != 1 {
				t.Errorf("%s: model %v, %d requests", test.name, body["model"], len(f.api.Log.Requests()))
			}
		}
	})
}

// TestHeated: 4.6 is the last generation that gets a temperature from the CLI.
func TestHeated(t *testing.T) {
	for model, want := range map[string]bool{
		"claude-3-5-haiku-20241022": true, "claude-opus-4-20250514": true, "claude-sonnet-4": true, "claude-opus-4-1-20250805": true,
		"claude-haiku-4-5-20251001": true, "claude-sonnet-4-6": true, "claude-opus-4-7": false, "claude-opus-4-8": false,
		"claude-sonnet-5": false, "claude-opus-5-5": false, "claude-unknown-9": false, "": false,
	} {
		if got := heated(model); got != want {
			t.Errorf("%q: %v", model, got)
		}
	}
}
