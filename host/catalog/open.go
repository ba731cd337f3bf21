package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	// SHA256 is the lower-case hex digest of what was opened: the binary, or, of an
	// interpreted plugin, the list of digests and names of the manifest and of the
	// files in its command. An interpreter from PATH is the system's and not part.
	SHA256 string

	byPath []part // what is opened again, by its path, when it is started
}

// Unchanged fails when a file that the start opened again by its path has been
// replaced or written to since it was hashed. What is executed by its descriptor
// may be.
func (p *Program) Unchanged() error {
	for _, f := range p.byPath {
		now, err := os.Stat(f.path)
		if err != nil {
			return fmt.Errorf("looking at %s again: %w", f.path, err)
		}
		if !os.SameFile(f.info, now) || !now.ModTime().Equal(f.info.ModTime()) || now.Size() != f.info.Size() {
			return fmt.Errorf("%s has changed while it was started", f.path)
		}
	}
	return nil
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
	if err := p.hash(e.Path); err != nil {
		p.Close()
		return nil, fmt.Errorf("hashing %s: %w", e.Path, err)
	}
	return p, nil
}

// hash takes the digest of the binary and notes whether it will be started by its
// path: scripts are, and everything where no descriptor can be executed.
func (p *Program) hash(path string) error {
	var magic [2]byte
	n, err := p.File.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if runtime.GOOS != "linux" || string(magic[:n]) == "#!" {
		info, err := p.File.Stat()
		if err != nil {
			return err
		}
		p.byPath = append(p.byPath, part{path: path, info: info})
	}
	p.SHA256, err = digest(p.File)
	return err
}

// openCommand checks the manifest, the interpreter and every word of the command
// that names a file, and hashes what belongs to the plugin. The command is that of
// the bytes that are hashed, whatever the manifest said before.
func (e Entry) openCommand() (*Program, error) {
	m, sum, err := readManifest(e.Path, e.Insecure)
	if err != nil {
		return nil, err
	}
	if len(m.Command) == 0 {
		return nil, fmt.Errorf("%s has lost its command", e.Path)
	}
	p := &Program{Path: m.Command[0], Args: m.Command[1:], Dir: filepath.Dir(e.Path)}
	list := sha256.New()
	fmt.Fprintf(list, "%s  %q\n", sum, filepath.Base(e.Path))
	var own []part
	if strings.ContainsAny(p.Path, `/\`) {
		p.Path = p.in(p.Path)
		own = append(own, part{word: m.Command[0], path: p.Path, executable: true})
	} else if p.Path, err = interpreter(p.Path, e.Insecure); err != nil {
		return nil, err
	}
	for _, arg := range p.Args {
		if info, err := os.Stat(p.in(arg)); err == nil && info.Mode().IsRegular() {
			own = append(own, part{word: arg, path: p.in(arg)})
		}
	}
	for i := range own {
		f := &own[i]
		sum, err := f.digest(e.Insecure)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(list, "%s  %q\n", sum, f.word)
	}
	p.SHA256, p.byPath = hex.EncodeToString(list.Sum(nil)), own
	return p, nil
}

// interpreter finds and checks a program in PATH.
func interpreter(name string, insecure bool) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the manifest's command %q is not in PATH: install it or name it with its directory", name)
	}
	f, err := openChecked(path, true, insecure)
	if err != nil {
		return "", err
	}
	_ = f.Close() // opened for reading
	return path, nil
}

// in is a word of the command as a path.
func (p *Program) in(word string) string {
	if filepath.IsAbs(word) {
		return word
	}
	return filepath.Join(p.Dir, word)
}

// part is a file of an interpreted plugin.
type part struct {
	word, path string
	executable bool
	info       fs.FileInfo // as it was when it was hashed
}

func (f *part) digest(insecure bool) (string, error) {
	file, err := openChecked(f.path, f.executable, insecure)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if f.info, err = file.Stat(); err != nil {
		return "", fmt.Errorf("looking at %s: %w", f.path, err)
	}
	sum, err := digest(file)
	if err != nil {
		return "", fmt.Errorf("hashing %s: %w", f.path, err)
	}
	return sum, nil
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
