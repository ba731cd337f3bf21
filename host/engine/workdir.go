package engine

import (
	"os"
	"path/filepath"
	"strings"
)

// WorkingDirs says where agents may work.
type WorkingDirs struct {
	// Allowed prefixes; empty: everywhere that is not blocked.
	Allowed []string
	// Blocked prefixes win over allowed ones.
	Blocked []string
}

// check resolves symlinks in dir and says whether agents may work there.
func (w WorkingDirs) check(dir string) (resolved string, err error) {
	refuse := func(format string, args ...any) error {
		e := Errorf(CodeInvalidRequest, format, args...)
		e.Param = "workdir"
		return e
	}
	if !filepath.IsAbs(dir) {
		return "", refuse("the working directory %q is not an absolute path", dir)
	}
	resolved, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return "", refuse("the working directory %q does not exist", dir)
	}
	if info, err := os.Stat(resolved); err != nil || !info.IsDir() {
		return "", refuse("the working directory %q is not a directory", dir)
	}
	if below(resolved, w.Blocked) {
		return "", refuse("the working directory %q is blocked by server.blocked_workdir_prefixes", dir)
	}
	if len(w.Allowed) > 0 && !below(resolved, w.Allowed) {
		return "", refuse("the working directory %q is not below one of server.allowed_workdir_prefixes", dir)
	}
	return resolved, nil
}

// below says whether dir is one of the prefixes or below it, as directories.
func below(dir string, prefixes []string) bool {
	for _, p := range prefixes {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		rel, err := filepath.Rel(p, dir)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}
