package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// errNotInstalled says that there is no codex to run.
var errNotInstalled = errors.New("the Codex CLI is not installed")

// program is an installed CLI.
type program struct {
	// path of what is run: the native program where it is known.
	path string
	// tools is a directory with programs that the CLI brings along; may be empty.
	tools string
	// size and changed tell an update.
	size    int64
	changed time.Time
}

// findProgram looks for command, a path or a name in PATH.
func findProgram(command string) (program, error) {
	if command == "" {
		command = "codex"
	}
	path, err := exec.LookPath(command)
	if err != nil {
		return program{}, fmt.Errorf("%w: %w", errNotInstalled, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return program{}, fmt.Errorf("%w: %w", errNotInstalled, err)
	}
	p := program{path: path}
	if native := nativeProgram(path); native != "" {
		p.path = native
		if dir := filepath.Join(filepath.Dir(filepath.Dir(native)), "codex-path"); isDir(dir) {
			p.tools = dir
		}
	}
	info, err := os.Stat(p.path)
	if err != nil {
		return program{}, fmt.Errorf("%w: %w", errNotInstalled, err)
	}
	p.size, p.changed = info.Size(), info.ModTime()
	return p, nil
}

// nativeProgram finds the program behind the script that npm installs as codex:
// run through the script it starts later, and a killed script leaves it running.
func nativeProgram(path string) string {
	script, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.Ext(script) != ".js" {
		return ""
	}
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	system := map[string]string{"linux": "linux", "darwin": "darwin", "windows": "win32"}[runtime.GOOS]
	pkg := filepath.Dir(filepath.Dir(script))
	name := "codex"
	if runtime.GOOS == "windows" {
		name = "codex.exe"
	}
	platform := "codex-" + system + "-" + arch
	for _, dir := range []string{
		filepath.Join(pkg, "node_modules", "@openai", platform),
		filepath.Join(filepath.Dir(pkg), platform),
		pkg,
	} {
		found, err := filepath.Glob(filepath.Join(dir, "vendor", "*", "bin", name))
		if err == nil && len(found) == 1 {
			return found[0]
		}
	}
	return ""
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// output runs the program for a short question.
func (p program) output(ctx context.Context, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = env
	cmd.WaitDelay = time.Second
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, firstLine(stderr.String()))
	}
	return string(out), nil
}

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+\S*`)

// version asks the program for its version.
func (p program) version(ctx context.Context, env []string) (string, error) {
	out, err := p.output(ctx, env, "--version")
	if err != nil {
		return "", err
	}
	return versionNumber.FindString(out), nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
