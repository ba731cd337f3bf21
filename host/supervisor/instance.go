package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	goplugin "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/runner"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// instance is one plugin process with the connection to it.
type instance struct {
	name       string
	entry      catalog.Entry // as it was read for this process; SHA256 is what runs
	settings   Settings      // that it was started with
	generation uint64
	log        *slog.Logger
	process    *runner.Process
	conn       *grpc.ClientConn
	backend    backendv1.BackendServiceClient
	liveness   grpc_health_v1.HealthClient
	dir        string // private; removed with the process
	stdio      sync.WaitGroup
	lost       chan struct{} // closed when the connection broke
	lose       func()
	walls      *walls
	asked      asked

	mu     sync.Mutex
	leases int
	idle   chan struct{} // closed when leases is 0 and closing
	closed bool          // gives no more leases
	blames blame
}

// blame is why something of an instance was stopped by the host.
type blame struct {
	reason string
	at     time.Time
}

// launch starts a process and connects to it. ctx bounds the start only. When it
// fails nothing is left.
func launch(ctx context.Context, e catalog.Entry, policy Policy, generation uint64, dir string, log *slog.Logger, w *walls) (*instance, error) {
	e = e.Reload()
	program, err := e.Open()
	if err != nil {
		return nil, refused(err)
	}
	defer program.Close()
	trust, err := policy.Admit(ctx, e, program.SHA256)
	if err != nil {
		return nil, refused(err)
	}
	plain := e.Transport() == catalog.TransportPlain
	if plain && runtime.GOOS == "windows" {
		// There the plugin listens on a port that every local user can connect to.
		return nil, refused(errors.New("the plain transport needs Unix sockets with a private directory"))
	}
	e.SHA256, e.Trust = program.SHA256, trust
	i := &instance{
		name: e.Name, entry: e, generation: generation, log: log, dir: dir, walls: w,
		asked: asked{level: backendv1.ReliefLevel_RELIEF_LEVEL_NONE},
		idle:  make(chan struct{}), lost: make(chan struct{}),
	}
	_, limits := w.watched()
	i.lose = sync.OnceFunc(func() { close(i.lost) })
	environment, secure, err := mutualTLS(plain)
	if err != nil {
		return nil, failedStart(err)
	}
	config := &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: handshake.ProtocolVersion, MagicCookieKey: handshake.CookieKey, MagicCookieValue: handshake.CookieValue,
		},
		Plugins:          plugin.PluginSet{handshake.PluginSet: &plugin.NetRPCUnsupportedPlugin{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		SkipHostEnv:      true,
		TLSConfig:        secure,
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: dir},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, dir string) (goplugin.Runner, error) {
			i.process = runner.New(runner.Config{
				Name: e.Name, Path: program.Path, File: program.File, Args: program.Args, Dir: program.Dir,
				Env: append(cmd.Env, environment...), SocketDir: dir, Plain: plain, Logger: log,
				MaxMemory: limits.memory, MaxProcesses: limits.processes,
			})
			w.watch(i)
			return bound{i.process, ctx}, nil
		},
	}
	if deadline, ok := ctx.Deadline(); ok {
		config.StartTimeout = time.Until(deadline)
	}
	if err := start(config); err != nil {
		i.discard(ctx)
		return nil, failedStart(err)
	}
	if err := program.Unchanged(); err != nil {
		i.discard(ctx)
		return nil, failedStart(err)
	}
	// go-plugin makes the certificates and agrees on the version. The connection is
	// ours: its own one cannot be bounded, and leaks goroutines when it cannot be made.
	if err := i.connect(config); err != nil {
		i.discard(ctx)
		return nil, failedStart(err)
	}
	i.readStdio()
	return i, nil
}

// bound binds the start of a process to the supervisor's context: go-plugin makes
// up one of its own.
type bound struct {
	*runner.Process
	launching context.Context //nolint:containedctx // go-plugin's interface passes none through
}

func (b bound) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.launching, cancel)()
	return b.Process.Start(ctx)
}

// start runs go-plugin's handshake. The runner keeps from it all that is known to
// make it panic; the recover is for what is not known.
func start(config *plugin.ClientConfig) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("go-plugin panicked: %v", r)
		}
	}()
	_, err = plugin.NewClient(config).Start()
	return err
}

// discard ends what a failed start left.
func (i *instance) discard(ctx context.Context) {
	i.kill(ctx)
	i.release()
}

// killTime bounds the wait for a killed process. Only a process stuck in the
// kernel takes longer, and nobody can help that one.
const killTime = 5 * time.Second

// kill ends the process also when ctx has ended.
func (i *instance) kill(ctx context.Context) {
	if i.process == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	if err := i.process.Kill(ctx); err != nil {
		i.log.Error("a plugin process does not die", "pid", i.process.PID(), "error", err)
	}
}

// lingerTime is how long streams of a process that is gone may take to deliver
// what it had sent.
const lingerTime = 5 * time.Second

// linger waits until the leases are released, at most lingerTime and until ctx
// ends, and then releases what is left. Closing the connection at once would cut
// answers short that the process has sent to their end.
func (i *instance) linger(ctx context.Context) {
	i.close()
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	select {
	case <-i.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
	i.release()
}

// release frees what belongs to a process that is gone.
func (i *instance) release() {
	i.walls.forget(i)
	if i.conn != nil {
		_ = i.conn.Close() // the other end is gone
		i.stdio.Wait()
	}
	if err := os.RemoveAll(i.dir); err != nil {
		i.log.Warn("removing the directory of a process", "error", err)
	}
}

// stop ends the process: politely within limit, then by force.
func (i *instance) stop(ctx context.Context, limit time.Duration) {
	i.close()
	polite, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	i.shutdown(polite)
	i.kill(ctx)
	i.linger(ctx)
}

// close gives no more leases.
func (i *instance) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed {
		i.closed = true
		if i.leases == 0 {
			close(i.idle)
		}
	}
}

// drain closes the instance and waits until its leases are released, its process
// is gone, or ctx ends; it returns how many leases are left.
func (i *instance) drain(ctx context.Context) int {
	i.close()
	select {
	case <-i.idle:
	case <-i.process.Done():
	case <-ctx.Done():
	}
	return i.inUse()
}

func (i *instance) inUse() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.leases
}

// lease takes a lease, unless the instance is closing or its process is going or
// gone.
func (i *instance) lease() (*Lease, bool) {
	select {
	case <-i.process.Done():
		return nil, false
	case <-i.lost:
		return nil, false
	default:
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, false
	}
	i.leases++
	return &Lease{instance: i}, true
}

func (i *instance) returned() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.leases--
	if i.closed && i.leases == 0 {
		close(i.idle)
	}
}

// blame remembers why something of this instance was stopped by the host.
func (i *instance) blame(reason string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.blames = blame{reason, time.Now()}
}

// blamed is the last such reason; empty: there was none.
func (i *instance) blamed() (reason string, at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.blames.reason, i.blames.at
}

// Lease is one use of one plugin process. Its methods may be called concurrently.
type Lease struct {
	instance *instance
	once     sync.Once
}

// Client calls the plugin.
func (l *Lease) Client() backendv1.BackendServiceClient { return l.instance.backend }

// Generation is different for every process of the backend: what one process
// keeps in memory is unknown to the next.
func (l *Lease) Generation() uint64 { return l.instance.generation }

// Exited is closed when the process is gone. Streams of calls fail a little
// earlier, when the kernel closes the socket.
func (l *Lease) Exited() <-chan struct{} { return l.instance.process.Done() }

// Exit says how the process ended; valid after Exited is closed.
func (l *Lease) Exit() Exit { return l.instance.process.Exit() }

// Stopped says why and when the host last stopped something that this process
// started, or itself, for using too much; empty: it did not.
func (l *Lease) Stopped() (reason string, at time.Time) { return l.instance.blamed() }

// Release gives the lease back; further calls do nothing. The caller has ended
// its calls before.
func (l *Lease) Release() { l.once.Do(l.instance.returned) }
