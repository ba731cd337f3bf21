package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/clinvk/clinvk/proto/handshake"
)

// drainTime is how long the output is read after the process and all that carry
// its mark are gone: whoever else holds the pipes must not hold us.
const drainTime = 100 * time.Millisecond

// Config describes a plugin process.
type Config struct {
	// Name of the backend, for texts.
	Name string
	// Path of the program; absolute.
	Path string
	// File is the open program; on Linux it is executed instead of Path, so that
	// what was checked is what runs. Nil: Path is. The caller closes it after Start.
	File *os.File
	// Args without the program's name.
	Args []string
	// Dir is the working directory; empty: SocketDir.
	Dir string
	// Env is added to the allowed part of the host's environment; it holds what
	// go-plugin tells its plugins. Never put secrets here.
	Env []string
	// SocketDir is the private directory in which the plugin must listen.
	SocketDir string
	// Plain means a transport without TLS.
	Plain bool
	// Logger gets what the plugin prints; nil: nobody does.
	Logger *slog.Logger
	// MaxMemory in bytes and MaxProcesses of the plugin with all that it starts; 0:
	// any number. On Windows they are kept exactly; on Linux with cgroups they are
	// behind a margin, for what a Meter is too slow to see; elsewhere they are not kept.
	MaxMemory    int64
	MaxProcesses int
}

// walls are what a tree of processes may use; 0: anything.
type walls struct {
	instance  string
	memory    int64
	processes int
}

// Process is one run of a plugin. It is started once. Its methods may be called
// concurrently after Start has returned; Kill also during it.
type Process struct {
	config   Config
	instance string
	out      *output

	mu     sync.Mutex
	cmd    *exec.Cmd // set when the process runs
	killed bool
	reaped bool // the pid may be somebody else's from now on
	tree   tree

	offer offer // valid after Start
	stdin *os.File
	done  chan struct{}
	exit  Exit
}

var _ runner.Runner = (*Process)(nil)

// New prepares a process. Nothing is started yet.
func New(c Config) *Process {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dir == "" {
		c.Dir = c.SocketDir
	}
	return &Process{config: c, instance: newInstance(), out: newOutput(c.Logger), done: make(chan struct{})}
}

// Start runs the program and returns when its handshake is read and found good,
// or with a *StartError, the process then being gone. ctx bounds both.
func (p *Process) Start(ctx context.Context) error {
	line, err := p.spawn()
	if err != nil {
		return err
	}
	var first firstLine
	select {
	case first = <-line:
	case <-ctx.Done():
		p.end(ctx)
		return &StartError{Reason: "it did not print its handshake in time", Exit: p.ended()}
	}
	if first.err == nil {
		p.offer, err = parseHandshake(first.text, expected{name: p.config.Name, dir: p.config.SocketDir, plain: p.config.Plain})
		if err == nil {
			return nil
		}
	}
	return p.refuse(ctx, first, err)
}

// refuse ends a process that printed no good handshake and says why.
func (p *Process) refuse(ctx context.Context, first firstLine, err error) error {
	e := &StartError{}
	switch {
	case errors.As(err, &e):
	case errors.Is(first.err, bufio.ErrBufferFull):
		e = &StartError{
			Reason: fmt.Sprintf("it printed more than %d KiB to stdout without a newline, beginning with %s", maxHandshake>>10, excerpt(first.text)),
			Remedy: "a plugin's first line on stdout is its handshake: log to stderr instead",
		}
	default: // the end of its stdout, and so most likely its own
		byItself := p.await(ctx, exitTime)
		p.end(ctx)
		if !byItself {
			return &StartError{Reason: "it closed its stdout without a handshake", Exit: p.ended()}
		}
		reason := fmt.Sprintf("it ended (%s) before its handshake", p.exit)
		if first.text != "" {
			reason += fmt.Sprintf(", after printing %s", excerpt(first.text))
		}
		return &StartError{Reason: reason, Exit: p.ended()}
	}
	p.end(ctx)
	e.Exit = p.ended()
	return e
}

// killTime bounds the wait for a killed process. Only one that is stuck in the
// kernel takes longer.
const killTime = 5 * time.Second

// end kills the process also when ctx has ended.
func (p *Process) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	if err := p.Kill(ctx); err != nil {
		p.config.Logger.Error("a plugin process does not die", "pid", p.PID(), "error", err)
	}
}

// exitTime is how long a process may take to end after it closed its stdout.
const exitTime = time.Second

func (p *Process) await(ctx context.Context, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (p *Process) ended() *Exit {
	select {
	case <-p.done:
		exit := p.exit
		return &exit
	default:
		return nil
	}
}

// firstLine is the first line of stdout, or why there is none.
type firstLine struct {
	text string
	err  error
}

// spawn starts the process and everything that watches it.
func (p *Process) spawn() (<-chan firstLine, error) {
	pipes, err := newPipes()
	if err != nil {
		return nil, &StartError{Reason: "no pipes could be made for it", Err: err}
	}
	cmd := &exec.Cmd{
		Path: p.config.Path, Args: append([]string{p.config.Path}, p.config.Args...), Dir: p.config.Dir, Env: p.environment(),
		Stdin: pipes.inR, Stdout: pipes.outW, Stderr: pipes.errW,
	}
	if p.config.File != nil {
		cmd.Path = executable(p.config.File, p.config.Path)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		pipes.close()
		return nil, &StartError{Reason: "it was stopped before it ran"}
	}
	if err := p.tree.start(cmd, walls{p.instance, p.config.MaxMemory, p.config.MaxProcesses}); err != nil {
		pipes.close()
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			pathError.Path = p.config.Path // not the name of a descriptor
		}
		return nil, &StartError{
			Reason: "it cannot be run", Err: err,
			Permanent: errors.Is(err, syscall.ENOEXEC) || errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist),
			Remedy:    "check that it is a program for this system",
		}
	}
	p.cmd = cmd
	pipes.closeChildEnds()
	p.stdin = pipes.inW

	line := make(chan firstLine, 1)
	var pumps sync.WaitGroup
	pumps.Go(func() { p.readStdout(pipes.outR, line) })
	pumps.Go(func() { p.out.consume("stderr", pipes.errR) })
	go p.reap(&pumps, pipes)
	return line, nil
}

// environment is the whole environment of the process.
func (p *Process) environment() []string {
	env := append(environment(), p.config.Env...)
	return append(env, handshake.EnvInstance+"="+p.instance, handshake.EnvStdinGuard+"=1")
}

// readStdout hands over the first line and logs the rest: a pipe that nobody
// reads would block the plugin.
func (p *Process) readStdout(r io.Reader, first chan<- firstLine) {
	lines := bufio.NewReaderSize(r, maxHandshake)
	text, err := lines.ReadSlice('\n')
	first <- firstLine{string(text), err}
	p.out.consume("stdout", lines)
}

// reap waits for the end, ends what the process left behind and takes what is
// left of its output.
func (p *Process) reap(pumps *sync.WaitGroup, pipes *pipes) {
	p.tree.await(p.cmd)
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	p.tree.kill(p.cmd) // the pid is still ours where await does not reap
	_ = p.cmd.Wait()   // the state tells all that matters
	sweepInstance(p.instance)
	timer := time.AfterFunc(drainTime, pipes.close)
	pumps.Wait()
	timer.Stop()
	pipes.close()
	p.tree.close()
	p.exit = exitOf(p.cmd.ProcessState)
	p.exit.StderrTail = p.out.tail()
	close(p.done)
}

func exitOf(state *os.ProcessState) Exit {
	e := Exit{Code: state.ExitCode()}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal().String()
	}
	return e
}

// Kill ends the process and everything it started, and waits until they are gone
// or ctx ends. Before Start it keeps the process from being started.
func (p *Process) Kill(ctx context.Context) error {
	p.mu.Lock()
	p.killed = true
	running := p.cmd != nil
	if running && !p.reaped {
		p.tree.kill(p.cmd)
	}
	p.mu.Unlock()
	if !running {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the plugin to end: %w", ctx.Err())
	}
}

// Done is closed when the process is gone and its output read. It is never closed
// when the process was not started.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended, once Done is closed; before, its Code is -1.
func (p *Process) Exit() Exit {
	if e := p.ended(); e != nil {
		return *e
	}
	return Exit{Code: -1}
}

// CloseStdin closes the guard: a plugin that was not asked otherwise ends now.
func (p *Process) CloseStdin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin != nil {
		_ = p.stdin.Close() // nothing was written
	}
}

// Redact masks these values in logs and StderrTail from now on.
func (p *Process) Redact(secrets []string) { p.out.redact(secrets) }

// Printed logs what reached the host on another way than a pipe (go-plugin
// carries a Go plugin's os.Stdout and os.Stderr over gRPC). It reads to the end.
func (p *Process) Printed(stream string, r io.Reader) { p.out.consume(stream, r) }

// PID of the process; 0 before it runs.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// gone says that the process is reaped: its pid may be somebody else's.
func (p *Process) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped
}

// Wait returns when the process is gone; its error says how it ended, nil: with
// status 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.exit.Code != 0 {
		return errors.New(p.exit.String())
	}
	return nil
}

// Stdout is the checked handshake line and nothing else.
func (p *Process) Stdout() io.ReadCloser { return io.NopCloser(strings.NewReader(p.offer.line())) }

// Stderr is empty, so that go-plugin's parser has nothing to panic on.
func (p *Process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the program's path.
func (p *Process) Name() string { return p.config.Path }

// ID is the pid as text; empty before the process runs.
func (p *Process) ID() string {
	if pid := p.PID(); pid != 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

// Diagnose is empty: errors of Start say all there is to say.
func (p *Process) Diagnose(context.Context) string { return "" }

// PluginToHost accepts the address that the handshake was checked for.
func (p *Process) PluginToHost(network, address string) (string, string, error) {
	if network != p.offer.network || address != p.offer.address {
		return "", "", errors.New("the address is not the one of the handshake")
	}
	return network, address, nil
}

// HostToPlugin changes nothing: both see the same addresses.
func (p *Process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// Dial connects to the plugin. Where the kernel can tell, the listener must be
// the plugin or a descendant of it.
func (p *Process) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, p.offer.network, p.offer.address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the plugin: %w", err)
	}
	if err := p.checkPeer(conn); err != nil {
		_ = conn.Close() // refused
		return nil, err
	}
	return conn, nil
}
