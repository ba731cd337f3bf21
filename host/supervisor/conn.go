package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// Methods of go-plugin's own services. Their generated code is internal to it;
// their messages are empty, or read by field number below.
const (
	methodShutdown = "/plugin.GRPCController/Shutdown"
	methodStdio    = "/plugin.GRPCStdio/StreamStdio"
)

// livenessService is the name under which go-plugin serves grpc.health.v1.
const livenessService = "plugin"

// Bounds of answers that are kept, in bytes: what a plugin says of itself is shown
// with every request for the state of backends.
const (
	maxDescribe = 1 << 20
	maxReport   = 64 << 10 // of Health and Configure
	maxModels   = 1 << 20  // of one page
	maxHeaders  = 64 << 10
)

// connect makes the connection that all calls use. There is no keepalive: it ends
// turns in which a model thinks, and polls find a dead plugin as well.
func (i *instance) connect(config *plugin.ClientConfig) error {
	creds := insecure.NewCredentials()
	if config.TLSConfig != nil {
		creds = credentials.NewTLS(config.TLSConfig)
	}
	conn, err := grpc.NewClient("passthrough:///"+i.name,
		grpc.WithContextDialer(i.dial),
		grpc.WithTransportCredentials(creds),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(handshake.MaxFromPlugin),
			grpc.MaxCallSendMsgSize(handshake.MaxToPlugin),
		),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 5 * time.Second}),
		grpc.WithInitialWindowSize(handshake.StreamWindow),
		grpc.WithInitialConnWindowSize(handshake.ConnectionWindow),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // a turn may have had effects; what is repeated is decided elsewhere
	)
	if err != nil {
		return fmt.Errorf("setting up the connection: %w", err)
	}
	i.conn = conn
	i.backend = backendv1.NewBackendServiceClient(conn)
	i.liveness = grpc_health_v1.NewHealthClient(conn)
	return nil
}

func (i *instance) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := i.process.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return watchedConn{Conn: conn, lose: i.lose}, nil
}

// watchedConn tells that the connection is lost before gRPC learns it: whoever
// sees a call fail and asks for another lease must not get the dying process.
type watchedConn struct {
	net.Conn
	lose func()
}

func (c watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.lose()
	}
	return n, err
}

func (c watchedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.lose()
	}
	return n, err
}

// shutdown asks the plugin to end and waits until it has or ctx ends. Plugins in
// other languages may know only the end of stdin.
func (i *instance) shutdown(ctx context.Context) {
	if err := i.conn.Invoke(ctx, methodShutdown, &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
		i.process.CloseStdin() // often it has ended before it could answer, then this changes nothing
	}
	select {
	case <-i.process.Done():
	case <-ctx.Done():
	}
}

// readStdio logs what a Go plugin writes to os.Stdout and os.Stderr: go-plugin
// carries it over gRPC, and a plugin whose output nobody takes blocks. It ends
// with the connection.
func (i *instance) readStdio() {
	pipes := map[uint64]*io.PipeWriter{}
	for channel, stream := range map[uint64]string{1: "stdout", 2: "stderr"} {
		r, w := io.Pipe()
		pipes[channel] = w
		i.stdio.Go(func() { i.process.Printed(stream, r) })
	}
	i.stdio.Go(func() {
		defer func() {
			for _, w := range pipes {
				_ = w.Close() // never fails
			}
		}()
		i.copyStdio(pipes)
	})
}

func (i *instance) copyStdio(pipes map[uint64]*io.PipeWriter) {
	stream, err := i.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, methodStdio)
	if err != nil || stream.SendMsg(&emptypb.Empty{}) != nil || stream.CloseSend() != nil {
		return // the connection is gone, which others notice
	}
	for {
		// The message is read as one without fields; what it has arrives as unknown.
		m := &emptypb.Empty{}
		if stream.RecvMsg(m) != nil {
			return
		}
		channel, data, err := stdioData(m.ProtoReflect().GetUnknown())
		if w := pipes[channel]; err == nil && w != nil {
			_, _ = w.Write(data) // fails only when the reader has ended, then nobody cares
		}
	}
}

// stdioData reads go-plugin's StdioData: enum channel = 1, bytes data = 2.
func stdioData(b []byte) (channel uint64, data []byte, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, nil, protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case number == 1 && kind == protowire.VarintType:
			channel, n = protowire.ConsumeVarint(b)
		case number == 2 && kind == protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return 0, nil, protowire.ParseError(n)
		}
		b = b[n:]
	}
	if channel == 0 {
		return 0, nil, errors.New("no channel")
	}
	return channel, data, nil
}
