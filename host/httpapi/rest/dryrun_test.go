package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/rest"
)

// seer sees what would become of turns, and runs none.
type seer struct {
	parrot
	t *testing.T
}

func (s *seer) Execute(context.Context, *engine.Turn) (*engine.Execution, error) {
	s.t.Error("a turn is run")
	return nil, engine.Errorf(engine.CodeInternal, "no")
}

func (*seer) Preview(_ context.Context, t *engine.Turn) (*engine.Preview, error) {
	p := &engine.Preview{Backend: t.Backend, Model: t.Model, Mode: t.WantedMode(), WorkingDir: t.WorkingDir, Approval: t.Approval, Sandbox: t.Sandbox}
	switch t.Backend {
	case "down":
		return nil, engine.Errorf(engine.CodeUnavailable, "it is down")
	case "able":
		p.Ignored = []string{engine.FieldMaxOutputTokens}
		p.Command = &engine.Command{Line: []string{"cli", "-p"}, Environment: []string{"KEY"}, WorkingDir: t.WorkingDir}
	}
	return p, nil
}

func TestDryRun(t *testing.T) {
	for _, tt := range []struct{ name, path, schema, body, want string }{
		{
			"an agent", "/prompt", "Preview", `{"dry_run": true, "backend": "able", "model": "m", "workdir": "/w", "sandbox_mode": "read-only", "prompt": "hi", "output_format": "stream-json"}`,
			`{"dry_run": true, "prompt": "hi", "backend": "able", "model": "m", "mode": "agent", "workdir": "/w", "approval_mode": "default", "sandbox_mode": "read-only",
			  "ignored": ["max_tokens"], "command_line": ["cli", "-p"], "environment": ["KEY"], "working_dir": "/w"}`,
		},
		{
			"a plugin that cannot tell", "/prompt", "Preview", `{"dry_run": true, "backend": "echo", "mode": "chat", "prompt": "hi"}`,
			`{"dry_run": true, "prompt": "hi", "backend": "echo", "model": "", "mode": "chat", "ignored": [], "command_line": null, "environment": null, "working_dir": null,
			  "note": "the plugin of backend echo does not tell how it runs its CLI"}`,
		},
		{"a backend that is down", "/prompt", "Problem", `{"dry_run": true, "backend": "down", "prompt": "hi"}`, ""},
		{
			"tasks", "/parallel", "DryRunAnswer", `{"dry_run": true, "tasks": [{"id": "a", "name": "n", "backend": "able", "mode": "chat", "prompt": "hi"}, {"backend": "down", "prompt": "ho"}]}`,
			`{"dry_run": true, "results": [
			  {"index": 0, "task_id": "a", "task_name": "n", "dry_run": true, "prompt": "hi", "backend": "able", "model": "", "mode": "chat",
			   "ignored": ["max_tokens"], "command_line": ["cli", "-p"], "environment": ["KEY"], "working_dir": "", "error": null},
			  {"index": 1, "dry_run": true, "prompt": "ho", "backend": "down", "model": "", "mode": "agent", "approval_mode": "default", "sandbox_mode": "default",
			   "ignored": [], "command_line": null, "environment": null, "working_dir": null, "error": {"code": "backend_unavailable", "message": "it is down"}}]}`,
		},
		{
			"steps", "/chain", "DryRunAnswer", `{"dry_run": true, "steps": [{"name": "one", "backend": "able", "mode": "chat", "prompt": "hi"}, {"backend": "able", "mode": "chat", "prompt": "and {{previous}}"}]}`,
			`{"dry_run": true, "results": [
			  {"step": 1, "name": "one", "dry_run": true, "prompt": "hi", "backend": "able", "model": "", "mode": "chat",
			   "ignored": ["max_tokens"], "command_line": ["cli", "-p"], "environment": ["KEY"], "working_dir": "", "error": null},
			  {"step": 2, "dry_run": true, "prompt": "and {{previous}}", "backend": "able", "model": "", "mode": "chat",
			   "ignored": ["max_tokens"], "command_line": ["cli", "-p"], "environment": ["KEY"], "working_dir": "", "error": null}]}`,
		},
		{
			"backends", "/compare", "DryRunAnswer", `{"dry_run": true, "backends": ["able"], "mode": "chat", "prompt": "hi"}`,
			`{"dry_run": true, "results": [
			  {"index": 0, "dry_run": true, "prompt": "hi", "backend": "able", "model": "", "mode": "chat",
			   "ignored": ["max_tokens"], "command_line": ["cli", "-p"], "environment": ["KEY"], "working_dir": "", "error": null}]}`,
		},
		{"steps that are wrong", "/chain", "Problem", `{"dry_run": true, "steps": [{"backend": "able", "prompt": "and {{previous}}"}]}`, ""},
		{"one task only", "/parallel", "Problem", `{"tasks": [{"dry_run": true, "backend": "able", "prompt": "hi"}]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := ask(t, &seer{t: t}, http.MethodPost, tt.path, tt.body)
			dialecttest.Valid(t, tt.schema, answer)
			if tt.want == "" {
				if status < http.StatusBadRequest {
					t.Errorf("status %d", status)
				}
				return
			}
			var got, want any
			if err := json.Unmarshal(answer, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// noisy has something to say beside its answer.
type noisy struct{ parrot }

func (*noisy) Execute(context.Context, *engine.Turn) (*engine.Execution, error) {
	return engine.Replay("turn_1", "echo", "m", dialecttest.Source([]engine.Event{
		&engine.Started{}, &engine.Notice{Message: "by the way"}, &engine.TextDelta{Text: "hi"}, &engine.Completed{Reason: engine.FinishStop},
	}, nil)), nil
}

func TestVerbose(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       bool
	}{
		{"verbose", `{"backend": "echo", "prompt": "hi", "verbose": true}`, true},
		{"quiet", `{"backend": "echo", "prompt": "hi"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, answer := ask(t, &noisy{}, http.MethodPost, "/prompt", tt.body)
			dialecttest.Valid(t, "PromptAnswer", answer)
			for _, part := range []string{`"notices":["by the way"]`, `"timing":{"queue_ms":`, `"ttft_ms":`} {
				if strings.Contains(string(answer), part) != tt.want {
					t.Errorf("%s in %s", part, answer)
				}
			}
			_, stream := ask(t, &noisy{}, http.MethodPost, "/prompt", strings.Replace(tt.body, "{", `{"output_format": "stream-json",`, 1))
			lines := strings.Split(strings.TrimSpace(string(stream)), "\n")
			for _, line := range lines {
				dialecttest.Valid(t, "PromptEvent", []byte(line))
			}
			if strings.Contains(lines[len(lines)-1], `"timing":{`) != tt.want {
				t.Errorf("%s", lines[len(lines)-1])
			}
		})
	}
}

// TestAlwaysDry: unified_flags.dry_run holds for all.
func TestAlwaysDry(t *testing.T) {
	server := dialecttest.Serve(t, rest.New(rest.Config{Engine: &seer{t: t}, Defaults: rest.Defaults{DryRun: true}}))
	for path, body := range map[string]string{
		"/prompt":   `{"backend": "able", "prompt": "hi"}`,
		"/parallel": `{"tasks": [{"backend": "able", "prompt": "hi"}]}`,
		"/chain":    `{"steps": [{"backend": "able", "prompt": "hi"}]}`,
		"/compare":  `{"backends": ["able"], "prompt": "hi"}`,
	} {
		response, err := http.Post(server.URL+"/api/v1"+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			DryRun bool `json:"dry_run"`
		}
		if err := json.NewDecoder(response.Body).Decode(&got); err != nil || !got.DryRun {
			t.Errorf("%s: %d, %v", path, response.StatusCode, err)
		}
		_ = response.Body.Close()
	}
}
