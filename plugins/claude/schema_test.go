package main

import (
	"testing"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestX(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, effort := range []string{"", "low"} {
			start := chat(user("hi"))
			start.OutputSchema = []byte(`{"type":"object"}`)
			start.Sampling = &backendv1.Sampling{ReasoningEffort: effort}
			f.complete(start)
			t.Log(f.body()["output_config"], f.body()["thinking"], f.api.Log.Turns()[0].Header["Anthropic-Beta"], len(f.api.Log.Requests()))
		}
			start := chat(user("hi"))
			start.Sampling = &backendv1.Sampling{ReasoningEffort: "low"}
			f.complete(start)
			t.Log(f.body()["output_config"], f.body()["thinking"], f.body()["model"])
	})
}
