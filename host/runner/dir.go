package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// maxSocketPath is what fits into a socket address everywhere (macOS: 104 bytes
// with the final zero). socketSuffix is the directory of a
// process and what go-plugin makes in it.
const (
	maxSocketPath = 103
	socketSuffix  = len("/zzzz/plugin-dir4294967295/plugin4294967295")
)

// Dir is a private directory of this host for sockets and scratch files. It is
// removed by Remove. When the host is killed a janitor process removes it and ends
// what plugins left running; when that one is killed too, the next host does.
type Dir struct {
	path    string
	janitor *janitor
	once    sync.Once
}

// NewDir removes the directories of dead hosts below base and makes one for this
// host, with mode 0700. An empty base is $XDG_RUNTIME_DIR/clinvk, or
// /tmp/clinvk-UID: not TMPDIR, which is too long for socket addresses on macOS.
func NewDir(base string) (*Dir, error) {
	base, err := Base(base)
	if err != nil {
		return nil, err
	}
	if err := sweepDirs(base); err != nil {
		return nil, fmt.Errorf("clearing the runtime directory: %w", err)
	}
	d := &Dir{path: filepath.Join(base, newInstance())}
	if n := len(d.path) + socketSuffix; n > maxSocketPath && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the runtime directory %s is too long for sockets (%d bytes over the limit): set XDG_RUNTIME_DIR to a shorter one", base, n-maxSocketPath)
	}
	// A directory of this name can only be left from a time when the clock of the
	// identity stood the same; what is in it is not ours.
	if err := os.RemoveAll(d.path); err != nil {
		return nil, fmt.Errorf("clearing the runtime directory: %w", err)
	}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("making the runtime directory: %w", err)
	}
	prepareGroups()                   // before there are processes that would have to move
	d.janitor, _ = newJanitor(d.path) // without one the next host cleans up
	return d, nil
}

// Base makes the directory that those of all hosts of this user are in, and checks
// that nobody else can write there. An empty base is as for NewDir.
func Base(base string) (string, error) {
	if base == "" {
		base = defaultBase()
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", fmt.Errorf("making the runtime directory: %w", err)
	}
	return base, checkPrivate(base)
}

func defaultBase() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.TempDir(), "clinvk")
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() { //nolint:gosec // the user says where it is
			return filepath.Join(dir, "clinvk")
		}
	}
	return fmt.Sprintf("/tmp/clinvk-%d", os.Getuid())
}

// sweepDirs removes what dead hosts left.
func sweepDirs(base string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if host, ok := hostOf(e.Name()); ok && e.IsDir() && hostDead(host) {
			if err := os.RemoveAll(filepath.Join(base, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Path of the directory.
func (d *Dir) Path() string { return d.path }

// Fresh makes an empty directory in it, replacing one of the same name.
func (d *Dir) Fresh(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, `/\`) || name[0] == '.' {
		return "", fmt.Errorf("%q is no name for a directory", name)
	}
	path := filepath.Join(d.path, name)
	if err := os.RemoveAll(path); err != nil {
		return "", fmt.Errorf("clearing a scratch directory: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("making a scratch directory: %w", err)
	}
	return path, nil
}

// Remove removes it with everything in it. It may be called more than once.
func (d *Dir) Remove() error {
	d.once.Do(d.janitor.dismiss)
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("removing the runtime directory: %w", err)
	}
	return nil
}
