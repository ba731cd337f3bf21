package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// contractRevision is the minor revision of the contract that this SDK speaks.
const contractRevision = 2

// service adapts a Backend to the contract.
type service struct {
	backendv1.UnimplementedBackendServiceServer
	backend Backend
	version string
	log     hclog.Logger
}

// guard turns a panic of the backend into the error of one call.
func (s *service) guard(call string, err *error) {
	if r := recover(); r != nil {
		s.log.Error("backend panicked", "call", call, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		*err = Errorf(CodeInternal, "the plugin panicked in %s: %v", call, r)
	}
}

func (s *service) Describe(context.Context, *backendv1.DescribeRequest) (r *backendv1.DescribeResponse, err error) {
	defer s.guard("Describe", &err)
	return describe(s.backend, s.version), nil
}

func (s *service) Configure(ctx context.Context, req *backendv1.ConfigureRequest) (r *backendv1.ConfigureResponse, err error) {
	defer s.guard("Configure", &err)
	r = &backendv1.ConfigureResponse{}
	b, ok := s.backend.(Configurer)
	if !ok {
		return r, nil
	}
	c := Config{
		StateDir: req.GetStateDir(), ScratchDir: req.GetScratchDir(),
		Environment: req.GetEnvironment(), Command: req.GetCommand(), Warm: -1,
	}
	if req.Warm != nil {
		c.Warm = int(req.GetWarm())
	}
	if req.GetConfig() != nil {
		if c.Settings, err = json.Marshal(req.GetConfig().AsMap()); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "config: %v", err)
		}
	}
	for _, d := range b.Configure(ctx, c) {
		r.Diagnostics = append(r.Diagnostics, &backendv1.Diagnostic{
			Severity: backendv1.Severity(d.Severity), Path: valid(d.Path), Summary: valid(d.Summary), Detail: valid(d.Detail),
		})
	}
	return r, nil
}

func (s *service) Health(ctx context.Context, req *backendv1.HealthRequest) (r *backendv1.HealthResponse, err error) {
	defer s.guard("Health", &err)
	h, err := s.backend.Health(ctx, req.GetDeep())
	if err != nil {
		return nil, err
	}
	return &backendv1.HealthResponse{
		State: backendv1.HealthState(h.State), Message: valid(h.Message), Remedy: valid(h.Remedy), Versions: h.Versions,
	}, nil
}

func (s *service) ListModels(ctx context.Context, req *backendv1.ListModelsRequest) (r *backendv1.ListModelsResponse, err error) {
	defer s.guard("ListModels", &err)
	models, err := s.backend.Models(ctx)
	if err != nil {
		return nil, err
	}
	from, to, next, err := page(len(models), req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	r = &backendv1.ListModelsResponse{NextPageToken: next}
	for _, m := range models[from:to] {
		r.Models = append(r.Models, modelToProto(m))
	}
	return r, nil
}

func (s *service) CountTokens(ctx context.Context, req *backendv1.CountTokensRequest) (r *backendv1.CountTokensResponse, err error) {
	defer s.guard("CountTokens", &err)
	b, ok := s.backend.(TokenCounter)
	if !ok {
		return s.UnimplementedBackendServiceServer.CountTokens(ctx, req)
	}
	tokens, estimated, err := b.CountTokens(ctx, &Turn{
		Model: req.GetModel(), Mode: ModeChat, System: req.GetSystem(),
		Messages: messagesFromProto(req.GetMessages()), Tools: toolsFromProto(req.GetTools()),
	})
	if err != nil {
		return nil, err
	}
	return &backendv1.CountTokensResponse{InputTokens: tokens, Estimated: estimated}, nil
}

func (s *service) ListSessions(ctx context.Context, req *backendv1.ListSessionsRequest) (r *backendv1.ListSessionsResponse, err error) {
	defer s.guard("ListSessions", &err)
	b, ok := s.backend.(SessionLister)
	if !ok {
		return s.UnimplementedBackendServiceServer.ListSessions(ctx, req)
	}
	sessions, err := b.ListSessions(ctx, req.GetWorkingDir())
	if err != nil {
		return nil, err
	}
	from, to, next, err := page(len(sessions), req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	r = &backendv1.ListSessionsResponse{NextPageToken: next}
	for _, i := range sessions[from:to] {
		r.Sessions = append(r.Sessions, &backendv1.SessionInfo{Token: i.Token, Title: valid(i.Title), WorkingDir: valid(i.WorkingDir), UpdateTime: timeToProto(i.Updated)})
	}
	return r, nil
}

func (s *service) DeleteSession(ctx context.Context, req *backendv1.DeleteSessionRequest) (r *backendv1.DeleteSessionResponse, err error) {
	defer s.guard("DeleteSession", &err)
	b, ok := s.backend.(SessionLister)
	if !ok {
		return s.UnimplementedBackendServiceServer.DeleteSession(ctx, req)
	}
	return &backendv1.DeleteSessionResponse{}, b.DeleteSession(ctx, req.GetToken())
}

func (s *service) Relieve(ctx context.Context, req *backendv1.RelieveRequest) (r *backendv1.RelieveResponse, err error) {
	defer s.guard("Relieve", &err)
	b, ok := s.backend.(Reliever)
	if !ok {
		return s.UnimplementedBackendServiceServer.Relieve(ctx, req)
	}
	relief := ReliefNone
	if l := Relief(req.GetLevel()); l == ReliefSpares || l == ReliefIdle {
		relief = l
	}
	return &backendv1.RelieveResponse{}, b.Relieve(ctx, relief)
}

func (s *service) Preview(ctx context.Context, req *backendv1.PreviewRequest) (r *backendv1.PreviewResponse, err error) {
	defer s.guard("Preview", &err)
	b, ok := s.backend.(Previewer)
	if !ok {
		return s.UnimplementedBackendServiceServer.Preview(ctx, req)
	}
	p, err := b.Preview(ctx, turnFromProto(req.GetStart()))
	if err != nil {
		return nil, err
	}
	r = &backendv1.PreviewResponse{WorkingDir: valid(p.WorkingDir)}
	for _, a := range p.CommandLine {
		r.CommandLine = append(r.CommandLine, valid(a))
	}
	for _, name := range p.Environment {
		r.Environment = append(r.Environment, valid(name))
	}
	return r, nil
}

// Execute runs one turn. Whatever the backend does, the stream ends with exactly
// one terminal event and an OK status, unless the host is gone.
func (s *service) Execute(rpc backendv1.BackendService_ExecuteServer) error {
	first, err := rpc.Recv()
	if errors.Is(err, io.EOF) {
		return status.Error(codes.InvalidArgument, "the first message must be start")
	}
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return status.Error(codes.InvalidArgument, "the first message must be start")
	}
	turn := turnFromProto(start)
	out := newStream(rpc.Context(), rpc.Send)
	interrupted := make(chan struct{})
	turn.Interrupted = interrupted
	// The reader ends with the call: gRPC fails Recv when the handler returns.
	go listen(rpc, out, interrupted)
	if !start.GetCanApprove() {
		out.approvals.close()
	}

	ctx := rpc.Context()
	if turn.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, turn.Timeout, timeoutError(turn.Timeout))
		defer cancel()
	}
	return out.end(s.run(ctx, turn, out))
}

func timeoutError(d time.Duration) *Error {
	return &Error{Code: CodeTimeout, Message: fmt.Sprintf("the turn took longer than its limit of %v", d), Err: context.DeadlineExceeded}
}

func (s *service) run(ctx context.Context, turn *Turn, out *Stream) (err error) {
	defer s.guard("Execute", &err)
	err = s.backend.Execute(ctx, turn, out)
	if err != nil && ctx.Err() != nil {
		if e, ok := errors.AsType[*Error](context.Cause(ctx)); ok {
			return e
		}
	}
	return err
}

// listen takes in what the host sends after the start.
func listen(rpc backendv1.BackendService_ExecuteServer, out *Stream, interrupted chan struct{}) {
	defer out.approvals.close()
	soft := false
	for {
		m, err := rpc.Recv()
		if err != nil {
			return
		}
		switch in := m.GetInput().(type) {
		case *backendv1.ExecuteRequest_Approval:
			out.approvals.decide(in.Approval)
		case *backendv1.ExecuteRequest_Interrupt:
			if !soft {
				soft = true
				close(interrupted)
			}
		}
	}
}
