package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

// shell is a prompt that makes the model run a command.
func shell(t *testing.T, command string) string {
	t.Helper()
	args, err := json.Marshal(map[string]string{"cmd": command})
	if err != nil {
		t.Fatal(err)
	}
	return "[[tokens=1 tool=exec_command args=b64:" + base64.StdEncoding.EncodeToString(args) + "]]"
}

func TestAgentModes(t *testing.T) {
	const (
		wrote  = "wrote"
		denied = "denied"
	)
	tests := []struct {
		name     string
		approval backendv1.ApprovalMode
		sandbox  backendv1.SandboxMode
		want     string
		asks     bool
	}{
		{name: "none full", approval: backendv1.ApprovalMode_APPROVAL_MODE_NONE, sandbox: backendv1.SandboxMode_SANDBOX_MODE_FULL, want: wrote},
		{name: "none workspace", approval: backendv1.ApprovalMode_APPROVAL_MODE_NONE, sandbox: backendv1.SandboxMode_SANDBOX_MODE_WORKSPACE, want: wrote},
		{name: "none read-only", approval: backendv1.ApprovalMode_APPROVAL_MODE_NONE, sandbox: backendv1.SandboxMode_SANDBOX_MODE_READ_ONLY, want: denied},
		{name: "auto workspace", approval: backendv1.ApprovalMode_APPROVAL_MODE_AUTO, sandbox: backendv1.SandboxMode_SANDBOX_MODE_WORKSPACE, want: wrote},
		{name: "auto full", approval: backendv1.ApprovalMode_APPROVAL_MODE_AUTO, sandbox: backendv1.SandboxMode_SANDBOX_MODE_FULL, want: wrote},
		{name: "auto read-only", approval: backendv1.ApprovalMode_APPROVAL_MODE_AUTO, sandbox: backendv1.SandboxMode_SANDBOX_MODE_READ_ONLY, want: denied},
		{name: "always, nobody to ask", approval: backendv1.ApprovalMode_APPROVAL_MODE_ALWAYS, sandbox: backendv1.SandboxMode_SANDBOX_MODE_WORKSPACE, want: denied},
		{name: "always, asked", approval: backendv1.ApprovalMode_APPROVAL_MODE_ALWAYS, sandbox: backendv1.SandboxMode_SANDBOX_MODE_WORKSPACE, want: wrote, asks: true},
		{name: "default read-only", sandbox: backendv1.SandboxMode_SANDBOX_MODE_READ_ONLY, want: denied},
	}
	f := start(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			f.api.Log.Reset()
			asked := 0
			var opts []backendtest.Option
			if test.asks {
				opts = append(opts, backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
					if a := e.GetApprovalRequested(); a != nil {
						asked++
						if err := s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Approval{
							Approval: &backendv1.ApprovalDecision{Id: a.GetId(), Allow: true},
						}}); err != nil {
							t.Error(err)
						}
					}
				}))
			}
			r := f.run(t, &backendv1.Start{
				Mode: backendv1.Mode_MODE_AGENT, Model: "gpt-5.5", System: "be careful", WorkingDir: dir, CanApprove: test.asks,
				ApprovalMode: test.approval, SandboxMode: test.sandbox,
				Messages: []*backendv1.Message{user("earlier"), assistant("answer"), user(shell(t, "echo hello > made && cat made"))},
			}, opts...)
			if r.Failed != nil {
				t.Fatal(r.Failed)
			}
			text, err := os.ReadFile(filepath.Join(dir, "made"))
			if got := map[bool]string{true: wrote, false: denied}[err == nil && string(text) == "hello\n"]; got != test.want {
				t.Errorf("the command %s (%v)", got, err)
			}
			if test.asks != (asked > 0) {
				t.Errorf("asked %d times", asked)
			}
			calls, results := activity(r)
			if test.want == wrote && (len(calls) != 1 || len(results) != 1 || results[0].GetIsError() || results[0].GetParts()[0].GetText() != "hello\n") {
				t.Errorf("calls %v, results %v", calls, results)
			}
			for _, c := range calls {
				if c.GetOrigin() != backendv1.ToolOrigin_TOOL_ORIGIN_BACKEND || !json.Valid([]byte(c.GetArgumentsJson())) {
					t.Errorf("call = %v", c)
				}
			}
			if r.Text != "tok0 tok0 " || r.Completed.GetUsage().GetInputTokens() != 2*openai.InputTokens {
				t.Errorf("text %q, usage %v", r.Text, r.Completed.GetUsage())
			}
			checkAgentConversation(t, f)
		})
	}
}

// activity is what the CLI's own tools did.
func activity(r *backendtest.Result) (calls []*backendv1.ToolCall, results []*backendv1.ToolResult) {
	for _, e := range r.Events {
		if c := e.GetToolCall(); c != nil {
			calls = append(calls, c)
		}
		if res := e.GetToolResult(); res != nil {
			results = append(results, res)
		}
	}
	return calls, results
}

// checkAgentConversation checks that the caller's words reached the model server
// unchanged and in order.
func checkAgentConversation(t *testing.T, f *fixture) {
	t.Helper()
	turns := f.api.Log.Turns()
	if len(turns) != 2 {
		t.Fatalf("%d model calls", len(turns))
	}
	system, messages := openai.Conversation(turns[0])
	text := system
	for _, m := range messages {
		text += "\n" + m.Role + ": " + m.Text()
	}
	at := 0
	for _, want := range []string{"be careful", "user: earlier", "assistant: answer", "user: [[tokens=1 tool=exec_command"} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("no %q after %d in\n%s", want, at, text)
		}
		at += i
	}
}

func TestAgentTellsFailedCommands(t *testing.T) {
	f := start(t)
	r := f.run(t, &backendv1.Start{
		Mode: backendv1.Mode_MODE_AGENT, Model: "gpt-5.5", SandboxMode: backendv1.SandboxMode_SANDBOX_MODE_FULL,
		ApprovalMode: backendv1.ApprovalMode_APPROVAL_MODE_NONE, Messages: []*backendv1.Message{user(shell(t, "echo oops; exit 3"))},
	})
	if _, results := activity(r); len(results) != 1 || !results[0].GetIsError() || results[0].GetParts()[0].GetText() != "oops\n" {
		t.Errorf("results %v, failed %v", results, r.Failed)
	}
}

func TestAgentSteps(t *testing.T) {
	f := start(t)
	r := f.run(t, &backendv1.Start{
		Mode: backendv1.Mode_MODE_AGENT, Model: "gpt-5.5", SandboxMode: backendv1.SandboxMode_SANDBOX_MODE_FULL, MaxSteps: 1,
		ApprovalMode: backendv1.ApprovalMode_APPROVAL_MODE_NONE, Messages: []*backendv1.Message{user(shell(t, "echo once"))},
	})
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_LENGTH || r.Text != "tok0 " {
		t.Errorf("text %q, completed %v, failed %v", r.Text, r.Completed, r.Failed)
	}
}

func TestAgentUsesTheUsersOwnSettings(t *testing.T) {
	f := start(t, withWarm(0))
	if err := os.MkdirAll(f.home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.home, "AGENTS.md"), []byte("the user's own rules"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []backendv1.Mode{backendv1.Mode_MODE_AGENT, backendv1.Mode_MODE_CHAT} {
		f.api.Log.Reset()
		if r := f.run(t, &backendv1.Start{Mode: mode, Model: "gpt-5.5", Messages: []*backendv1.Message{user("hi")}}); r.Failed != nil {
			t.Fatal(r.Failed)
		}
		body := string(f.api.Log.Turns()[0].Body)
		if got := strings.Contains(body, "the user's own rules"); got != (mode == backendv1.Mode_MODE_AGENT) {
			t.Errorf("%v: the user's rules were sent: %v", mode, got)
		}
	}
}

func TestCancelledCommandEnds(t *testing.T) {
	f := start(t)
	dir := t.TempDir()
	r := f.run(t, &backendv1.Start{
		Mode: backendv1.Mode_MODE_AGENT, Model: "gpt-5.5", WorkingDir: dir, SandboxMode: backendv1.SandboxMode_SANDBOX_MODE_FULL,
		ApprovalMode: backendv1.ApprovalMode_APPROVAL_MODE_NONE,
		Messages:     []*backendv1.Message{user(shell(t, "echo $$ > pid; exec sleep 300"))},
	}, backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
		if e.GetToolCall() != nil {
			if err := s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}}); err != nil {
				t.Error(err)
			}
		}
	}))
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED {
		t.Errorf("completed %v, failed %v", r.Completed, r.Failed)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return // it was stopped before it began
	}
	process := "/proc/" + strings.TrimSpace(string(text))
	await.Until(t, time.Minute, "the command ends", func() bool {
		_, err := os.Stat(process)
		return err != nil
	})
}
