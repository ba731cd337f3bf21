package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

func TestCodes(t *testing.T) {
	rejected := wire.Failure{Status: 429, Message: "limit", Header: map[string]string{"anthropic-ratelimit-unified-status": "rejected", "retry-after": "60"}}
	tests := []struct {
		name       string
		trouble    trouble
		code       plugins.Code
		retryable  bool
		retryAfter time.Duration
	}{
		{"no login", trouble{kind: "authentication_failed", text: "Not logged in · Please run /login"}, plugins.CodeUnauthenticated, false, 0},
		{"bad key", trouble{status: 401, kind: "authentication_failed", text: "x"}, plugins.CodeUnauthenticated, false, 0},
		{"credit", trouble{status: 400, kind: "billing_error"}, plugins.CodeQuotaExhausted, false, 0},
		{"payment", trouble{status: 402}, plugins.CodeQuotaExhausted, false, 0},
		{"limit of the account", trouble{status: 429, log: rejected}, plugins.CodeQuotaExhausted, false, time.Minute},
		{"rate limit, nothing in the log", trouble{status: 429, delay: 7300 * time.Millisecond}, plugins.CodeRateLimited, true, 7 * time.Second},
		{"rate limit without a wish", trouble{status: 429, delay: 550 * time.Millisecond}, plugins.CodeRateLimited, true, 0},
		{"overloaded by type", trouble{status: 500, log: wire.Failure{Status: 500, Type: "overloaded_error"}}, plugins.CodeOverloaded, true, 0},
		{"gateway timeout", trouble{status: 504}, plugins.CodeUpstreamFailure, true, 0},
		{"unknown 4xx", trouble{status: 422}, plugins.CodeInvalidRequest, false, 0},
		{"refused, old words", trouble{kind: "server_error", text: "API Error: Unable to connect to API (ConnectionRefused)"}, plugins.CodeUpstreamUnreachable, true, 0},
		{"refused, new words", trouble{kind: "server_error", text: "API Error: Connection refused — a firewall or proxy may be blocking it (ECONNREFUSED)"}, plugins.CodeUpstreamUnreachable, true, 0},
		{"cut", trouble{kind: "server_error", text: "API Error: Connection to the API was lost (ECONNRESET)."}, plugins.CodeUpstreamFailure, true, 0},
		{"cut in the answer", trouble{partial: true}, plugins.CodeUpstreamFailure, true, 0},
		{"too long", trouble{kind: "invalid_request", text: "Prompt is too long"}, plugins.CodeTooLarge, false, 0},
		{"anything else", trouble{text: "boom"}, plugins.CodeCLIFailure, false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := test.trouble.err()
			if e.Code != test.code || e.Retryable != test.retryable || e.Message == "" {
				t.Errorf("err = %+v", e)
			}
			if e.RetryAfter != test.retryAfter {
				t.Errorf("retry after %v, want %v", e.RetryAfter, test.retryAfter)
			}
		})
	}
}

func TestTally(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	var all tally
	all.begin(&wire.Usage{Input: n(11), CacheRead: n(33), CacheWrite: n(22), Output: n(1)})
	all.update(&wire.Usage{Output: n(9)})
	all.begin(&wire.Usage{Input: n(1), Output: n(1)}) // fails and is made again
	all.again()
	all.begin(&wire.Usage{Input: n(4), Output: n(2)})
	want := plugins.Usage{InputTokens: n(70), OutputTokens: n(11), CacheReadTokens: n(33), CacheWriteTokens: n(22)}
	if diff := cmp.Diff(want, all.total()); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	var none tally
	if diff := cmp.Diff(plugins.Usage{}, none.total()); diff != "" {
		t.Errorf("usage of nothing (-want +got):\n%s", diff)
	}
}

func TestModelsOf(t *testing.T) {
	got := modelsOf([]wire.Model{
		{Value: "default", Resolved: "claude-a[1m]", DisplayName: "Default"}, {Value: "a[1m]", Resolved: "claude-a[1m]", DisplayName: "A"},
		{Value: "b", Resolved: "claude-b", DisplayName: "B"}, {Value: "claude-b", Resolved: "claude-b", DisplayName: "B again"}, {},
	})
	want := []plugins.Model{
		{ID: "claude-a[1m]", Title: "A", Aliases: []string{"a[1m]"}, Default: true, ContextWindow: 1_000_000},
		{ID: "claude-b", Title: "B", Aliases: []string{"b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
}
