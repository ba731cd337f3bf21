package engine

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// fakeBackends serves backends that are functions, over real gRPC in process.
type fakeBackends struct {
	t *testing.T

	mu       sync.Mutex
	infos    map[string]BackendInfo
	order    []string
	procs    map[string]*process
	acquired int
	released int
	pressure string // of all backends
	changed  chan struct{}
	stopped  string // why the host stopped something of a process
	previews func(*backendv1.Start) (*backendv1.PreviewResponse, error)
}

// Restart starts none: the fakes are functions.
func (f *fakeBackends) Restart(context.Context, string) error { return nil }

// process is one generation of a backend.
type process struct {
	generation uint64
	client     backendv1.BackendServiceClient
	server     *grpc.Server
	exited     chan struct{}
	once       sync.Once
}

// kill ends the process as a SIGKILL would.
func (p *process) kill() {
	p.once.Do(func() {
		close(p.exited)
		p.server.Stop()
	})
}

type executeFunc func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error

type fakeService struct {
	backendv1.UnimplementedBackendServiceServer
	fakes   *fakeBackends
	execute executeFunc
}

func (f *fakeService) Preview(_ context.Context, r *backendv1.PreviewRequest) (*backendv1.PreviewResponse, error) {
	return f.fakes.previews(r.GetStart())
}

func (f *fakeService) Execute(s backendv1.BackendService_ExecuteServer) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	return f.execute(m.GetStart(), s)
}

func newFakes(t *testing.T) *fakeBackends {
	f := &fakeBackends{t: t, infos: map[string]BackendInfo{}, procs: map[string]*process{}, changed: make(chan struct{})}
	t.Cleanup(func() {
		for _, p := range f.procs {
			p.kill()
		}
		if f.acquired != f.released {
			t.Errorf("%d leases, %d released", f.acquired, f.released)
		}
	})
	return f
}

// add starts (or restarts) a backend.
func (f *fakeBackends) add(name string, caps *backendv1.Capabilities, execute executeFunc, models ...string) *process {
	f.t.Helper()
	ln := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	backendv1.RegisterBackendServiceServer(server, &fakeService{fakes: f, execute: execute})
	go func() { _ = server.Serve(ln) }()
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &process{client: backendv1.NewBackendServiceClient(conn), server: server, exited: make(chan struct{}), generation: 1}
	if old := f.procs[name]; old != nil {
		p.generation = old.generation + 1
	} else {
		f.order = append(f.order, name)
	}
	f.procs[name] = p
	if caps == nil {
		caps = &backendv1.Capabilities{Chat: &backendv1.ChatCapability{}}
	}
	info := BackendInfo{
		Name: name, State: "ready", Serving: true,
		Describe: &backendv1.DescribeResponse{Name: name, Capabilities: caps},
		Health:   &backendv1.HealthResponse{State: backendv1.HealthState_HEALTH_STATE_READY},
	}
	for i, m := range models {
		info.Models = append(info.Models, &backendv1.Model{Id: m, IsDefault: i == 0})
	}
	f.infos[name] = info
	return p
}

func (f *fakeBackends) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.order...)
}

func (f *fakeBackends) Info(name string) (BackendInfo, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.infos[name]
	return i, ok
}

func (f *fakeBackends) Acquire(_ context.Context, name string) (Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.procs[name]
	if p == nil {
		return nil, errors.New("no such backend")
	}
	f.acquired++
	return &fakeLease{fakes: f, process: p}, nil
}

// press changes what Pressure tells.
func (f *fakeBackends) press(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pressure = reason
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeBackends) Pressure(string) (string, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pressure, f.changed
}

type fakeLease struct {
	fakes   *fakeBackends
	process *process
	once    sync.Once
}

func (l *fakeLease) Client() backendv1.BackendServiceClient { return l.process.client }
func (l *fakeLease) Generation() uint64                     { return l.process.generation }
func (l *fakeLease) Exited() <-chan struct{}                { return l.process.exited }
func (l *fakeLease) Exit() (int, string, string)            { return -1, "killed", "last words" }
func (l *fakeLease) Stopped() (string, time.Time) {
	l.fakes.mu.Lock()
	defer l.fakes.mu.Unlock()
	return l.fakes.stopped, time.Now()
}
func (l *fakeLease) Release() {
	l.once.Do(func() {
		l.fakes.mu.Lock()
		defer l.fakes.mu.Unlock()
		l.fakes.released++
	})
}

// script is a backend that sends events, numbered.
func script(events ...*backendv1.ExecuteResponse) executeFunc {
	return func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		for i, e := range events {
			if e.Sequence == 0 {
				e.Sequence = uint64(i + 1)
			}
			if err := s.Send(e); err != nil {
				return err
			}
		}
		return nil
	}
}

func started() *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Started{Started: &backendv1.Started{}}}
}

func delta(text string) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_TextDelta{TextDelta: &backendv1.TextDelta{Text: text}}}
}

func completed(live string) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Completed{Completed: &backendv1.Completed{LiveToken: []byte(live)}}}
}

func failed(code backendv1.ErrorCode) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Failed{Failed: &backendv1.Failed{Code: code, Message: "it failed"}}}
}

func say(text string) []Message {
	return []Message{{Role: RoleUser, Parts: []Part{Text(text)}}}
}

// run executes a turn and collects it.
func run(t *testing.T, e *Engine, turn *Turn) (*Answer, *Error) {
	t.Helper()
	x, err := e.Execute(t.Context(), turn)
	if err != nil {
		return nil, AsError(err)
	}
	defer x.Close()
	a, err := Collect(x)
	return a, AsError(err)
}
