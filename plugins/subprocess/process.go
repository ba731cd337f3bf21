package subprocess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Defaults of Config.
const (
	// defaultMaxLine bounds one line of output. A CLI prints a whole answer as
	// one line; 64 MiB is far above any answer and below what would hurt.
	defaultMaxLine = 64 << 20
	defaultGrace   = 2 * time.Second
	// drainTime is how long stderr is read after the exit: whoever inherited the
	// pipe must not hold us.
	drainTime = 100 * time.Millisecond
	// pipeTime is how long the rest of stdout may take to be read after the exit
	// when a descendant holds the pipe.
	pipeTime = 5 * time.Second
)

// ErrGone is returned by WriteLine when the process has ended or closed its stdin.
var ErrGone = errors.New("the process has ended")

// Config describes a process to start.
type Config struct {
	// Path of the program; absolute, or looked up in the PATH of this process.
	Path string
	// Args without the program's name. Never put a client's text here.
	Args []string
	// Env is the whole environment; see Environment.
	Env []string
	// Dir is the working directory.
	Dir string
	// MaxLine bounds a line of stdout, in bytes; 0: 64 MiB.
	MaxLine int
	// Redact lists secret values to mask in stderr.
	Redact []string
	// OnStderr gets each redacted line of stderr, from one goroutine; may be nil.
	OnStderr func(line string)
	// Logger gets stderr at debug level; nil: nobody.
	Logger hclog.Logger
	// InterruptGrace and TermGrace are how long Stop waits after each step; 0: 2 s.
	InterruptGrace, TermGrace time.Duration
	// CloseStdinFirst makes closing stdin the first step of Stop.
	CloseStdinFirst bool
}

// Process is a running program. Its methods may be called concurrently, except
// that ReadLine has one caller at a time.
type Process struct {
	config Config
	cmd    *exec.Cmd
	cookie string
	stdout *os.File
	lines  *lineReader
	stderr *ring

	stdinMu sync.Mutex
	stdin   *os.File

	done chan struct{}
	exit Exit
}

// Exit says how a process ended.
type Exit struct {
	// Code is the exit status; -1 when a signal ended the process.
	Code int
	// Signal is its name, for example "killed"; empty when none.
	Signal string
	// StderrTail is the end of stderr, redacted, at most 8 KiB.
	StderrTail string
}

// String is for error texts, for example "exit status 1" or "signal: killed".
func (e Exit) String() string {
	if e.Signal != "" {
		return "signal: " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

var processes atomic.Uint64

// Start runs a program. ctx bounds nothing but the start. The process and all its
// descendants are ended when the program that called Start dies (on Linux at
// once, elsewhere by the host's sweep).
func Start(ctx context.Context, c Config) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.MaxLine <= 0 {
		c.MaxLine = defaultMaxLine
	}
	if c.InterruptGrace <= 0 {
		c.InterruptGrace = defaultGrace
	}
	if c.TermGrace <= 0 {
		c.TermGrace = defaultGrace
	}
	p := &Process{
		config: c,
		cookie: fmt.Sprintf("%s=%d-%d-%d", envProcess, os.Getpid(), startedAt, processes.Add(1)),
		stderr: newRing(c.Redact),
		done:   make(chan struct{}),
	}
	p.cmd = exec.Command(c.Path, c.Args...) //nolint:noctx // Stop ends it
	p.cmd.Dir = c.Dir
	p.cmd.Env = slices.Concat(c.Env, []string{p.cookie})
	setGroup(p.cmd)
	pipes, err := newPipes()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = pipes.inR, pipes.outW, pipes.errW
	if err := startOnOwnThread(p.cmd); err != nil {
		pipes.close()
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	pipes.closeChildEnds()
	p.stdin, p.stdout = pipes.inW, pipes.outR
	p.lines = newLineReader(p.stdout, c.MaxLine)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		p.stderr.consume(pipes.errR, p.stderrLine)
	}()
	go p.reap(pipes.errR, drained)
	return p, nil
}

func (p *Process) stderrLine(line string) {
	if p.config.OnStderr != nil {
		p.config.OnStderr(line)
	}
	if p.config.Logger != nil {
		p.config.Logger.Debug("stderr", "pid", p.PID(), "line", line)
	}
}

// reap waits for the end, takes what is left of the output and ends what the
// process left behind.
func (p *Process) reap(stderr *os.File, drained <-chan struct{}) {
	_ = p.cmd.Wait() // the state tells all that matters
	killGroup(p.cmd)
	sweep(p.cookie)
	timer := time.AfterFunc(drainTime, func() { _ = stderr.SetReadDeadline(time.Now()) })
	<-drained
	timer.Stop()
	_ = stderr.Close()
	_ = p.stdout.SetReadDeadline(time.Now().Add(pipeTime))
	p.exit = exitOf(p.cmd.ProcessState)
	p.exit.StderrTail = p.stderr.String()
	close(p.done)
	_ = p.CloseStdin()
}

func exitOf(state *os.ProcessState) Exit {
	e := Exit{Code: state.ExitCode()}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal().String()
	}
	return e
}

// WriteLine writes b and a newline to stdin; b must not hold a newline. Calls are
// serialised. It blocks while the process does not read, until the process ends.
func (p *Process) WriteLine(b []byte) error {
	p.stdinMu.Lock()
	defer p.stdinMu.Unlock()
	if p.stdin == nil {
		return ErrGone
	}
	line := make([]byte, 0, len(b)+1)
	line = append(append(line, b...), '\n')
	if _, err := p.stdin.Write(line); err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// ReadLine returns the next line of stdout without its newline, valid until the
// next call. At the end it returns io.EOF. A line over the bound is skipped and
// reported as ErrLineTooLong; reading can go on after it.
func (p *Process) ReadLine() ([]byte, error) {
	line, err := p.lines.next()
	if err != nil && !errors.Is(err, ErrLineTooLong) {
		_ = p.stdout.Close()
		if errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			err = io.EOF
		}
	}
	return line, err
}

// CloseStdin tells the process that nothing more comes.
func (p *Process) CloseStdin() error {
	p.stdinMu.Lock()
	defer p.stdinMu.Unlock()
	if p.stdin == nil {
		return nil
	}
	err := p.stdin.Close()
	p.stdin = nil
	return err
}

// Interrupt sends SIGINT to the process (not its group).
func (p *Process) Interrupt() error { return p.signal(os.Interrupt) }

// Terminate sends SIGTERM to the process (not its group).
func (p *Process) Terminate() error { return p.signal(syscall.SIGTERM) }

func (p *Process) signal(s os.Signal) error {
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop ends the process in an orderly way: it closes stdin when so configured,
// then interrupts, terminates and kills, waiting after each step as configured;
// when ctx ends it kills at once. It returns when the process and all its
// descendants are gone.
func (p *Process) Stop(ctx context.Context) Exit {
	if p.config.CloseStdinFirst {
		// A writer that is stuck holds the lock; closing is then no way out.
		closed := make(chan struct{})
		go func() { _ = p.CloseStdin(); close(closed) }()
		if p.wait(ctx, p.config.InterruptGrace) {
			<-closed
			return p.exit
		}
	}
	_ = p.Interrupt() // where it cannot be sent, the next step follows
	if p.wait(ctx, p.config.InterruptGrace) {
		return p.exit
	}
	_ = p.Terminate()
	if p.wait(ctx, p.config.TermGrace) {
		return p.exit
	}
	return p.Kill()
}

func (p *Process) wait(ctx context.Context, grace time.Duration) bool {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// Kill ends the process and its descendants at once and waits for the end.
func (p *Process) Kill() Exit {
	select {
	case <-p.done: // the pid may belong to somebody else by now
		return p.exit
	default:
	}
	killGroup(p.cmd)
	_ = p.cmd.Process.Kill() // an error means that it is gone
	<-p.done
	return p.exit
}

// Done is closed when the process has ended and was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended; valid after Done is closed.
func (p *Process) Exit() Exit { return p.exit }

// StderrTail is the end of stderr so far, redacted.
func (p *Process) StderrTail() string { return p.stderr.String() }

// PID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }
