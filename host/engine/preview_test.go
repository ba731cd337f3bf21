package engine

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// previewing can preview, in chat and agent mode, and keeps live conversations.
var previewing = &backendv1.Capabilities{
	Chat: &backendv1.ChatCapability{}, Preview: &backendv1.PreviewCapability{}, Live: &backendv1.LiveCapability{},
	Agent: &backendv1.AgentCapability{SandboxModes: []backendv1.SandboxMode{backendv1.SandboxMode_SANDBOX_MODE_READ_ONLY}},
}

func TestPreview(t *testing.T) {
	dir := t.TempDir()
	temperature := 0.5
	for _, tt := range []struct {
		name    string
		caps    *backendv1.Capabilities
		turn    *Turn
		preview func(*backendv1.Start) (*backendv1.PreviewResponse, error)
		want    *Preview
		code    Code
	}{
		{
			name: "an agent", caps: previewing,
			turn: &Turn{Model: "b/opus", Mode: ModeAgent, WorkingDir: dir, Sandbox: SandboxReadOnly, Messages: say("hi"), Sampling: Sampling{Temperature: &temperature}},
			preview: func(s *backendv1.Start) (*backendv1.PreviewResponse, error) {
				return &backendv1.PreviewResponse{CommandLine: []string{"cli", "--model", s.GetModel()}, Environment: []string{"KEY"}, WorkingDir: s.GetWorkingDir()}, nil
			},
			want: &Preview{
				Backend: "b", Model: "opus", Mode: ModeAgent, WorkingDir: dir, Sandbox: SandboxReadOnly, Ignored: []string{FieldTemperature},
				Command: &Command{Line: []string{"cli", "--model", "opus"}, Environment: []string{"KEY"}, WorkingDir: dir},
			},
		},
		{
			name: "a kept conversation", caps: previewing, turn: &Turn{Model: "b", Messages: say("hi")},
			preview: func(s *backendv1.Start) (*backendv1.PreviewResponse, error) {
				if s.GetLive() == nil || len(s.GetLive().GetToken()) > 0 || s.GetSession() != nil {
					return nil, status.Error(codes.InvalidArgument, "it is none")
				}
				return &backendv1.PreviewResponse{}, nil
			},
			want: &Preview{Backend: "b", Mode: ModeChat, Command: &Command{}},
		},
		{
			name: "a plugin that cannot", turn: &Turn{Model: "b", Messages: say("hi")},
			want: &Preview{Backend: "b", Mode: ModeChat},
		},
		{
			name: "a plugin that is wrong about itself", caps: previewing, turn: &Turn{Model: "b", Messages: say("hi")},
			preview: func(*backendv1.Start) (*backendv1.PreviewResponse, error) {
				return nil, status.Error(codes.Unimplemented, "no")
			},
			want: &Preview{Backend: "b", Mode: ModeChat},
		},
		{name: "an unknown model", turn: &Turn{Model: "nobody", Messages: say("hi")}, code: CodeModelNotFound},
		{name: "a mode that is not there", turn: &Turn{Model: "b", Mode: ModeAgent, Messages: say("hi")}, code: CodeUnsupported},
		{name: "a directory that is not there", caps: previewing, turn: &Turn{Model: "b", Mode: ModeAgent, WorkingDir: dir + "/none", Messages: say("hi")}, code: CodeInvalidRequest},
		{
			name: "several agents in one directory", caps: previewing, code: CodeInvalidRequest,
			turn: &Turn{Model: "b", Mode: ModeAgent, WorkingDir: dir, Choices: 2, Messages: say("hi")},
		},
		{
			name: "several agents", caps: previewing, turn: &Turn{Model: "b", Mode: ModeAgent, Choices: 2, Messages: say("hi")},
			preview: func(*backendv1.Start) (*backendv1.PreviewResponse, error) { return &backendv1.PreviewResponse{}, nil },
			want:    &Preview{Backend: "b", Mode: ModeAgent, Command: &Command{}},
		},
		{
			name: "several in a chat, which has no directory", caps: previewing,
			turn:    &Turn{Model: "b", WorkingDir: dir, Choices: 2, Messages: say("hi")},
			preview: func(*backendv1.Start) (*backendv1.PreviewResponse, error) { return &backendv1.PreviewResponse{}, nil },
			want:    &Preview{Backend: "b", Mode: ModeChat, Command: &Command{}},
		},
		{
			name: "strict parameters", caps: previewing, code: CodeInvalidRequest,
			turn: &Turn{Model: "b", StrictParams: true, Messages: say("hi"), Sampling: Sampling{Temperature: &temperature}},
		},
		{
			name: "arguments that the plugin refuses", caps: previewing, turn: &Turn{Model: "b", Messages: say("hi")}, code: CodeInvalidRequest,
			preview: func(*backendv1.Start) (*backendv1.PreviewResponse, error) {
				return nil, status.Error(codes.InvalidArgument, "extra is not allowed")
			},
		},
		{
			name: "a plugin that fails", caps: previewing, turn: &Turn{Model: "b", Messages: say("hi")}, code: CodeCLIFailure,
			preview: func(*backendv1.Start) (*backendv1.PreviewResponse, error) {
				return nil, status.Error(codes.Unknown, "it broke")
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakes(t)
			f.add("b", tt.caps, func(*backendv1.Start, backendv1.BackendService_ExecuteServer) error {
				t.Error("the turn is run")
				return nil
			})
			f.previews = tt.preview
			e := New(Config{Backends: f})
			ignored, checkErr := e.Check(tt.turn)
			if refused := AsError(checkErr); checkErr != nil && refused.Code != tt.code || tt.want != nil && (checkErr != nil || !slices.Equal(ignored, tt.want.Ignored)) {
				t.Errorf("checked: %v, %v", ignored, checkErr)
			}
			got, err := e.Preview(t.Context(), tt.turn)
			if code := AsError(err); (tt.want == nil) != (err != nil) || err != nil && code.Code != tt.code {
				t.Fatalf("err = %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if n := len(e.Executions("", Filter{})); n != 0 {
				t.Errorf("%d executions", n)
			}
		})
	}
}

func TestPreviewOfWhoIsGone(t *testing.T) {
	f := newFakes(t)
	f.add("b", previewing, nil)
	ctx, cancel := context.WithCancel(t.Context())
	f.previews = func(*backendv1.Start) (*backendv1.PreviewResponse, error) {
		cancel()
		<-t.Context().Done()
		return nil, status.Error(codes.Canceled, "late")
	}
	if _, err := New(Config{Backends: f}).Preview(ctx, &Turn{Model: "b", Messages: say("hi")}); AsError(err).Code != CodeCanceled {
		t.Errorf("err = %v", err)
	}
}
