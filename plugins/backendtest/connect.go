// Package backendtest runs a backend as the host would, over real gRPC in the
// same process, and collects what a turn yields.
package backendtest

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/clinvk/clinvk/plugins"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// Connect serves b until the test ends and returns a client of it. Closing b is
// the caller's business.
func Connect(tb testing.TB, b plugins.Backend, opts ...plugins.Option) backendv1.BackendServiceClient {
	tb.Helper()
	ln := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(handshake.MaxToPlugin), grpc.MaxSendMsgSize(handshake.MaxFromPlugin))
	backendv1.RegisterBackendServiceServer(server, plugins.NewService(b, opts...))
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	conn, err := grpc.NewClient("passthrough:///backend",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(handshake.MaxFromPlugin), grpc.MaxCallSendMsgSize(handshake.MaxToPlugin)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})
	return backendv1.NewBackendServiceClient(conn)
}

// Result is everything that a turn yielded.
type Result struct {
	Events []*backendv1.ExecuteResponse
	// At holds the time of each event since the call.
	At []time.Duration
	// Text and Reasoning are the concatenated deltas.
	Text, Reasoning string
	// TextDeltas is the number of text deltas.
	TextDeltas int
	Started    *backendv1.Started
	Completed  *backendv1.Completed
	Failed     *backendv1.Failed
	// Err is a broken stream: a non-OK status or a broken rule of the contract.
	Err error
}

// Option changes how Run talks.
type Option func(*runner)

type runner struct {
	onEvent func(*backendv1.ExecuteResponse, backendv1.BackendService_ExecuteClient)
}

// OnEvent is called with each event, before the next is read; it may send.
func OnEvent(f func(*backendv1.ExecuteResponse, backendv1.BackendService_ExecuteClient)) Option {
	return func(r *runner) { r.onEvent = f }
}

// Run executes one turn to its end and checks the rules of the stream: sequence
// without gaps, exactly one terminal event, nothing after it.
func Run(ctx context.Context, client backendv1.BackendServiceClient, start *backendv1.Start, opts ...Option) *Result {
	var o runner
	for _, opt := range opts {
		opt(&o)
	}
	r := &Result{}
	begin := time.Now()
	stream, err := client.Execute(ctx)
	if err == nil {
		err = stream.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Start{Start: start}})
	}
	if err == nil && o.onEvent == nil {
		err = stream.CloseSend()
	}
	if err != nil {
		r.Err = err
		return r
	}
	var text, reasoning strings.Builder
	defer func() { r.Text, r.Reasoning = text.String(), reasoning.String() }()
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if r.Completed == nil && r.Failed == nil {
				r.Err = errors.New("the stream ended without a terminal event")
			}
			return r
		}
		if err != nil {
			r.Err = err
			return r
		}
		if r.Completed != nil || r.Failed != nil {
			r.Err = errors.New("an event after the terminal one")
			return r
		}
		r.Events = append(r.Events, e)
		r.At = append(r.At, time.Since(begin))
		if e.GetSequence() != uint64(len(r.Events)) {
			r.Err = errors.New("a gap in the sequence")
			return r
		}
		switch v := e.GetEvent().(type) {
		case *backendv1.ExecuteResponse_Started:
			r.Started = v.Started
		case *backendv1.ExecuteResponse_TextDelta:
			text.WriteString(v.TextDelta.GetText())
			r.TextDeltas++
		case *backendv1.ExecuteResponse_ReasoningDelta:
			reasoning.WriteString(v.ReasoningDelta.GetText())
		case *backendv1.ExecuteResponse_Completed:
			r.Completed = v.Completed
		case *backendv1.ExecuteResponse_Failed:
			r.Failed = v.Failed
		}
		if o.onEvent != nil {
			o.onEvent(e, stream)
		}
	}
}
