package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

const (
	command        = "gemini"
	installCommand = "npm install -g @google/gemini-cli"
	packageName    = "@google/gemini-cli"
)

// finder finds the CLI and its version. Its methods may be called concurrently.
type finder struct {
	command string // the operator's; empty: looked up in PATH

	mu       sync.Mutex
	versions map[string]string // by path, as the CLI itself has told
}

// find looks each time anew, so that an installation is noticed.
func (f *finder) find() (path string, err error) {
	name := f.command
	if name == "" {
		name = command
	}
	path, err = exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the Gemini CLI is not installed (%w): run `%s`", err, installCommand)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("finding the Gemini CLI: %w", err)
	}
	return path, nil
}

// saw remembers the version that a running CLI has told.
func (f *finder) saw(path, version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.versions == nil {
		f.versions = map[string]string{}
	}
	f.versions[path] = version
}

// version of the CLI at path without running it, which takes a second: it stands
// in the package's package.json; empty when that is not found and no process has
// told it.
func (f *finder) version(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		for dir := filepath.Dir(real); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if v := packageVersion(filepath.Join(dir, "package.json")); v != "" {
				return v
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.versions[path]
}

func packageVersion(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	var p struct{ Name, Version string }
	if json.Unmarshal(b, &p) != nil || p.Name != packageName {
		return ""
	}
	return p.Version
}
