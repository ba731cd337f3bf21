//go:build unix

// Package harness runs the built server with its plugins for end-to-end tests and
// benchmarks: real binaries, real HTTP, a home of its own.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/clinvk/clinvk/test/apicheck"
)

// Root is the directory of go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}

// plugins that come with the server.
var plugins = []string{"echo", "claude", "codex", "gemini"}

// Build builds plugins and then the server, which knows them by their sha256, into
// dir, as make build does. names are the backends to build; none: all.
func Build(dir string, names ...string) error {
	if len(names) == 0 {
		names = plugins
	}
	bundled := make([]string, 0, len(names))
	for _, name := range names {
		path := filepath.Join(dir, "clinvk-backend-"+name)
		if err := GoBuild(path, "./plugins/"+name, ""); err != nil {
			return err
		}
		binary, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		bundled = append(bundled, fmt.Sprintf("%s=%x", name, sha256.Sum256(binary)))
	}
	return GoBuild(filepath.Join(dir, "clinvk"), "./cmd/clinvk", "-X main.bundled="+strings.Join(bundled, ","))
}

// GoBuild builds one package of the repository.
func GoBuild(output, pkg, ldflags string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", ldflags, "-o", output, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// CLIs is the directory of the pinned AI CLIs' commands. It is an error when they
// are not installed.
func CLIs() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "test", "clis", "node_modules", ".bin")
	for _, cli := range []string{"claude", "codex", "gemini"} {
		cmd := exec.Command(filepath.Join(bin, cli), "--version")
		cmd.Env = append(os.Environ(), "HOME="+os.TempDir(), "HTTPS_PROXY=http://127.0.0.1:9")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("the CLI %s does not run (%w): run make clis\n%s", cli, err, out)
		}
	}
	return bin, nil
}

// Options of a server.
type Options struct {
	// Bin is the directory of the binaries.
	Bin string
	// PluginDir defaults to Bin.
	PluginDir string
	// Home is HOME of the server; empty: a new temporary directory, removed by Close.
	Home string
	// Env is added to a minimal environment.
	Env map[string]string
	// Config is the text of config.yaml.
	Config string
	// Args are added to "serve".
	Args []string
	// Check holds all traffic of URL against the server's OpenAPI document; Close
	// returns what is not as documented.
	Check bool
}

// Server is a running clinvk.
type Server struct {
	// URL without a trailing slash; with Options.Check that of a proxy before the server.
	URL string
	// Direct is the server's own URL, for tests of raw connections and of time.
	Direct string
	// Home of the server and its CLIs.
	Home string

	proxy   *apicheck.Proxy // nil: nothing is checked
	cmd     *exec.Cmd
	ownHome bool
	log     *buffer
	exited  chan struct{}
	exitErr error
}

// buffer collects output.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// startTime is how long a server may take to say that it listens.
const startTime = 60 * time.Second

// Start starts a server on a free port and waits until it serves.
func Start(o Options) (*Server, error) {
	s := &Server{Home: o.Home, log: &buffer{}, exited: make(chan struct{})}
	if s.Home == "" {
		home, err := os.MkdirTemp("", "clv-")
		if err != nil {
			return nil, err
		}
		s.Home, s.ownHome = home, true
	}
	if o.PluginDir == "" {
		o.PluginDir = o.Bin
	}
	args := []string{"serve", "--port", "0", "--plugin-dir", o.PluginDir}
	if o.Config != "" {
		path := filepath.Join(s.Home, "clinvk-config.yaml")
		if err := os.WriteFile(path, []byte(o.Config), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--config", path)
	}
	s.cmd = exec.Command(filepath.Join(o.Bin, "clinvk"), append(args, o.Args...)...)
	s.cmd.Env = Environment(s.Home, o.Env)
	s.cmd.Dir = s.Home
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stderr = s.log
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	url := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			_, _ = s.log.Write(append(lines.Bytes(), '\n'))
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				url <- m[1]
			}
		}
		s.exitErr = s.cmd.Wait()
		close(s.exited)
	}()
	select {
	case s.Direct = <-url:
		return s, s.check(o.Check)
	case <-s.exited:
		return nil, fmt.Errorf("the server ended: %w\n%s", s.exitErr, s.Log())
	case <-time.After(startTime):
		s.Kill()
		return nil, fmt.Errorf("the server did not listen within %v\n%s", startTime, s.Log())
	}
}

// HeedHangup lets SIGHUP reach the programs that a test starts when the test itself was
// started by nohup: what is ignored is inherited.
func HeedHangup() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}

// Environment is what servers and CLIs run in: nothing of the caller's but PATH,
// a home, and no way out of the machine.
func Environment(home string, add map[string]string) []string {
	vars := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": home, "CLINVK_HOME": filepath.Join(home, ".clinvk"),
		"XDG_RUNTIME_DIR": runtimeDir(home),
		"HTTPS_PROXY":     "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost", "LANG": "C.UTF-8",
		"CLINVK_TEST_HOME": home,
	}
	for k, v := range add {
		vars[k] = v
	}
	var env []string
	for k, v := range vars {
		if v != "" {
			env = append(env, k+"="+v)
		}
	}
	slices.Sort(env)
	return env
}

// runtimeDir makes a private runtime directory in home.
func runtimeDir(home string) string {
	dir := filepath.Join(home, "run")
	if os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	return dir
}

// Log is what the server printed so far.
func (s *Server) Log() string { return s.log.String() }

// PID of the server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// Checked is how many exchanges were held against the OpenAPI document.
func (s *Server) Checked() int {
	if s.proxy == nil {
		return 0
	}
	return s.proxy.Seen()
}

// Close stops the server as SIGTERM does and checks that it ended well, that
// nothing is left of it, and what Options.Check asked for.
func (s *Server) Close() error {
	var errs []error
	select {
	case <-s.exited:
	default:
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
			if s.exitErr != nil {
				errs = append(errs, fmt.Errorf("the server ended with %w", s.exitErr))
			}
		case <-time.After(30 * time.Second):
			errs = append(errs, errors.New("the server did not stop within 30 s"))
			s.Kill()
		}
	}
	if left := s.WaitLeftovers(20 * time.Second); len(left) > 0 {
		errs = append(errs, fmt.Errorf("processes are left: %v", left))
		for _, p := range left {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
	}
	if s.ownHome {
		if err := os.RemoveAll(s.Home); err != nil {
			errs = append(errs, err)
		}
	}
	if s.proxy != nil {
		errs = append(errs, s.proxy.Close())
	}
	return errors.Join(errs...)
}

// Process is a process of a server.
type Process struct {
	PID     int
	Command string
}

// Processes lists all processes that the server started, directly or not: those
// whose environment names its home.
func (s *Server) Processes() []Process {
	var out []Process
	entries, _ := os.ReadDir("/proc")
	needles := [][]byte{[]byte("HOME=" + s.Home), []byte(s.Home + "/")}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == s.PID() {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil || !bytes.Contains(env, needles[0]) && !bytes.Contains(env, needles[1]) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		out = append(out, Process{pid, strings.TrimSpace(string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))})
	}
	return out
}

// Nascent says that the process is the server's own image, forked to become
// another: until it executes that one it shows the server's environment.
func (p Process) Nascent() bool {
	program, _, _ := strings.Cut(p.Command, " ")
	return filepath.Base(program) == "clinvk"
}

// WaitLeftovers waits until no process is left and returns those that are.
func (s *Server) WaitLeftovers(limit time.Duration) []Process {
	deadline := time.Now().Add(limit)
	for {
		left := s.Processes()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Backend is what the server says of a backend.
type Backend struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	State     string `json:"state"`
	Message   string `json:"message"`
	Remedy    string `json:"remedy"`
	PID       int    `json:"pid"`
	Restarts  int    `json:"restarts"`
	LastError string `json:"last_error"`
	// UpdateError is why a changed plugin was not taken over.
	UpdateError string            `json:"update_error"`
	MemoryMB    int               `json:"memory_mb"`
	Processes   int               `json:"processes"`
	Pressure    string            `json:"pressure"`
	Versions    map[string]string `json:"cli_versions"`
	Models      []struct {
		ID string `json:"id"`
	} `json:"models"`
}

// Backend asks the server about one backend.
func (s *Server) Backend(ctx context.Context, name string) (Backend, error) {
	var b Backend
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/backends/"+name, nil)
	if err != nil {
		return b, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return b, err
	}
	defer resp.Body.Close()
	return b, json.NewDecoder(resp.Body).Decode(&b)
}

// WaitBackend waits until a backend is as wanted.
func (s *Server) WaitBackend(ctx context.Context, name string, wanted func(Backend) bool) (Backend, error) {
	for {
		b, err := s.Backend(ctx, name)
		if err == nil && wanted(b) {
			return b, nil
		}
		select {
		case <-ctx.Done():
			return b, fmt.Errorf("backend %s is %+v: %w", name, b, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
