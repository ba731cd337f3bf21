package catalog

import (
	"os"
	"path/filepath"
	"runtime"
)

// Source says which part of the search path a plugin comes from.
type Source string

// The parts of the search path, first wins.
const (
	SourceFlag        Source = "flag"
	SourceEnvironment Source = "environment"
	SourceUser        Source = "user"
	SourceBundled     Source = "bundled"
	SourceSystem      Source = "system"
)

// EnvPath names the variable that lists plugin directories.
const EnvPath = "CLINVK_PLUGIN_PATH"

// Dir is one directory of the search path.
type Dir struct {
	Path   string
	Source Source
}

// SearchPath is where Scan looks, in order; directories need not exist. It never
// contains the working directory or PATH: whoever can write a file there must
// not be able to add code to a server.
func SearchPath(c Config) []Dir {
	getenv := c.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	var dirs []Dir
	add := func(source Source, paths ...string) {
		for _, p := range paths {
			// A relative directory means what it meant when it was given.
			if abs, err := filepath.Abs(p); p != "" && err == nil {
				dirs = append(dirs, Dir{Path: abs, Source: source})
			}
		}
	}
	if len(c.Dirs) > 0 {
		add(SourceFlag, c.Dirs...)
		add(SourceBundled, BundledDirs(c.Executable)...)
		return unique(dirs)
	}
	for _, p := range filepath.SplitList(getenv(EnvPath)) {
		if filepath.IsAbs(p) { // an empty or relative element would be the working directory
			add(SourceEnvironment, p)
		}
	}
	add(SourceUser, userDirs(getenv)...)
	add(SourceBundled, BundledDirs(c.Executable)...)
	if runtime.GOOS != "windows" {
		add(SourceSystem, "/usr/local/lib/clinvk/plugins", "/usr/lib/clinvk/plugins")
	}
	return unique(dirs)
}

func userDirs(getenv func(string) string) []string {
	home := getenv("HOME")
	if runtime.GOOS == "windows" {
		home = getenv("USERPROFILE")
	}
	var dirs []string
	switch data := getenv("XDG_DATA_HOME"); {
	case filepath.IsAbs(data):
		dirs = append(dirs, filepath.Join(data, "clinvk", "plugins"))
	case filepath.IsAbs(home):
		dirs = append(dirs, filepath.Join(home, ".local", "share", "clinvk", "plugins"))
	}
	if filepath.IsAbs(home) {
		dirs = append(dirs, filepath.Join(home, ".clinvk", "plugins"))
	}
	return dirs
}

// BundledDirs are where the plugins lie that come with the clinvk of this path;
// empty path: nowhere.
func BundledDirs(executable string) []string {
	if executable == "" {
		return nil
	}
	if real, err := filepath.EvalSymlinks(executable); err == nil {
		executable = real
	}
	dir := filepath.Dir(executable)
	return []string{dir, filepath.Join(filepath.Dir(dir), "libexec", "clinvk", "plugins")}
}

// unique keeps the first of equal directories.
func unique(dirs []Dir) []Dir {
	seen := map[string]bool{}
	out := dirs[:0]
	for _, d := range dirs {
		if !seen[d.Path] {
			seen[d.Path] = true
			out = append(out, d)
		}
	}
	return out
}
