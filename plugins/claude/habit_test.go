package main

import (
	"testing"

	"github.com/clinvk/clinvk/plugins"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestUsualSystemPromptIsToldInAdvance: a spare that was told a system prompt is
// used for that one only, and each turn's system prompt reaches the API exactly.
func TestUsualSystemPromptIsToldInAdvance(t *testing.T) {
	eachReleaseWith(t, func(*plugins.Config) {}, func(t *testing.T, f *fixture) {
		for i, system := range []string{"one", "one", "one", "one", "two", "one", "", ""} {
			f.warm()
			if got, want := f.backend.introduced.Load(), i >= settled && i <= 5; got != want {
				t.Errorf("turn %d: a spare was told in advance: %v, want %v", i, got, want)
			}
			f.complete(&backendv1.Start{System: system, Messages: []*backendv1.Message{user("hello")}})
			if got, _ := f.received(); got != system {
				t.Errorf("turn %d: system prompt %q, want %q", i, got, system)
			}
		}
	})
}
