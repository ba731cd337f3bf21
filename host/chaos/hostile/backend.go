package hostile

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// serve answers until the host has gone.
func serve(gone context.Context, ln net.Listener, mode Mode) error {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(handshake.MaxToPlugin))
	backendv1.RegisterBackendServiceServer(s, &backend{mode: mode})
	alive := health.NewServer()
	alive.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s, alive)
	defer context.AfterFunc(gone, s.Stop)()
	if err := s.Serve(ln); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// backend answers with the text of the prompt, in its mode.
type backend struct {
	backendv1.UnimplementedBackendServiceServer
	mode  Mode
	turns atomic.Uint64
}

func (b *backend) Describe(context.Context, *backendv1.DescribeRequest) (*backendv1.DescribeResponse, error) {
	return &backendv1.DescribeResponse{
		Name: b.mode.Name(), Version: "1.0.0",
		Capabilities: &backendv1.Capabilities{Chat: &backendv1.ChatCapability{}},
	}, nil
}

func (*backend) Configure(context.Context, *backendv1.ConfigureRequest) (*backendv1.ConfigureResponse, error) {
	return &backendv1.ConfigureResponse{}, nil
}

func (*backend) Health(context.Context, *backendv1.HealthRequest) (*backendv1.HealthResponse, error) {
	return &backendv1.HealthResponse{State: backendv1.HealthState_HEALTH_STATE_READY}, nil
}

func (*backend) ListModels(context.Context, *backendv1.ListModelsRequest) (*backendv1.ListModelsResponse, error) {
	return &backendv1.ListModelsResponse{Models: []*backendv1.Model{{Id: "default", IsDefault: true}, {Id: slow}}}, nil
}

// slow is the model that takes slowTime between its text and its end.
const (
	slow     = "slow"
	slowTime = 2 * time.Second
)

func (b *backend) Execute(stream backendv1.BackendService_ExecuteServer) error {
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	events := answer(prompt(r.GetStart()))
	switch b.mode {
	case Flood:
		flood()
	case Garble:
		events = garble(events, b.turns.Add(1))
	default: // it behaves
	}
	for i, e := range events {
		if i == len(events)-1 && r.GetStart().GetModel() == slow {
			select {
			case <-time.After(slowTime):
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
		if err := stream.Send(e); err != nil {
			return err
		}
	}
	return nil
}

func prompt(start *backendv1.Start) string {
	messages := start.GetMessages()
	if len(messages) == 0 {
		return ""
	}
	var text strings.Builder
	for _, p := range messages[len(messages)-1].GetParts() {
		text.WriteString(p.GetText())
	}
	return text.String()
}

// answer is a good turn: it starts, speaks and completes.
func answer(text string) []*backendv1.ExecuteResponse {
	return []*backendv1.ExecuteResponse{
		{Sequence: 1, Event: &backendv1.ExecuteResponse_Started{Started: &backendv1.Started{Model: "default"}}},
		{Sequence: 2, Event: &backendv1.ExecuteResponse_TextDelta{TextDelta: &backendv1.TextDelta{Text: text}}},
		{Sequence: 3, Event: &backendv1.ExecuteResponse_Completed{Completed: &backendv1.Completed{FinishReason: backendv1.FinishReason_FINISH_REASON_STOP}}},
	}
}

// Garbled is how many ways to break a stream there are.
const Garbled = 5

// garble breaks a turn in the n-th way.
func garble(events []*backendv1.ExecuteResponse, n uint64) []*backendv1.ExecuteResponse {
	started, text, completed := events[0], events[1], events[2]
	switch n % Garbled {
	case 0: // a gap
		text.Sequence, completed.Sequence = 7, 8
	case 1: // backwards
		text.Sequence, completed.Sequence = 1, 2
	case 2: // no end
		return []*backendv1.ExecuteResponse{started, text}
	case 3: // larger than the host takes
		text.GetTextDelta().Text = strings.Repeat("x", handshake.MaxFromPlugin+1)
	case 4: // no beginning, no end
		return nil
	}
	return events
}
