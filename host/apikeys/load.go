package apikeys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Sources of keys; a server takes those of all.
type Sources struct {
	// Keys of the environment (CLINVK_API_KEYS), each as a line of the file.
	Keys []string
	// File with keys; it may begin with ~/; empty: none.
	File string
	// GopassPath is an entry of gopass with keys; empty: none.
	GopassPath string
	// GopassTimeout; 0: 10 s.
	GopassTimeout time.Duration
}

// Any says whether there is a source.
func (s Sources) Any() bool { return len(s.Keys) > 0 || s.File != "" || s.GopassPath != "" }

// Error is a source that cannot be used; it shows no key.
type Error struct {
	// Key of the configuration that names the source; nil: the environment.
	Key []string
	Err error
}

func (e *Error) Error() string {
	if e.Key == nil {
		return "CLINVK_API_KEYS: " + e.Err.Error()
	}
	return strings.Join(e.Key, ".") + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Load reads the keys of all sources. A source that cannot be read, or has none, is an
// *Error that says what to do.
func (s Sources) Load(ctx context.Context) ([]Key, error) {
	keys, err := parse([]byte(strings.Join(s.Keys, "\n")))
	if err != nil {
		return nil, &Error{Err: err}
	}
	if len(keys) < len(s.Keys) { // it would be a comment in a file, and there may be no key left
		return nil, &Error{Err: errors.New("a key must not be empty or begin with #")}
	}
	for _, source := range []struct {
		name, key string
		read      func(ctx context.Context) ([]byte, error)
	}{
		{s.File, "api_keys_file", func(context.Context) ([]byte, error) { return s.readFile() }},
		{s.GopassPath, "api_keys_gopass_path", s.askGopass},
	} {
		if source.name == "" {
			continue
		}
		more, err := readKeys(ctx, source.name, source.read)
		if err != nil {
			return nil, &Error{Key: []string{"server", source.key}, Err: err}
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

func readKeys(ctx context.Context, name string, read func(ctx context.Context) ([]byte, error)) ([]Key, error) {
	text, err := read(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(keys) == 0:
		return nil, fmt.Errorf("%s has no keys; take it out of the configuration to need none", name)
	}
	return keys, nil
}

// maxSize bounds what a source may say, in bytes.
const maxSize = 1 << 20

// Path of the file, absolute; empty: there is none.
func (s Sources) Path() (string, error) {
	if rest, ok := strings.CutPrefix(s.File, "~/"); ok {
		home, err := os.UserHomeDir()
		return filepath.Join(home, rest), err
	}
	return s.File, nil
}

func (s Sources) readFile() ([]byte, error) {
	path, err := s.Path()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path) // opening a pipe would wait
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil { // of what was opened
		return nil, err
	}
	if err := private(path, info); err != nil {
		return nil, err
	}
	return readAll(f, path)
}

func readAll(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err == nil && len(text) > maxSize {
		err = fmt.Errorf("%s has more than %d KiB", name, maxSize>>10)
	}
	return text, err
}

const (
	gopassTimeout = 10 * time.Second
	// gopassGrace is how long what it has started may keep its output open.
	gopassGrace = time.Second
	// maxComplaint bounds how much of its errors is shown, in bytes.
	maxComplaint = 300
)

// askGopass asks for the secret of an entry, which is one line: keys in it are
// separated by commas.
func (s Sources) askGopass(ctx context.Context) ([]byte, error) {
	limit := s.GopassTimeout
	if limit <= 0 {
		limit = gopassTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "gopass", "show", "-o", s.GopassPath)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &limited{&stdout, maxSize}, &limited{&stderr, maxComplaint}, gopassGrace
	together(cmd)
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("gopass is not installed, or not on PATH")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("gopass show -o %s did not answer within %v; it may wait for a passphrase: run it by hand first", s.GopassPath, limit)
	case err != nil:
		return nil, fmt.Errorf("gopass show -o %s: %w: %s", s.GopassPath, err, strings.TrimSpace(stderr.String()))
	}
	return bytes.ReplaceAll(stdout.Bytes(), []byte(","), []byte("\n")), nil
}

// limited drops what is beyond a limit.
type limited struct {
	buffer *bytes.Buffer
	most   int
}

func (l *limited) Write(p []byte) (int, error) {
	l.buffer.Write(p[:min(len(p), max(0, l.most-l.buffer.Len()))])
	return len(p), nil
}
