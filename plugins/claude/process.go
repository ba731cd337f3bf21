package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

const (
	// stopGrace is how long a process may take to leave after each step: it needs
	// 30 to 200 ms, and Close has less than two seconds for all of them.
	stopGrace = 400 * time.Millisecond
	// abortGrace is the same for a process that is not wanted any more: its
	// connection has to be closed well within a second.
	abortGrace = 300 * time.Millisecond
	// refillDelay is how long the start of a spare may wait for turns that begin:
	// it takes a whole core that they need.
	refillDelay = 400 * time.Millisecond
	// startTimeout bounds the start, which takes 0.3 to 1 s on a quiet machine.
	startTimeout = 30 * time.Second
)

// errGone is returned by process.next when the process has ended.
var errGone = errors.New("the process has ended")

// process is one running CLI and the conversation that it holds.
type process struct {
	proc *subprocess.Process
	log  *wire.Log
	dir  string // private; removed at the end
	// system is the system prompt that it was told in advance; nil: none.
	system *string
	// composed says that this release takes text as it is when told so.
	composed bool
	// session that it writes; empty: none.
	session string
	// begun says that it has begun the session, and that no turn has given its token.
	begun bool
	// held is how many messages of the conversation it holds while it is at rest.
	held int

	lines  chan *wire.Line
	broken error // set before lines is closed
	quit   chan struct{}
	once   sync.Once
	read   chan struct{} // closed when the reader has ended

	requests atomic.Uint64 // control requests so far
}

// launch describes a process to start.
type launch struct {
	args []string
	env  map[string]string // on top of what every process gets
	dir  string            // working directory; empty: a private one
	// agent wants all that the user has set up.
	agent bool
	// ownConfig keeps the user's configuration and logins out.
	ownConfig bool
	// session that the process writes; empty: none.
	session string
	// begins says that it is a new one.
	begins bool
	// held is how many of the turn's messages it begins with, and history those that
	// it gets from seed, which start puts into a file.
	held    int
	history []plugins.Message
	seed    []byte
}

// start runs the CLI. It does not wait until it is ready: what is written to it
// is read when it is.
func (b *backend) start(ctx context.Context, l launch) (*process, error) {
	cli, err := b.cli.find(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{
		log: &wire.Log{}, composed: cli.composed, session: l.session, begun: l.begins, held: l.held,
		dir:   filepath.Join(b.root, strconv.FormatUint(b.count.Add(1), 36)),
		lines: make(chan *wire.Line), quit: make(chan struct{}), read: make(chan struct{}),
	}
	if err := prepare(p.dir, l); err != nil {
		_ = os.RemoveAll(p.dir) // nothing runs there
		return nil, fmt.Errorf("preparing the CLI's directory: %w", err)
	}
	command := b.command(cli, l, p.dir)
	command.OnStderr = p.log.Add
	p.proc, err = subprocess.Start(ctx, command)
	if err != nil {
		_ = os.RemoveAll(p.dir) // nothing runs there
		return nil, &plugins.Error{Code: plugins.CodeCLIFailure, Message: err.Error(), Err: err}
	}
	if p.session != "" {
		b.writers.add(p.session, p)
		b.wg.Go(func() {
			<-p.proc.Done()
			b.writers.remove(p.session, p)
		})
	}
	go p.readLines()
	return p, nil
}

// What is in the private directory of a process.
const (
	dirWork   = "w" // its working directory, unless it gets another
	dirTemp   = "t"
	dirConfig = "c"
	fileSeed  = "seed" + transcriptSuffix
)

// prepare makes the private directory of a process.
func prepare(dir string, l launch) error {
	for _, name := range []string{dirWork, dirTemp} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	if l.seed == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, fileSeed), l.seed, 0o600)
}

// command is how a process is run that has dir for itself.
func (b *backend) command(c cli, l launch, dir string) subprocess.Config {
	cwd := l.dir
	if cwd == "" {
		cwd = filepath.Join(dir, dirWork)
	}
	env := commonEnvironment()
	env["CLAUDE_CODE_TMPDIR"] = filepath.Join(dir, dirTemp)
	if l.ownConfig {
		env[envConfigDir] = filepath.Join(dir, dirConfig)
	}
	if l.agent && !c.composed {
		env[envAttachments] = "1" // this release has no other way to leave "@file" alone
	}
	maps.Copy(env, l.env)
	args := slices.Clone(l.args)
	if len(l.history) > 0 {
		args = append(args, "--resume="+filepath.Join(dir, fileSeed), "--fork-session")
	}
	return subprocess.Config{
		Path: c.path, Args: args, Dir: cwd,
		Env:    subprocess.Environment(b.config.Environment, env),
		Redact: b.secrets(),
		// At the end of its input an idle CLI leaves in order.
		CloseStdinFirst: true, InterruptGrace: stopGrace, TermGrace: stopGrace,
	}
}

// startSpare starts a chat process and waits until it answers.
func (b *backend) startSpare(ctx context.Context) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	b.calm.wait(ctx, refillDelay)
	p, err := b.start(ctx, b.chatLaunch())
	if err != nil {
		return nil, err
	}
	// Any request would show that it answers. This one changes nothing and makes
	// the CLI load the code that most turns need: 30 to 40 ms less for the first.
	if _, err := p.ask(ctx, wire.ApplySettings(wire.Settings{Env: map[string]string{envExtraBody: "{}"}})); err != nil {
		p.abort()
		return nil, p.failure(fmt.Errorf("starting the CLI: %w", err))
	}
	if err := b.anticipate(ctx, p); err != nil {
		b.forget(p)
		p.abort()
		return nil, p.failure(fmt.Errorf("starting the CLI: %w", err))
	}
	return p, nil
}

// readLines hands the CLI's output on, until its end or quit.
func (p *process) readLines() {
	defer close(p.read)
	defer close(p.lines)
	for {
		data, err := p.proc.ReadLine()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				p.broken = err
			}
			p.discard(err)
			return
		}
		line, err := wire.Parse(data)
		if errors.Is(err, wire.ErrForeign) {
			plugins.Logger().Debug("foreign line on stdout", "pid", p.proc.PID(), "bytes", len(data))
			continue
		}
		if err != nil {
			p.broken = err
			p.discard(nil)
			return
		}
		select {
		case p.lines <- line:
		case <-p.quit:
			p.discard(nil)
			return
		}
	}
}

// discard reads what nobody wants to the end, so that the process is not stuck;
// a process that broke the protocol is of no use any more.
func (p *process) discard(err error) {
	if p.broken != nil {
		p.proc.Kill()
	}
	for err == nil || errors.Is(err, subprocess.ErrLineTooLong) {
		_, err = p.proc.ReadLine()
	}
}

// next returns the next line of output. It returns errGone at the end of it.
func (p *process) next(ctx context.Context) (*wire.Line, error) {
	select {
	case line, ok := <-p.lines:
		if ok {
			return line, nil
		}
		if p.broken != nil {
			return nil, fmt.Errorf("reading the CLI's output: %w", p.broken)
		}
		return nil, errGone
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// send writes one line of input.
func (p *process) send(line any) error {
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("writing to the CLI: %w", err)
	}
	if err := p.proc.WriteLine(data); err != nil {
		return fmt.Errorf("writing to the CLI: %w", errors.Join(errGone, err))
	}
	return nil
}

// control sends a control request and returns its id.
func (p *process) control(body any) (string, error) {
	id := "c" + strconv.FormatUint(p.requests.Add(1), 10)
	return id, p.send(wire.Control{ID: id, Body: body})
}

// ask sends a control request and waits for its response.
func (p *process) ask(ctx context.Context, body any) (*wire.ControlResponse, error) {
	id, err := p.control(body)
	if err != nil {
		return nil, err
	}
	for {
		line, err := p.next(ctx)
		if err != nil {
			return nil, err
		}
		if r := line.Response; r != nil && r.ID == id {
			return r, refused(r)
		}
	}
}

// ended says that the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.proc.Done():
		return true
	default:
		return false
	}
}

// refused is the error of a control request that did not succeed.
func refused(r *wire.ControlResponse) error {
	if r.Subtype == "success" {
		return nil
	}
	return plugins.Errorf(plugins.CodeCLIFailure, "the CLI refused a request: %s", r.Error)
}

// failure makes err the turn's error; when the process has ended by itself it
// says how.
func (p *process) failure(err error) error {
	if !errors.Is(err, errGone) {
		return err
	}
	// The end of the output comes a moment before the process is reaped.
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.proc.Done():
	case <-timer.C:
	}
	exit := p.proc.Kill()
	e := &plugins.Error{
		Code:       plugins.CodeCLIFailure,
		Message:    fmt.Sprintf("Claude Code ended unexpectedly (%s)", exit),
		StderrTail: p.log.Tail(),
		Retryable:  true,
		Err:        err,
	}
	if exit.Signal == "" {
		e.ExitCode = &exit.Code
	}
	return e
}

// abort ends the process in the middle of what it does. Terminated it leaves
// within 0.2 s; killed at once it would leave locks behind in the user's
// configuration, for which others wait until they are ten seconds old. It may be
// called more than once.
func (p *process) abort() {
	p.once.Do(func() { close(p.quit) })
	_ = p.proc.Terminate() // one that is gone needs nothing
	timer := time.NewTimer(abortGrace)
	defer timer.Stop()
	select {
	case <-p.proc.Done():
	case <-timer.C:
	}
	p.proc.Kill()
	p.cleanUp()
}

// stop lets the process leave in order.
func (p *process) stop() {
	p.once.Do(func() { close(p.quit) })
	ctx, cancel := context.WithTimeout(context.Background(), 3*stopGrace)
	defer cancel()
	p.proc.Stop(ctx)
	p.cleanUp()
}

func (p *process) cleanUp() {
	<-p.read
	_ = os.RemoveAll(p.dir) // the scratch directory is emptied at the next start
}
