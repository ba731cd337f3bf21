package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
)

const (
	command        = "gemini"
	installCommand = "npm install -g @google/gemini-cli"
	packageName    = "@google/gemini-cli"
	// minVersion is the first that was measured. An older CLI may not know the
	// settings that replace its request, and would ask the model something else.
	minVersion = "0.61.0"
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
	if v := f.version(path); tooOld(v) {
		return "", fmt.Errorf("the Gemini CLI %s is too old, %s is needed: run `%s`", v, minVersion, installCommand)
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

// tooOld compares a version with minVersion; what is no version is not too old.
func tooOld(version string) bool {
	var have, want [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &have[0], &have[1], &have[2]); err != nil {
		return false
	}
	_, _ = fmt.Sscanf(minVersion, "%d.%d.%d", &want[0], &want[1], &want[2]) // a constant
	return slices.Compare(have[:], want[:]) < 0
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
