//go:build unix

package runner

import (
	"fmt"
	"os"
	"syscall"
)

// checkPrivate refuses a directory that somebody else owns or can enter: in /tmp
// anybody could have made it first.
func checkPrivate(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("looking at the runtime directory: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("the runtime directory %s is not a directory", path)
	case !ok || int(st.Uid) != os.Geteuid():
		return fmt.Errorf("the runtime directory %s belongs to somebody else: remove it or set another one", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("the runtime directory %s is open to others; run: chmod 700 %s", path, path)
	}
	return nil
}
