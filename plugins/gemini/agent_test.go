package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

const (
	askDefault = backendv1.ApprovalMode_APPROVAL_MODE_DEFAULT
	askAuto    = backendv1.ApprovalMode_APPROVAL_MODE_AUTO
	askNone    = backendv1.ApprovalMode_APPROVAL_MODE_NONE
	askAlways  = backendv1.ApprovalMode_APPROVAL_MODE_ALWAYS

	boxDefault   = backendv1.SandboxMode_SANDBOX_MODE_DEFAULT
	boxRead      = backendv1.SandboxMode_SANDBOX_MODE_READ_ONLY
	boxWorkspace = backendv1.SandboxMode_SANDBOX_MODE_WORKSPACE
	boxFull      = backendv1.SandboxMode_SANDBOX_MODE_FULL
)

func agent(dir string, approval backendv1.ApprovalMode, sandbox backendv1.SandboxMode, messages ...*backendv1.Message) *backendv1.Start {
	return &backendv1.Start{
		ExecutionId: "test", Mode: backendv1.Mode_MODE_AGENT, WorkingDir: dir,
		ApprovalMode: approval, SandboxMode: sandbox, Messages: messages,
	}
}

// toolScript has the model call a tool before it says anything.
func toolScript(name, args string) string {
	return "[[tokens=0 tool=" + name + " args=b64:" + base64.StdEncoding.EncodeToString([]byte(args)) + "]]"
}

// activity is what a turn told about tools, as "name arguments" and "name: result".
func activity(r *backendtest.Result) []string {
	var out []string
	for _, e := range r.Events {
		if c := e.GetToolCall(); c != nil {
			out = append(out, c.GetName()+" "+c.GetArgumentsJson())
			if c.GetOrigin() != backendv1.ToolOrigin_TOOL_ORIGIN_BACKEND {
				out = append(out, "of the client")
			}
		}
		if c := e.GetToolResult(); c != nil {
			text := c.GetName() + ": "
			if c.GetIsError() {
				text += "error: "
			}
			for _, p := range c.GetParts() {
				text += p.GetText()
			}
			out = append(out, strings.TrimSpace(text))
		}
	}
	return out
}

func TestAgentTools(t *testing.T) {
	s := common(t)
	const (
		write = `{"file_path":"b.txt","content":"new $HOME"}`
		shell = `{"command":"echo made > b.txt"}`
	)
	none := "error: there is no such tool"
	tests := []struct {
		name     string
		approval backendv1.ApprovalMode
		sandbox  backendv1.SandboxMode
		tool     string
		args     string
		result   string // a part of it
		file     string // content of b.txt; empty: not there
	}{
		{"read", askDefault, boxDefault, "read_file", `{"file_path":"a.txt"}`, "secret content", ""},
		{"read, reading only", askNone, boxRead, "read_file", `{"file_path":"a.txt"}`, "secret content", ""},
		{"read outside", askNone, boxWorkspace, "read_file", `{"file_path":"/etc/hostname"}`, "error: Path not in workspace", ""},
		{"write, nobody to ask", askDefault, boxDefault, "write_file", write, "error: not permitted", ""},
		{"write, always ask", askAlways, boxFull, "write_file", write, "error: not permitted", ""},
		{"write, automatic", askAuto, boxDefault, "write_file", write, "Successfully created", "new $HOME"},
		{"write, no questions", askNone, boxWorkspace, "write_file", write, "Successfully created", "new $HOME"},
		{"write, reading only", askNone, boxRead, "write_file", write, none, ""},
		{"shell, nobody to ask", askDefault, boxDefault, "run_shell_command", shell, "error: not permitted", ""},
		{"shell, automatic", askAuto, boxFull, "run_shell_command", shell, "error: not permitted", ""},
		{"shell, no questions", askNone, boxFull, "run_shell_command", shell, "", "made"},
		{"shell, workspace", askNone, boxWorkspace, "run_shell_command", shell, none, ""},
		{"shell, reading only", askNone, boxRead, "run_shell_command", shell, none, ""},
		{"unknown", askNone, boxFull, "nosuch", `{"x":1}`, none, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("secret content"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := s.run(t, agent(dir, tt.approval, tt.sandbox, user(toolScript(tt.tool, tt.args))))
			if r.Err != nil || r.Failed != nil || r.Text != "tok0 tok1 tok2 " {
				t.Fatalf("text %q, failed %v, %v", r.Text, r.Failed, r.Err)
			}
			got := activity(r)
			if len(got) != 2 || got[0] != tt.tool+" "+tt.args || !strings.HasPrefix(got[1], tt.tool+":") || !strings.Contains(got[1], tt.result) {
				t.Errorf("activity = %q", got)
			}
			b, _ := os.ReadFile(filepath.Join(dir, "b.txt"))
			if strings.TrimSpace(string(b)) != tt.file {
				t.Errorf("b.txt = %q, want %q", b, tt.file)
			}
			if got := r.Completed.GetUsage().GetInputTokens(); got != 2*gemini.InputTokens {
				t.Errorf("input tokens = %d", got)
			}
		})
	}
}

func TestAgentConversation(t *testing.T) {
	s := common(t)
	dir := t.TempDir()
	texts := []string{"/help", "@/etc/passwd", "!ls $HOME ${HOME}", "--help\x00"}
	start := agent(dir, askDefault, boxDefault, user(texts[0]), assistant(texts[1]), user(texts[2]), assistant("x"), user(texts[3]))
	start.System = "answer in German"
	r, req := s.complete(t, start)
	if r.Text != "tok0 tok1 tok2 " {
		t.Errorf("text = %q", r.Text)
	}
	system, messages := gemini.Conversation(req)
	if !strings.Contains(system, "Gemini CLI") {
		t.Errorf("the agent's own instructions are missing: %q", head(system))
	}
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			got = append(got, m.Role+":"+p.Text)
		}
	}
	want := []string{"user:answer in German", "user:" + texts[0], "model:" + texts[1], "user:" + texts[2], "model:x", "user:" + texts[3]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if added := gemini.Additions(req); len(added) != 1 || !strings.Contains(added[0], dir) {
		t.Errorf("the agent does not know its directory: %q", added)
	}
}

// TestAgentUser has the agent use what the user keeps for it, and chat mode not.
func TestAgentUser(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(home, ".gemini", "GEMINI.md"), "notes of the user")
	write(filepath.Join(home, ".gemini", "settings.json"), `{"tools":{"exclude":["list_directory"]},"general":{"maxAttempts":9}}`)
	write(filepath.Join(dir, "GEMINI.md"), "notes of the project")
	s := newSystem(t, withEnv("GEMINI_CLI_HOME", home))
	_, req := s.complete(t, agent(dir, askDefault, boxDefault, user("hi")))
	for _, want := range []string{"notes of the user", "notes of the project", `"read_file"`} {
		if !strings.Contains(string(req.Body), want) {
			t.Errorf("the agent does not know %s", want)
		}
	}
	if strings.Contains(string(req.Body), `"name":"list_directory"`) {
		t.Error("the agent has a tool that the user excluded")
	}
	_, req = s.complete(t, chat(user("hi")))
	if strings.Contains(string(req.Body), "notes") {
		t.Errorf("chat mode sends the user's notes: %s", req.Body)
	}
}

func TestApproval(t *testing.T) {
	s := common(t)
	for _, allow := range []bool{true, false} {
		dir := t.TempDir()
		asked := 0
		start := agent(dir, askDefault, boxDefault, user(toolScript("write_file", `{"file_path":"b.txt","content":"x"}`)))
		start.CanApprove = true
		r := s.run(t, start,
			backendtest.OnEvent(func(e *backendv1.ExecuteResponse, c backendv1.BackendService_ExecuteClient) {
				a := e.GetApprovalRequested()
				if a == nil {
					return
				}
				asked++
				if a.GetCall().GetName() != "write_file" || a.GetCall().GetArgumentsJson() != `{"file_path":"b.txt","content":"x"}` {
					t.Errorf("asked about %v", a)
				}
				err := c.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Approval{
					Approval: &backendv1.ApprovalDecision{Id: a.GetId(), Allow: allow},
				}})
				if err != nil {
					t.Error(err)
				}
			}))
		_, err := os.Stat(filepath.Join(dir, "b.txt"))
		if asked != 1 || (err == nil) != allow || r.Completed == nil {
			t.Errorf("allow %v: asked %d times, file %v, %v %v", allow, asked, err, r.Failed, r.Err)
		}
	}
}

func TestAgentSteps(t *testing.T) {
	s := common(t)
	start := agent(t.TempDir(), askNone, boxFull, user(toolScript("list_directory", `{"dir_path":"."}`)))
	start.MaxSteps = 1
	r, _ := s.complete(t, start)
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_LENGTH || len(activity(r)) != 2 {
		t.Errorf("completed = %v, activity = %q", r.Completed, activity(r))
	}
}

func TestAgentWorkingDir(t *testing.T) {
	s := common(t)
	r := s.run(t, agent(filepath.Join(t.TempDir(), "missing"), askDefault, boxDefault, user("hi")))
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST {
		t.Errorf("failed = %v", r.Failed)
	}
	if r, _ := s.complete(t, agent("", askDefault, boxDefault, user("hi"))); r.Text == "" {
		t.Error("no answer without a working directory")
	}
}
