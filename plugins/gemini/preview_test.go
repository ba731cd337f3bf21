package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestPreview(t *testing.T) {
	s := newSystem(t, withWarm(0))
	preview := func(start *backendv1.Start) (*backendv1.PreviewResponse, error) {
		return s.client.Preview(t.Context(), &backendv1.PreviewRequest{Start: start})
	}
	dir := t.TempDir()
	start := conversation(dir, create(), user("a secret prompt"))
	start.System = "secret instructions"
	p, err := preview(start)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{cli(t), "--acp", "--model", defaultModel, "--record-responses", filepath.Join("PRIVATE", "record.jsonl")}
	if diff := cmp.Diff(want, p.GetCommandLine()); diff != "" {
		t.Errorf("command line (-want +got):\n%s", diff)
	}
	if p.GetWorkingDir() != dir {
		t.Errorf("working directory = %q", p.GetWorkingDir())
	}
	for _, name := range []string{"GEMINI_API_KEY", "GEMINI_CLI_HOME", "PATH"} {
		if !slices.Contains(p.GetEnvironment(), name) {
			t.Errorf("%s is missing in %q", name, p.GetEnvironment())
		}
	}
	if strings.Contains(p.String(), "secret") || strings.Contains(p.String(), "canary-key") {
		t.Errorf("the preview tells secrets: %v", p)
	}

	p, err = preview(chat(user("hi")))
	if err != nil || p.GetWorkingDir() != "" || !slices.Contains(p.GetEnvironment(), "GEMINI_SYSTEM_MD") {
		t.Errorf("chat mode: %v, %v", p, err)
	}
	if _, err := preview(agent(filepath.Join(dir, "missing"), askDefault, boxDefault, user("hi"))); err == nil {
		t.Error("a turn that would be refused has a preview")
	}
	homes, err := os.ReadDir(s.scratch)
	if err != nil || len(homes) != 0 || len(s.api.Log.Requests()) != 0 {
		t.Errorf("it started something: %v, %v, %d requests", homes, err, len(s.api.Log.Requests()))
	}
}
