package main

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// A count is what the turn itself reports.
func TestCountTokens(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	start := &backendv1.Start{
		Model: "echo", System: "be terse", Messages: []*backendv1.Message{user("one"), assistant("two"), user("three four ✓")},
		Tools: []*backendv1.ToolSpec{{Name: "add", Description: "adds", InputSchema: []byte(`{"type":"object"}`)}},
	}
	r := backendtest.Run(t.Context(), client, start)
	if r.Err != nil || r.Completed == nil {
		t.Fatal(r.Err, r.Failed)
	}
	got, err := client.CountTokens(t.Context(), &backendv1.CountTokensRequest{
		Model: start.GetModel(), System: start.GetSystem(), Messages: start.GetMessages(), Tools: start.GetTools(),
	})
	if err != nil || got.GetInputTokens() != r.Completed.GetUsage().GetInputTokens() || got.GetInputTokens() == 0 || got.GetEstimated() {
		t.Errorf("counted %v, %v; the turn had %v", got, err, r.Completed.GetUsage())
	}
	if _, err := client.CountTokens(t.Context(), &backendv1.CountTokensRequest{Model: "nope"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown model: %v", err)
	}
}
