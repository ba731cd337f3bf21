package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// finding is what the doctor says about one thing.
type finding struct {
	// Level is ok, note (works, but), or problem.
	Level string `json:"level"`
	// What was looked at.
	What   string `json:"what"`
	Detail string `json:"detail"`
	// Remedy is what to do; a command where there is one.
	Remedy string `json:"remedy,omitempty"`
}

// Levels of findings.
const (
	levelOK      = "ok"
	levelNote    = "note"
	levelProblem = "problem"
)

func newDoctor(s streams) *cobra.Command {
	var o connectOptions
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps clinvk from working, and say what mends it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return diagnose(cmd.Context(), o, output, s)
		},
	}
	outputFlag(cmd, &output)
	o.flags(cmd)
	return cmd
}

// errProblems makes the command fail after its findings were printed.
var errProblems = errors.New("there are problems; each says what to do")

func diagnose(ctx context.Context, o connectOptions, output string, s streams) error {
	stop := terminalOf(s.err).spin("looking")
	findings := o.findings(ctx, s)
	stop()
	if output == outputJSON {
		if err := writeJSON(s.out, findings); err != nil {
			return err
		}
	} else if err := printFindings(findings, terminalOf(s.out)); err != nil {
		return err
	}
	if slices.ContainsFunc(findings, func(f finding) bool { return f.Level == levelProblem }) {
		return errProblems
	}
	return nil
}

func (o connectOptions) findings(ctx context.Context, s streams) []finding {
	out := []finding{{levelOK, "clinvk", fmt.Sprintf("%s, %s/%s", version, runtime.GOOS, runtime.GOARCH), ""}}
	settings, err := loadConfig(o.config)
	if err != nil {
		return append(out, finding{levelProblem, "configuration", err.Error(), "clinvk config validate"})
	}
	out = append(out, lookAtFiles(settings)...)
	out = append(out, lookAtProxies(os.Getenv)...)
	out = append(out, o.lookAtServer(ctx, settings))
	out = append(out, o.lookAtPlugins(ctx)...)
	return append(out, o.lookAtBackends(ctx, s)...)
}

// lookAtFiles checks the configuration's file and the home.
func lookAtFiles(settings *config.Config) (out []finding) {
	where := cmp.Or(settings.Path, "no file; defaults and environment")
	out = append(out, finding{levelOK, "configuration", where, ""})
	for _, stray := range settings.Strays() {
		out = append(out, finding{levelNote, "environment", stray, ""})
	}
	for path, what := range map[string]string{settings.Path: "configuration file", settings.Home: "home"} {
		info, err := os.Stat(path)
		switch {
		case path == "" || errors.Is(err, fs.ErrNotExist):
		case err != nil:
			out = append(out, finding{levelProblem, what, err.Error(), ""})
		case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
			out = append(out, finding{levelProblem, what, path + " can be changed by others", "chmod go-w " + path})
		}
	}
	return out
}

// lookAtProxies warns of a proxy that requests to this machine would go through.
func lookAtProxies(getenv func(string) string) []finding {
	var proxies []string
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if getenv(name) != "" {
			proxies = append(proxies, name)
		}
	}
	if len(proxies) == 0 {
		return nil
	}
	f := finding{levelOK, "proxy", "the CLIs use " + strings.Join(proxies, ", "), ""}
	direct := getenv("NO_PROXY") + "," + getenv("no_proxy")
	if !strings.Contains(direct, "127.0.0.1") || !strings.Contains(direct, "localhost") {
		f.Level, f.Detail = levelNote, f.Detail+", also for model servers on this machine"
		f.Remedy = "export NO_PROXY=127.0.0.1,localhost"
	}
	return []finding{f}
}

// portTime bounds a look at a port.
const portTime = time.Second

// lookAtServer says whether a server runs, or whether one could.
func (o connectOptions) lookAtServer(ctx context.Context, settings *config.Config) finding {
	if running(ctx, settings.Home) != nil {
		return finding{levelOK, "server", "one runs for this home", ""}
	}
	port := config.DefaultPort
	if settings.Server.Port != nil {
		port = *settings.Server.Port
	}
	address := net.JoinHostPort(cmp.Or(settings.Server.Host, config.DefaultHost), strconv.Itoa(port))
	d := net.Dialer{Timeout: portTime}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return finding{levelOK, "server", "none runs; " + address + " is free", "clinvk serve"}
	}
	_ = c.Close() // nothing was written
	ctx, cancel := context.WithTimeout(ctx, portTime)
	defer cancel()
	var health struct{ Status string }
	if (&client.Client{Base: "http://" + address}).Get(ctx, "/health", &health) == nil && health.Status != "" {
		return finding{levelNote, "server", "one with another home runs at " + address, "clinvk --server http://" + address}
	}
	return finding{levelNote, "server", address + " is taken by another program", "clinvk serve --port 0"}
}

// lookAtPlugins reports those that are refused, and that there are none.
func (o connectOptions) lookAtPlugins(ctx context.Context) (out []finding) {
	p := pluginOptions{dirs: o.pluginDirs, config: o.config}
	found, err := p.find(ctx)
	if err != nil {
		return []finding{{levelProblem, "plugins", err.Error(), "clinvk plugin list"}}
	}
	var names []string
	for _, e := range found.Policy.Apply(ctx, found.entries) {
		names = append(names, e.Name)
		if e.Refused != nil {
			out = append(out, finding{levelProblem, "plugin " + e.Name, e.Refused.Error(), "clinvk plugin info " + e.Name})
		}
	}
	if len(names) == 0 {
		return []finding{{levelProblem, "plugins", "none were found", "clinvk serve --plugin-dir DIR"}}
	}
	for _, odd := range found.settings.Unmatched(names) {
		out = append(out, finding{levelNote, "configuration", odd, "clinvk config show"})
	}
	return append(out, finding{levelOK, "plugins", strings.Join(names, ", "), ""})
}

// lookAtBackends asks each backend how it is.
func (o connectOptions) lookAtBackends(ctx context.Context, s streams) (out []finding) {
	c, err := o.connect(ctx, s, all)
	if err != nil {
		return []finding{{levelProblem, "backends", err.Error(), ""}}
	}
	var list struct {
		Backends []backendInfo `json:"backends"`
	}
	err = errors.Join(c.Get(ctx, "/api/v1/backends", &list), c.Close())
	if err != nil {
		return []finding{{levelProblem, "backends", err.Error(), ""}}
	}
	answering := 0
	for _, b := range list.Backends {
		f := finding{levelOK, "backend " + b.Name, strings.TrimPrefix(cmp.Or(b.cli(), b.Version)+"; "+printable(b.Message), "; "), ""}
		f.Detail = strings.TrimSuffix(f.Detail, "; ")
		if b.Available {
			answering++
		} else {
			f.Level, f.Remedy = levelNote, printable(b.Remedy)
		}
		out = append(out, f)
	}
	if answering == 0 {
		out = append(out, finding{levelProblem, "backends", "none can answer", "install one of the CLIs and log in to it"})
	}
	return out
}

func printFindings(findings []finding, out terminal) error {
	marks := map[string]string{levelOK: "✓", levelNote: "!", levelProblem: "✗"}
	var rows [][]string
	for _, f := range findings {
		detail := f.Detail
		if f.Remedy != "" && f.Level != levelOK {
			detail += "\n→ " + f.Remedy
		}
		rows = append(rows, []string{marks[f.Level], f.What, detail})
	}
	_, err := fmt.Fprintln(out, grid(out, []string{"", "CHECK", "FINDING"}, rows))
	return err
}
