package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is a checked plugin, ready to be started.
type Program struct {
	// File is the open binary that was checked and hashed: executing this
	// descriptor runs what was checked even when the path is swapped. Nil for an
	// interpreted plugin.
	File *os.File
	// Path is the binary, symbolic links resolved, or the interpreter.
	Path string
	// Args are the arguments without the program's name.
	Args []string
	// Dir is the working directory that an interpreted plugin wants; empty: any.
	Dir string
	// SHA256 is the lower-case hex digest of what was opened: the binary, or the
	// manifest of an interpreted plugin.
	SHA256 string
}

// Close closes the descriptor. It may be called more than once.
func (p *Program) Close() {
	if p.File != nil {
		_ = p.File.Close() // opened for reading
	}
}

// Open checks the plugin's files again, hashes and returns what to run. The
// caller closes it. An entry that is refused stays so until Reload.
func (e Entry) Open() (*Program, error) {
	if e.Refused != nil {
		return nil, e.Refused
	}
	if e.Interpreted() {
		return e.openCommand()
	}
	f, err := openChecked(e.Path, true, e.Insecure)
	if err != nil {
		return nil, err
	}
	p := &Program{File: f, Path: e.Path}
	if real, err := filepath.EvalSymlinks(e.Path); err == nil {
		p.Path = real
	}
	if p.SHA256, err = digest(f); err != nil {
		p.Close()
		return nil, fmt.Errorf("hashing %s: %w", e.Path, err)
	}
	return p, nil
}

// openCommand checks the manifest, the interpreter and every argument that is a
// file beside the manifest.
func (e Entry) openCommand() (*Program, error) {
	dir := filepath.Dir(e.Path)
	f, err := openChecked(e.Path, false, e.Insecure)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &Program{Path: e.Manifest.Command[0], Args: e.Manifest.Command[1:], Dir: dir}
	if strings.ContainsAny(p.Path, `/\`) {
		if !filepath.IsAbs(p.Path) {
			p.Path = filepath.Join(dir, p.Path)
		}
	} else if p.Path, err = exec.LookPath(p.Path); err != nil {
		return nil, fmt.Errorf("the manifest's command %q is not in PATH: install it or name it with its directory", e.Manifest.Command[0])
	}
	check := []string{p.Path}
	for _, arg := range p.Args {
		path := arg
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, arg)
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			check = append(check, path)
		}
	}
	for i, path := range check {
		g, err := openChecked(path, i == 0, e.Insecure)
		if err != nil {
			return nil, err
		}
		_ = g.Close() // opened for reading
	}
	if p.SHA256, err = digest(f); err != nil {
		return nil, fmt.Errorf("hashing %s: %w", e.Path, err)
	}
	return p, nil
}

// openChecked opens a file and checks the descriptor, so that what is checked is
// what is used.
func openChecked(path string, executable, insecure bool) (*os.File, error) {
	// Looked at before it is opened: opening a FIFO would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := checkFile(f, path, executable, insecure); err != nil {
		_ = f.Close() // opened for reading
		return nil, err
	}
	return f, nil
}

func checkFile(f *os.File, path string, executable, insecure bool) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if executable {
		if err := checkExecutable(path, info); err != nil {
			return err
		}
	}
	if insecure {
		return nil
	}
	return checkPermissions(path, info)
}

func digest(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
