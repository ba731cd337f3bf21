//go:build unix

package hosttest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// run is the plugin process.
func run(s Script) {
	if s.FaultyStarts > 0 && count(s.Starts) > s.FaultyStarts {
		s.Start, s.Answer = "", ""
	}
	if s.Start == IgnoreShutdown {
		signal.Ignore(syscall.SIGTERM, os.Interrupt)
	} else if os.Getenv(handshake.EnvStdinGuard) == "1" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	misbehave(s)
	serve(&backend{script: s})
	if s.Start == IgnoreShutdown {
		select {}
	}
}

// count adds a start to the file and returns how many there were.
func count(file string) int {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		panic(err)
	}
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	return int(info.Size())
}

func serve(b *backend) {
	cookie := handshake.CookieValue
	if b.script.Start == WrongCookie {
		cookie = "another"
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: handshake.ProtocolVersion, MagicCookieKey: handshake.CookieKey, MagicCookieValue: cookie,
		},
		Plugins: plugin.PluginSet{handshake.PluginSet: &glue{backend: b}},
		Logger:  hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr, JSONFormat: true}),
		GRPCServer: func(base []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(base, grpc.MaxRecvMsgSize(handshake.MaxToPlugin))...)
		},
	})
}

type glue struct {
	plugin.NetRPCUnsupportedPlugin
	backend *backend
}

func (g *glue) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	backendv1.RegisterBackendServiceServer(s, g.backend)
	return nil
}

func (g *glue) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not a client")
}

// backend answers, more or less.
type backend struct {
	backendv1.UnimplementedBackendServiceServer
	script      Script
	environment map[string]string
	settings    string
	kept        kept
}

const huge = 100 << 20

func (b *backend) Describe(ctx context.Context, r *backendv1.DescribeRequest) (*backendv1.DescribeResponse, error) {
	d := &backendv1.DescribeResponse{
		Name: b.script.Name, Version: "1.2.3", Environment: b.script.Environment,
		ConfigSchema: []byte(`{"type": "object"}`), // any
	}
	switch b.script.Answer {
	case HangDescribe:
		select {} // not even the end of the call ends it
	case HugeDescribe:
		d.ConfigSchema = make([]byte, huge)
	case ExitDescribe:
		os.Exit(4)
	case Unimplemented:
		return b.UnimplementedBackendServiceServer.Describe(ctx, r)
	case NoRelieve:
		return d, nil
	default:
	}
	d.Capabilities = &backendv1.Capabilities{
		Chat: &backendv1.ChatCapability{}, Agent: &backendv1.AgentCapability{}, Relief: &backendv1.ReliefCapability{},
	}
	return d, nil
}

func (b *backend) Configure(_ context.Context, r *backendv1.ConfigureRequest) (*backendv1.ConfigureResponse, error) {
	b.environment, b.settings = r.GetEnvironment(), r.GetConfig().String()
	for _, dir := range []string{r.GetStateDir(), r.GetScratchDir()} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			return nil, status.Errorf(codes.Internal, "%s: not private", dir)
		}
	}
	switch b.script.Answer {
	case HangConfigure:
		select {} // not even the end of the call ends it
	case FailConfigure:
		return &backendv1.ConfigureResponse{Diagnostics: []*backendv1.Diagnostic{
			{Severity: backendv1.Severity_SEVERITY_ERROR, Path: "/colour", Summary: "unknown colour"},
		}}, nil
	case WarnConfigure:
		return &backendv1.ConfigureResponse{Diagnostics: []*backendv1.Diagnostic{
			{Severity: backendv1.Severity_SEVERITY_WARNING, Path: "/size", Summary: "rather large"},
		}}, nil
	default:
	}
	b.kept.keep(b.script)
	return &backendv1.ConfigureResponse{}, nil
}

func (b *backend) Relieve(ctx context.Context, r *backendv1.RelieveRequest) (*backendv1.RelieveResponse, error) {
	switch b.script.Answer {
	case NoRelieve:
		return b.UnimplementedBackendServiceServer.Relieve(ctx, r)
	case HangRelieve:
		select {}
	case IgnoreRelieve:
	default:
		b.kept.relieve(b.script, r.GetLevel())
	}
	return &backendv1.RelieveResponse{}, nil
}

func (b *backend) flagged() bool {
	_, err := os.Stat(b.script.Flag)
	return err == nil
}

func (b *backend) Health(_ context.Context, r *backendv1.HealthRequest) (*backendv1.HealthResponse, error) {
	switch {
	case b.script.Answer == HangHealth && b.flagged():
		select {}
	case b.script.Answer == NotInstalled && (!r.GetDeep() || !b.flagged()):
		return &backendv1.HealthResponse{
			State:   backendv1.HealthState_HEALTH_STATE_NOT_INSTALLED,
			Message: "the CLI is not installed", Remedy: "npm install fake",
		}, nil
	case b.script.Answer == HugeHealth && b.flagged():
		return &backendv1.HealthResponse{State: backendv1.HealthState_HEALTH_STATE_READY, Message: strings.Repeat("m", huge/20)}, nil
	}
	return &backendv1.HealthResponse{State: backendv1.HealthState_HEALTH_STATE_READY}, nil
}

func (b *backend) ListModels(_ context.Context, r *backendv1.ListModelsRequest) (*backendv1.ListModelsResponse, error) {
	switch b.script.Answer {
	case HangModels:
		select {}
	case HugeModels:
		return &backendv1.ListModelsResponse{Models: []*backendv1.Model{{Id: "one", Title: strings.Repeat("m", huge/20)}}, NextPageToken: "more"}, nil
	default:
	}
	if r.GetPageToken() == "" { // two pages
		return &backendv1.ListModelsResponse{Models: []*backendv1.Model{{Id: "one", IsDefault: true}}, NextPageToken: "2"}, nil
	}
	return &backendv1.ListModelsResponse{Models: []*backendv1.Model{{Id: "two"}}}, nil
}

func (b *backend) Execute(stream backendv1.BackendService_ExecuteServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	earlyFault(start.GetModel())
	if err := stream.Send(&backendv1.ExecuteResponse{Sequence: 1, Event: &backendv1.ExecuteResponse_Started{Started: &backendv1.Started{}}}); err != nil {
		return err
	}
	text := "ok"
	for _, m := range start.GetMessages() {
		text = m.GetParts()[0].GetText()
	}
	switch start.GetModel() {
	case Block:
		<-stream.Context().Done()
		return stream.Context().Err()
	case Secrets:
		var env []string
		for name, value := range b.environment {
			env = append(env, "configured:"+name+"="+value)
		}
		text = strings.Join(append(env, os.Environ()...), "\n")
	case LeakSecret:
		for _, value := range b.environment {
			_, _ = os.Stderr.WriteString("the key is " + value + "\n")
		}
		_, _ = os.Stderr.WriteString("the settings are " + b.settings + "\n")
		time.Sleep(50 * time.Millisecond) // os.Stderr travels over gRPC; nothing says when it has arrived
		os.Exit(5)
	case HogChild:
		return hogChild(stream, text)
	case HogSelf:
		hold(text)
		<-stream.Context().Done()
		return stream.Context().Err()
	case ForkMany:
		fork(text)
		<-stream.Context().Done()
		return stream.Context().Err()
	default:
		if done, err := streamFault(stream, start.GetModel(), text); done {
			return err
		}
		if answer := disaster(start.GetModel()); answer != "" {
			text = answer
		}
	}
	return finish(stream, text)
}

func finish(stream backendv1.BackendService_ExecuteServer, text string) error {
	for i, e := range []*backendv1.ExecuteResponse{
		{Event: &backendv1.ExecuteResponse_TextDelta{TextDelta: &backendv1.TextDelta{Text: text}}},
		{Event: &backendv1.ExecuteResponse_Completed{Completed: &backendv1.Completed{FinishReason: backendv1.FinishReason_FINISH_REASON_STOP}}},
	} {
		e.Sequence = uint64(i) + 2
		if err := stream.Send(e); err != nil {
			return err
		}
	}
	return nil
}
