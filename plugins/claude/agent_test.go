package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// shell is a command that the CLI takes for neither reading nor an edit.
const shell = `sh -c 'echo yes > made'`

// agent is a turn in agent mode in which the model calls one tool.
func agent(dir, tool, arguments string) *backendv1.Start {
	script := fmt.Sprintf("[[tokens=1 tool=%s args=b64:%s]]", tool, base64.StdEncoding.EncodeToString([]byte(arguments)))
	return &backendv1.Start{Mode: backendv1.Mode_MODE_AGENT, WorkingDir: dir, Messages: []*backendv1.Message{user(script)}}
}

// tools renders the tool events of a result.
func tools(r *backendtest.Result) []string {
	var out []string
	for _, e := range r.Events {
		if c := e.GetToolCall(); c != nil {
			out = append(out, fmt.Sprintf("call %s %v %s", c.GetName(), c.GetOrigin(), c.GetArgumentsJson()))
		}
		if t := e.GetToolResult(); t != nil {
			out = append(out, fmt.Sprintf("result error=%v", t.GetIsError()))
		}
	}
	return out
}

func arguments(values map[string]string) string {
	b, _ := json.Marshal(values) // strings only
	return string(b)
}

func TestAgentTools(t *testing.T) {
	const (
		none    = backendv1.ApprovalMode_APPROVAL_MODE_NONE
		auto    = backendv1.ApprovalMode_APPROVAL_MODE_AUTO
		always  = backendv1.ApprovalMode_APPROVAL_MODE_ALWAYS
		ordinal = backendv1.ApprovalMode_APPROVAL_MODE_DEFAULT
	)
	tests := []struct {
		name     string
		approval backendv1.ApprovalMode
		sandbox  backendv1.SandboxMode
		tool     string
		runs     bool
	}{
		{"none runs a command", none, 0, "Bash", true},
		{"none writes", none, 0, "Write", true},
		{"auto writes", auto, 0, "Write", true},
		{"auto denies a command", auto, 0, "Bash", false},
		{"default denies a command", ordinal, 0, "Bash", false},
		{"always denies writing", always, 0, "Write", false},
		{"read-only has no shell", none, backendv1.SandboxMode_SANDBOX_MODE_READ_ONLY, "Bash", false},
	}
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				f.tb = t
				f.api.Log.Reset()
				dir := t.TempDir()
				made := filepath.Join(dir, "made")
				args := arguments(map[string]string{"command": shell})
				if test.tool == "Write" {
					args = arguments(map[string]string{"file_path": made, "content": "yes\n"})
				}
				start := agent(dir, test.tool, args)
				start.ApprovalMode, start.SandboxMode = test.approval, test.sandbox
				r := f.complete(start)
				content, _ := os.ReadFile(made) // missing when it did not run
				if ran := string(content) == "yes\n"; ran != test.runs {
					t.Errorf("ran = %v", ran)
				}
				want := []string{
					fmt.Sprintf("call %s TOOL_ORIGIN_BACKEND %s", test.tool, args),
					fmt.Sprintf("result error=%v", !test.runs),
				}
				if diff := cmp.Diff(want, tools(r)); diff != "" {
					t.Errorf("tools (-want +got):\n%s", diff)
				}
				if r.Text != "tok0 tok0 tok1 tok2 " || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_STOP {
					t.Errorf("text %q, %v", r.Text, r.Completed)
				}
				if n := r.Completed.GetUsage().GetInputTokens(); n != 2*66 {
					t.Errorf("input tokens = %d of two requests", n)
				}
			})
		}
	})
}

func TestAgentTextIsData(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		texts := []string{"/compact @/etc/hostname", "see @/etc/hostname", "/clear", "!ls", "--help"}
		start := &backendv1.Start{Mode: backendv1.Mode_MODE_AGENT, WorkingDir: t.TempDir()}
		for i, text := range texts {
			if i > 0 {
				start.Messages = append(start.Messages, assistant("so?"))
			}
			start.Messages = append(start.Messages, user(text))
		}
		f.complete(start)
		_, messages := f.received()
		var want []string
		for _, m := range start.GetMessages() {
			role := "user "
			if m.GetRole() == backendv1.Role_ROLE_ASSISTANT {
				role = "assistant "
			}
			want = append(want, role+m.GetParts()[0].GetText())
		}
		if diff := cmp.Diff(want, said(messages)); diff != "" {
			t.Errorf("conversation (-want +got):\n%s", diff)
		}
	})
}

func TestAgentAsksTheClient(t *testing.T) {
	t.Parallel()
	f := borrowFixture(t, newest)
	for _, allow := range []bool{true, false} {
		dir := t.TempDir()
		start := agent(dir, "Bash", arguments(map[string]string{"command": shell}))
		start.CanApprove = true
		asked := 0
		r := f.complete(start, backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
			a := e.GetApprovalRequested()
			if a == nil {
				return
			}
			asked++
			_ = s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Approval{
				Approval: &backendv1.ApprovalDecision{Id: a.GetId(), Allow: allow, Reason: "because"},
			}})
		}))
		_, err := os.Stat(filepath.Join(dir, "made"))
		if asked != 1 || allow != (err == nil) {
			t.Errorf("allow %v: asked %d times, file: %v, %v", allow, asked, err, tools(r))
		}
		if _, messages := f.received(); !allow && !strings.Contains(words(messages), "because") {
			t.Errorf("the model was not told why:\n%s", words(messages))
		}
	}
}

func TestAgentRunsInItsDirectory(t *testing.T) {
	t.Parallel()
	f := borrowFixture(t, newest)
	dir := t.TempDir()
	start := agent(dir, "Bash", arguments(map[string]string{"command": "pwd"}))
	start.ApprovalMode = backendv1.ApprovalMode_APPROVAL_MODE_NONE
	start.System = "Speak like a pirate."
	f.complete(start)
	system, messages := f.received()
	if !strings.Contains(words(messages), dir) || !strings.Contains(system, "Speak like a pirate.") {
		t.Errorf("system ends with %.200q, messages:\n%s", system[max(0, len(system)-200):], words(messages))
	}
	start.WorkingDir = ""
	f.complete(start)
	if _, messages := f.received(); !strings.Contains(words(messages), f.root) {
		t.Errorf("not in a private directory:\n%s", words(messages))
	}
}

func TestAgentArguments(t *testing.T) {
	t.Parallel()
	f := borrowFixture(t, newest)
	dir := t.TempDir()
	start := agent(dir, "Bash", arguments(map[string]string{"command": shell}))
	start.ApprovalMode = backendv1.ApprovalMode_APPROVAL_MODE_NONE
	start.ExtraArguments = []string{"--disallowedTools=Bash"}
	r := f.complete(start)
	if got := tools(r); len(got) != 2 || got[1] != "result error=true" {
		t.Errorf("tools = %q", got)
	}
	for _, args := range [][]string{{"--dangerously-skip-permissions"}, {"--add-dir=/"}, {"--agent"}, {"-p"}, {"hello"}} {
		start.ExtraArguments = args
		if r := f.run(start); r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST {
			t.Errorf("%q: %v, %v", args, r.Failed, r.Completed)
		}
	}
}

// TestCancelledAgentLeavesNoChild: the CLI's shell is in a session of its own.
func TestCancelledAgentLeavesNoChild(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest, cold)
	start := agent(t.TempDir(), "Bash", arguments(map[string]string{"command": "sleep 300"}))
	start.ApprovalMode = backendv1.ApprovalMode_APPROVAL_MODE_NONE
	cancelled := false
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.runIn(ctx, start, backendtest.OnEvent(func(e *backendv1.ExecuteResponse, _ backendv1.BackendService_ExecuteClient) {
		if e.GetToolCall() != nil && !cancelled {
			cancelled = true
			f.waitProcesses(3) // the CLI, its shell and what that runs
			cancel()
		}
	}))
	if !cancelled {
		t.Fatal("the tool was not called")
	}
	f.waitProcesses(0)
}
