package plugins_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// scripted is a backend that is one function.
type scripted struct {
	execute func(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error
}

func (scripted) Describe() plugins.Description { return plugins.Description{Name: "scripted"} }
func (scripted) Health(context.Context, bool) (plugins.Health, error) {
	return plugins.Health{State: plugins.HealthReady}, nil
}
func (scripted) Models(context.Context) ([]plugins.Model, error) {
	return []plugins.Model{{ID: "a", Default: true}, {ID: "b"}, {ID: "c"}}, nil
}
func (s scripted) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	return s.execute(ctx, turn, out)
}

func run(t *testing.T, start *backendv1.Start, execute func(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error, opts ...backendtest.Option) *backendtest.Result {
	t.Helper()
	return backendtest.Run(t.Context(), backendtest.Connect(t, scripted{execute}), start, opts...)
}

func TestHowATurnEnds(t *testing.T) {
	token := strings.Repeat("x", 5000)
	tests := []struct {
		name    string
		execute func(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error
		code    backendv1.ErrorCode // 0: completed
		text    string
		started bool
	}{
		{"nil", func(context.Context, *plugins.Turn, *plugins.Stream) error { return nil }, 0, "", true},
		{"an error", func(context.Context, *plugins.Turn, *plugins.Stream) error { return errors.New("oops") }, backendv1.ErrorCode_ERROR_CODE_INTERNAL, "oops", false},
		{"a typed error", func(context.Context, *plugins.Turn, *plugins.Stream) error {
			return plugins.Errorf(plugins.CodeRateLimited, "slow down")
		}, backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED, "slow down", false},
		{"a wrapped one", func(context.Context, *plugins.Turn, *plugins.Stream) error {
			return errors.Join(errors.New("x"), plugins.Errorf(plugins.CodeNotFound, "gone"))
		}, backendv1.ErrorCode_ERROR_CODE_NOT_FOUND, "gone", false},
		{"a panic", func(context.Context, *plugins.Turn, *plugins.Stream) error { panic("boom") }, backendv1.ErrorCode_ERROR_CODE_INTERNAL, "boom", false},
		{"a panic in mid-answer", func(_ context.Context, _ *plugins.Turn, out *plugins.Stream) error {
			_ = out.Text("x")
			var p *int
			*p = 1
			return nil
		}, backendv1.ErrorCode_ERROR_CODE_INTERNAL, "nil pointer", true},
		{"a token that is too long", func(_ context.Context, _ *plugins.Turn, out *plugins.Stream) error {
			out.Finish(plugins.Finish{SessionToken: []byte(token)})
			return nil
		}, backendv1.ErrorCode_ERROR_CODE_INTERNAL, "5000 bytes", false},
		{"invalid text in an error", func(context.Context, *plugins.Turn, *plugins.Stream) error {
			return plugins.Errorf(plugins.CodeCLIFailure, "bad \xff text")
		}, backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE, "bad", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := run(t, &backendv1.Start{}, test.execute)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if r.Failed.GetCode() != test.code || !strings.Contains(r.Failed.GetMessage(), test.text) {
				t.Errorf("failed = %v", r.Failed)
			}
			if (r.Started != nil) != test.started {
				t.Errorf("started = %v", r.Started)
			}
		})
	}
}

func TestAStreamIsOverAfterTheTurn(t *testing.T) {
	var kept *plugins.Stream
	run(t, &backendv1.Start{}, func(_ context.Context, _ *plugins.Turn, out *plugins.Stream) error { kept = out; return nil })
	for _, err := range []error{kept.Text("late"), kept.Usage(plugins.Usage{}), kept.ToolCall(plugins.ToolCall{ID: "x"})} {
		if !errors.Is(err, plugins.ErrTurnOver) {
			t.Errorf("err = %v", err)
		}
	}
}

// TestLargeToolResult shows that a result that no message can carry does not cost the
// turn.
func TestLargeToolResult(t *testing.T) {
	small := plugins.Blob{MediaType: "image/png", Data: make([]byte, 1<<20)}
	r := run(t, &backendv1.Start{}, func(_ context.Context, _ *plugins.Turn, out *plugins.Stream) error {
		return out.ToolResult(plugins.ToolResult{CallID: "c", Name: "screenshot", Parts: []plugins.Part{
			small, plugins.Blob{MediaType: "image/png", Data: make([]byte, 9<<20)}, plugins.Text("done"), plugins.Text(strings.Repeat("x", 8<<20)),
		}})
	})
	if r.Err != nil || r.Completed == nil {
		t.Fatalf("%v, failed = %v", r.Err, r.Failed)
	}
	var parts []string
	for _, e := range r.Events {
		for _, p := range e.GetToolResult().GetParts() {
			if b := p.GetBlob(); b != nil {
				parts = append(parts, fmt.Sprintf("%d bytes", len(b.GetData())))
				continue
			}
			parts = append(parts, p.GetText())
		}
	}
	want := []string{"1048576 bytes", "(image/png of 9437184 bytes left out: it is too large)", "done", "(text of 8388608 bytes left out: it is too large)"}
	if d := cmp.Diff(want, parts); d != "" {
		t.Error(d)
	}
}

func TestTimeout(t *testing.T) {
	r := run(t, &backendv1.Start{Timeout: durationpb.New(20 * time.Millisecond)}, func(ctx context.Context, _ *plugins.Turn, out *plugins.Stream) error {
		n := int64(7)
		_ = out.Usage(plugins.Usage{InputTokens: &n})
		<-ctx.Done()
		return ctx.Err()
	})
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_TIMEOUT || r.Failed.GetUsage().GetInputTokens() != 7 {
		t.Errorf("failed = %v, %v", r.Failed, r.Err)
	}
}

func TestTheFirstMessageMustBeStart(t *testing.T) {
	client := backendtest.Connect(t, scripted{})
	stream, err := client.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&backendv1.ExecuteRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("err = %v", err)
	}
}

func TestApprovals(t *testing.T) {
	ask := func(ctx context.Context, _ *plugins.Turn, out *plugins.Stream) error {
		d, err := out.Approve(ctx, plugins.Approval{ID: "1", Call: plugins.ToolCall{Name: "Bash"}})
		if err != nil {
			return plugins.Errorf(plugins.CodePermissionDenied, "%w", err)
		}
		return out.Text(map[bool]string{true: "allowed", false: "denied: " + d.Reason}[d.Allow])
	}
	answer := backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
		if a := e.GetApprovalRequested(); a != nil {
			_ = s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Approval{Approval: &backendv1.ApprovalDecision{Id: a.GetId(), Reason: "no"}}})
		}
	})
	if r := run(t, &backendv1.Start{CanApprove: true}, ask, answer); r.Text != "denied: no" {
		t.Errorf("text %q, %v %v", r.Text, r.Failed, r.Err)
	}
	if r := run(t, &backendv1.Start{}, ask, answer); r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED {
		t.Errorf("nobody to ask: %v", r.Failed)
	}
}

// TestTextArrivesWhole cuts any text at any bytes: what arrives is valid UTF-8,
// in pieces of at most 32 KiB, and adds up to the text.
func TestTextArrivesWhole(t *testing.T) {
	pieces := make(chan []string, 1)
	client := backendtest.Connect(t, scripted{func(_ context.Context, _ *plugins.Turn, out *plugins.Stream) error {
		for _, p := range <-pieces {
			if err := out.Text(p); err != nil {
				return err
			}
		}
		return nil
	}})
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Repeat(rapid.String().Draw(rt, "text"), rapid.IntRange(1, 3000).Draw(rt, "times"))
		text = strings.ToValidUTF8(text, "?")
		var cut []string
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "cut")
			cut, rest = append(cut, rest[:n]), rest[n:]
		}
		pieces <- cut
		r := backendtest.Run(context.Background(), client, &backendv1.Start{})
		if r.Err != nil || r.Text != text {
			rt.Fatalf("%d bytes arrived of %d: %v", len(r.Text), len(text), r.Err)
		}
		for _, e := range r.Events {
			if d := e.GetTextDelta().GetText(); len(d) > 32<<10 || !utf8.ValidString(d) {
				rt.Fatalf("a delta of %d bytes", len(d))
			}
		}
	})
}

func TestInvalidTextIsReplacedNotFatal(t *testing.T) {
	r := run(t, &backendv1.Start{}, func(_ context.Context, _ *plugins.Turn, out *plugins.Stream) error {
		_ = out.Text("a\xffb\xe2\x9c") // ends in half a check mark that never comes
		return nil
	})
	if r.Text != "a\uFFFDb\uFFFD" || r.Err != nil {
		t.Errorf("text %q, %v", r.Text, r.Err)
	}
}

func TestBlocks(t *testing.T) {
	r := run(t, &backendv1.Start{}, func(_ context.Context, _ *plugins.Turn, out *plugins.Stream) error {
		_ = out.Reasoning("think")
		_ = out.ReasoningSignature([]byte("sig"))
		_ = out.Text("a")
		_ = out.Text("b")
		_ = out.NextBlock()
		_ = out.Text("c")
		_ = out.ToolCallStarted("1", "t", plugins.OriginClient)
		_ = out.ToolCall(plugins.ToolCall{ID: "1", Name: "t", Arguments: "{}", Origin: plugins.OriginClient})
		return out.Text("d")
	})
	var got []uint32
	for _, e := range r.Events {
		switch v := e.GetEvent().(type) {
		case *backendv1.ExecuteResponse_TextDelta:
			got = append(got, v.TextDelta.GetBlock())
		case *backendv1.ExecuteResponse_ReasoningDelta:
			got = append(got, v.ReasoningDelta.GetBlock())
		case *backendv1.ExecuteResponse_ToolCallStarted:
			got = append(got, v.ToolCallStarted.GetBlock())
		}
	}
	want := []uint32{0, 0, 1, 1, 2, 3, 4}
	if len(got) != len(want) {
		t.Fatalf("blocks %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("blocks %v, want %v", got, want)
		}
	}
}

func TestListModelsPages(t *testing.T) {
	client := backendtest.Connect(t, scripted{})
	var ids []string
	token := ""
	for {
		r, err := client.ListModels(t.Context(), &backendv1.ListModelsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range r.GetModels() {
			ids = append(ids, m.GetId())
		}
		if token = r.GetNextPageToken(); token == "" {
			break
		}
	}
	if strings.Join(ids, "") != "abc" {
		t.Errorf("ids = %v", ids)
	}
	if _, err := client.ListModels(t.Context(), &backendv1.ListModelsRequest{PageToken: "x"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a foreign token: %v", err)
	}
}

func TestUndeclaredMethodsAreUnimplemented(t *testing.T) {
	client := backendtest.Connect(t, scripted{})
	d, err := client.Describe(t.Context(), &backendv1.DescribeRequest{})
	if err != nil || d.GetCapabilities().GetSessions() != nil || d.GetCapabilities().GetChat() != nil || d.GetCapabilities().GetCountTokens() != nil {
		t.Errorf("capabilities = %v, %v", d.GetCapabilities(), err)
	}
	if _, err := client.CountTokens(t.Context(), &backendv1.CountTokensRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("CountTokens: %v", err)
	}
	if _, err := client.ListSessions(t.Context(), &backendv1.ListSessionsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("ListSessions: %v", err)
	}
	if _, err := client.Relieve(t.Context(), &backendv1.RelieveRequest{}); status.Code(err) != codes.Unimplemented || d.GetCapabilities().GetRelief() != nil {
		t.Errorf("Relieve: %v", err)
	}
}

// reliever notes what it is asked to give up.
type reliever struct {
	scripted
	asked chan plugins.Relief
}

func (r reliever) Relieve(_ context.Context, relief plugins.Relief) error {
	r.asked <- relief
	return nil
}

func TestRelief(t *testing.T) {
	r := reliever{asked: make(chan plugins.Relief, 1)}
	client := backendtest.Connect(t, r)
	d, err := client.Describe(t.Context(), &backendv1.DescribeRequest{})
	if err != nil || d.GetCapabilities().GetRelief() == nil {
		t.Errorf("capabilities = %v, %v", d.GetCapabilities(), err)
	}
	for level, want := range map[backendv1.ReliefLevel]plugins.Relief{
		backendv1.ReliefLevel_RELIEF_LEVEL_UNSPECIFIED: plugins.ReliefNone,
		backendv1.ReliefLevel_RELIEF_LEVEL_NONE:        plugins.ReliefNone,
		backendv1.ReliefLevel_RELIEF_LEVEL_SPARES:      plugins.ReliefSpares,
		backendv1.ReliefLevel_RELIEF_LEVEL_IDLE:        plugins.ReliefIdle,
		99:                                             plugins.ReliefNone, // of a later revision
	} {
		if _, err := client.Relieve(t.Context(), &backendv1.RelieveRequest{Level: level}); err != nil {
			t.Fatal(err)
		}
		if got := <-r.asked; got != want {
			t.Errorf("%v arrives as %v, want %v", level, got, want)
		}
	}
}

// TestFutureMessagesAreUnderstood: fields, enum values and oneof members of a
// later revision do no harm.
func TestFutureMessagesAreUnderstood(t *testing.T) {
	start := &backendv1.Start{Mode: 99, ApprovalMode: 99, SandboxMode: 99, Messages: []*backendv1.Message{{Role: 99, Parts: []*backendv1.Part{{}}}}}
	start.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 0x01, 'x'}) // field 1023, one byte
	var got *plugins.Turn
	r := run(t, start, func(_ context.Context, turn *plugins.Turn, _ *plugins.Stream) error { got = turn; return nil })
	if r.Completed == nil || got.Mode != plugins.ModeChat || got.Approval != plugins.ApprovalDefault || got.Sandbox != plugins.SandboxDefault ||
		got.Messages[0].Role != plugins.RoleUser || len(got.Messages[0].Parts) != 0 {
		t.Errorf("turn = %+v, %v %v", got, r.Failed, r.Err)
	}
}
