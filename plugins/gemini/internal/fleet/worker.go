package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins/gemini/internal/acp"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

// Bounds of one process. It never lets go of a session: measured, its memory grows
// by 0.3 MB with each and by nine times what was sent, so that the 210 MB after its
// start become 350 MB at most.
const (
	maxSessions = 200
	maxSent     = 16 << 20
)

// startTimeout bounds the start: the CLI takes a second on an idle machine, and
// was seen to take eleven on a busy one.
const startTimeout = 60 * time.Second

// Launch says how processes are started.
type Launch struct {
	// Command is the CLI's binary; a name is looked up in PATH.
	Command string
	// Root is where the homes are made; it is private.
	Root string
	// Environment is granted to the CLI, its login among it.
	Environment map[string]string
	// Links are files to be seen in the CLI's state directory: its login.
	Links []string
	// UserLinks are what the user keeps there for the agent.
	UserLinks []string
	// Model is used when a session chooses none.
	Model string
}

// Profile is what a process cannot change once it runs.
type Profile struct {
	// Settings is the CLI's settings file.
	Settings string
	// SystemFile makes the CLI read its instructions from a file of ours.
	SystemFile bool
	// User adds Launch.UserLinks.
	User bool
	// Once ends the process after one turn: the CLI keeps the MCP servers of every
	// session that it has opened.
	Once bool
}

// Worker is one process. It has one owner at a time; Done and Exit may be called
// by anyone.
type Worker struct {
	profile  Profile
	home     home
	process  *subprocess.Process
	conn     *acp.Conn
	stderr   tail
	version  string
	sessions int
	sent     int
	used     time.Time
}

// Start starts a process and waits until it takes sessions.
func (l Launch) Start(ctx context.Context, p Profile) (*Worker, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the CLI was not ready after %v", startTimeout))
	defer cancel()
	links := l.Links
	if p.User {
		links = slices.Concat(links, l.UserLinks)
	}
	h, err := newHome(l.Root, []byte(p.Settings), links)
	if err != nil {
		return nil, err
	}
	w := &Worker{profile: p, home: h, used: time.Now()}
	config := l.config(p, h)
	config.OnStderr = w.stderr.add
	if w.process, err = subprocess.Start(ctx, config); err != nil {
		h.remove()
		return nil, err
	}
	w.conn = acp.New(w.process)
	var r acp.InitializeResult
	err = w.conn.Call(ctx, acp.MethodInitialize, acp.InitializeParams{ProtocolVersion: acp.ProtocolVersion}, &r)
	if err != nil {
		err = w.gone(err)
		w.end(w.process.Kill)
		return nil, fmt.Errorf("starting the CLI: %w", err)
	}
	w.version = r.AgentInfo.Version
	return w, nil
}

// Preview is how Start would start a process: the command line, in which PRIVATE stands
// for the home that it would get, and its environment as "NAME=VALUE".
func (l Launch) Preview(p Profile) (commandLine, environment []string) {
	config := l.config(p, "PRIVATE")
	return append([]string{config.Path}, config.Args...), config.Env
}

func (l Launch) config(p Profile, h home) subprocess.Config {
	set := map[string]string{
		"GEMINI_CLI_HOME":            string(h),
		"GEMINI_CLI_NO_RELAUNCH":     "true", // with it a second process that ignores signals
		"GEMINI_CLI_TRUST_WORKSPACE": "true",
		"NO_COLOR":                   "1",
		"NO_BROWSER":                 "true",
		"TMPDIR":                     h.tmp(),
		wire.Dollar:                  "$",
		"GEMINI_SYSTEM_MD":           "",
	}
	if p.SystemFile {
		set["GEMINI_SYSTEM_MD"] = h.system()
	}
	var secrets []string
	for name, value := range l.Environment {
		if strings.Contains(name, "KEY") || strings.Contains(name, "TOKEN") {
			secrets = append(secrets, value)
		}
	}
	return subprocess.Config{
		Path:           l.Command,
		Args:           []string{"--acp", "--model", l.Model, "--record-responses", h.record()},
		Env:            subprocess.Environment(maps.Clone(l.Environment), set),
		Dir:            h.cwd(),
		Redact:         secrets,
		InterruptGrace: 500 * time.Millisecond,
		TermGrace:      500 * time.Millisecond,
	}
}

// Version of the CLI.
func (w *Worker) Version() string { return w.version }

// Done is closed when the process has ended.
func (w *Worker) Done() <-chan struct{} { return w.process.Done() }

// PID of the process.
func (w *Worker) PID() int { return w.process.PID() }

// worn says that the process has grown enough.
func (w *Worker) worn() bool {
	return w.sessions >= maxSessions || w.sent >= maxSent || w.profile.Once && w.sessions > 0
}

func (w *Worker) dead() bool {
	select {
	case <-w.process.Done():
		return true
	default:
		return false
	}
}

// end ends the process in the given way and removes what it has left.
func (w *Worker) end(how func() subprocess.Exit) {
	how()
	<-w.conn.Done()
	w.home.remove()
}

// stop ends the process in an orderly way.
func (w *Worker) stop() {
	w.end(func() subprocess.Exit { return w.process.Stop(context.Background()) })
}

// ExitError says that the process has ended by itself.
type ExitError struct{ Exit subprocess.Exit }

func (e *ExitError) Error() string {
	if tail := e.Exit.StderrTail; tail != "" {
		return fmt.Sprintf("the CLI ended (%s): %s", e.Exit, lastLine(tail))
	}
	return fmt.Sprintf("the CLI ended (%s)", e.Exit)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// gone makes an error of the connection's end say how the process ended.
func (w *Worker) gone(err error) error {
	if !errors.Is(err, acp.ErrClosed) && !errors.Is(err, subprocess.ErrGone) {
		return err
	}
	// The output's end comes with or just before the process's.
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-w.process.Done():
	case <-timer.C:
		w.process.Kill()
	}
	exit := w.process.Exit()
	exit.StderrTail = w.stderr.String()
	return &ExitError{Exit: exit}
}

// reports are the error reports that the CLI has written since the last turn.
func (h home) reports() []string {
	files, _ := filepath.Glob(filepath.Join(h.tmp(), "gemini-client-error-*.json"))
	var out []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			out = append(out, string(b))
		}
	}
	return out
}
