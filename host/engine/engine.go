package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/clinvk/clinvk/host/engine/gate"
)

// DefaultTimeout of a turn: agents work for many minutes, nothing sane for hours.
const DefaultTimeout = time.Hour

// Config of an Engine.
type Config struct {
	// Backends that turns go to; required.
	Backends Backends
	// DefaultBackend answers turns that name none; empty: that is an error.
	DefaultBackend string
	// DefaultModels by backend answer turns that name the backend only; those of other
	// backends go to the CLI's own choice.
	DefaultModels map[string]string
	// Aliases by name.
	Aliases map[string]Alias
	// Limits of a backend; nil: the defaults for all.
	Limits func(backend string) gate.Limits
	// Timeout of turns that name none; 0: DefaultTimeout.
	Timeout time.Duration
	// WorkingDirs bounds where agents may work.
	WorkingDirs WorkingDirs
	// Observe is told once of each turn that is over, with the context of its request.
	// Turns wait for it, so it must be quick, and many may call it at a time; nil:
	// nobody is told.
	Observe func(ctx context.Context, o Outcome)
	// Agents says what turns in agent mode get that do not say themselves; nil: nothing.
	Agents func(backend string) AgentDefaults
	// Logger; nil: nowhere.
	Logger *slog.Logger
}

// Engine runs turns. Its methods may be called concurrently.
type Engine struct {
	config   atomic.Pointer[Config] // replaced by Configure
	backends Backends
	live     *liveIndex
	register *register
	log      *slog.Logger

	mu    sync.Mutex
	gates map[string]*gate.Gate

	cutWait time.Duration // cutWait, but in tests

	draining atomic.Bool
	running  sync.WaitGroup
}

// New makes an engine.
func New(c Config) *Engine {
	c = c.withDefaults()
	e := &Engine{backends: c.Backends, live: newLiveIndex(), register: newRegister(), log: c.Logger, gates: map[string]*gate.Gate{}, cutWait: cutWait}
	e.config.Store(&c)
	return e
}

func (c Config) withDefaults() Config {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Limits == nil {
		c.Limits = func(string) gate.Limits { return gate.Limits{} }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Agents == nil {
		c.Agents = func(string) AgentDefaults { return AgentDefaults{} }
	}
	return c
}

// Configure takes over new settings, for turns that begin from now on; Backends and
// Logger stay those of New. Turns that wait for their place are let in as the new limits
// have it.
func (e *Engine) Configure(c Config) {
	c = c.withDefaults()
	e.config.Store(&c)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.gates {
		g.Retune()
	}
}

// Backends tells about all backends, sorted by name.
func (e *Engine) Backends() []BackendInfo {
	var out []BackendInfo
	for _, name := range e.backends.Names() {
		if info, ok := e.backends.Info(name); ok {
			out = append(out, info)
		}
	}
	return out
}

// Backend tells about one backend.
func (e *Engine) Backend(name string) (BackendInfo, error) {
	info, ok := e.backends.Info(name)
	if !ok {
		return BackendInfo{}, e.notFound(name, "backend")
	}
	return info, nil
}

// Restart starts a new process of a backend and returns what is known about it then.
func (e *Engine) Restart(ctx context.Context, name string) (BackendInfo, error) {
	if _, err := e.Backend(name); err != nil {
		return BackendInfo{}, err
	}
	if err := e.backends.Restart(ctx, name); err != nil {
		return BackendInfo{}, err
	}
	return e.Backend(name)
}

// Load is the number of running and waiting turns of a backend, and the bound on
// running ones.
func (e *Engine) Load(name string) (running, queued, limit int) {
	info, _ := e.backends.Info(name)
	return e.gate(name).Load(pluginLimit(info))
}

// pluginLimit is how many turns a plugin takes at a time; 0: any number.
func pluginLimit(info BackendInfo) int {
	return int(info.Describe.GetLimits().GetMaxConcurrentExecutions())
}

func (e *Engine) gate(backend string) *gate.Gate {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.gates[backend]
	if g == nil {
		g = gate.New(gate.Config{
			Backend: backend, Limits: func() gate.Limits { return e.config.Load().Limits(backend) },
			Pressure: func() (string, <-chan struct{}) { return e.backends.Pressure(backend) },
		})
		e.gates[backend] = g
	}
	return g
}

// Drain refuses new turns and waits until those that run are closed, or ctx ends.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	e.draining.Store(true)
	e.mu.Unlock()
	done := make(chan struct{})
	go func() { e.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for turns to end: %w", context.Cause(ctx))
	}
}

// execute is Execute without telling anybody.
func (e *Engine) execute(ctx context.Context, t *Turn) (*Execution, error) {
	if e.draining.Load() {
		return nil, shuttingDown()
	}
	begin := time.Now()
	p, err := e.plan(t)
	if err != nil {
		return nil, err
	}
	x := &Execution{
		ID:      "turn_" + strings.ReplaceAll(newID(), "-", ""),
		Backend: p.to.backend, Model: shownModel(t, p.to), Ignored: p.ignored,
		engine: e, turn: p.turn, to: p.to, begin: begin,
	}
	if p.turn.Session != nil {
		x.Session = p.turn.Session.ID
	}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	known := e.register.add(Record{
		ID: x.ID, Owner: t.Owner, RequestID: t.RequestID, Dialect: t.Dialect, Backend: x.Backend, Model: x.Model,
		Mode: p.turn.Mode, Session: x.Session, Queued: begin,
	}, x.cancel)
	if t.Cancelled != nil {
		go known.follow(t.Cancelled, e.cutWait)
	}
	if err := x.enter(p.info, known); err != nil {
		x.cancel(nil)
		known.Failed(err)
		return nil, err
	}
	x.shapeFor(p.info.Describe.GetCapabilities(), p.output)
	if err := x.open(); err != nil {
		known.Failed(AsError(err))
		x.release(errClosed)
		x.part()
		return nil, err
	}
	// The turn's own watcher comes first: what it makes of the end is the end. The
	// register comes last: who waits there for the end finds all others told.
	x.watch.add(p.turn.Watcher, observer{x}, known)
	return x, nil
}

// enter waits for the execution's place.
func (x *Execution) enter(info BackendInfo, known *entry) *Error {
	leave, err := x.engine.gate(x.to.backend).Enter(x.ctx, pluginLimit(info))
	if err != nil {
		return notLetIn(x.to.backend, err)
	}
	if !x.engine.join() {
		leave()
		return shuttingDown()
	}
	x.leave, x.admitted = leave, time.Now()
	if !known.admit(x) {
		leave()
		x.engine.running.Done()
		return AsError(context.Cause(x.ctx))
	}
	return nil
}

// notLetIn is the error of a turn that got no place.
func notLetIn(backend string, err error) *Error {
	busy, ok := errors.AsType[*gate.Busy](err)
	if !ok { // it was cancelled
		return AsError(err)
	}
	e := &Error{Code: CodeQueueTimeout, Message: busy.Error(), Backend: backend, Retryable: true, RetryAfter: busy.RetryAfter}
	if busy.Full {
		e.Code = CodeQueueFull
	}
	return e
}

// join counts a turn in, unless nobody would wait for it: it may have waited for its
// place since it was let in.
func (e *Engine) join() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining.Load() {
		return false
	}
	e.running.Add(1)
	return true
}

func shuttingDown() *Error {
	err := Errorf(CodeUnavailable, "the server is shutting down")
	err.Retryable = true
	return err
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil { // the system has no random numbers: nothing works then
		panic(err)
	}
	return id.String()
}

// shownModel is what answers call the model: what the client asked for.
func shownModel(t *Turn, to target) string {
	switch {
	case t.Backend != "" && to.model != "":
		return to.backend + "/" + to.model
	case t.Backend != "" || t.Model == "":
		return to.backend
	}
	return t.Model
}

// prepare copies the turn and settles what the alias and the engine decide.
func (e *Engine) prepare(t *Turn, to target) *Turn {
	c, config := *t, e.config.Load()
	if c.Timeout <= 0 || c.Timeout > config.Timeout { // the operator's word bounds the client's
		c.Timeout = config.Timeout
	}
	if a := to.alias; a != nil {
		settled := t.Session != nil && t.Session.Settled
		if a.Mode != ModeUnspecified && !settled {
			c.Mode = a.Mode
		}
		if a.WorkingDir != "" && !settled {
			c.WorkingDir = a.WorkingDir
		}
		if a.Approval != ApprovalUnspecified {
			c.Approval = a.Approval
		}
		if a.Sandbox != SandboxUnspecified {
			c.Sandbox = a.Sandbox
		}
	}
	c.Mode = c.WantedMode()
	if c.Mode == ModeChat {
		c.WorkingDir, c.Approval, c.Sandbox = "", ApprovalUnspecified, SandboxUnspecified
	} else {
		config.Agents(to.backend).fill(&c)
	}
	return &c
}
