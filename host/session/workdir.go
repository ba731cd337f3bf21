package session

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// workDirs are the directories of sessions whose agents were told none: each finds in its
// own what it wrote in earlier turns. Agents write there what they like, links too, so
// that all is done within the directory that holds them.
type workDirs struct {
	home string // that they are below; empty: there are none
}

// workDirsName is that of the directory in home that holds them.
const workDirsName = "work"

// nameOf is the name of a session's directory: ids are unique for one owner only, and may
// differ in upper and lower case alone.
func (w workDirs) nameOf(owner, id string) string {
	sum := sha256.Sum256([]byte(owner + "\x00" + id))
	return hex.EncodeToString(sum[:16])
}

// open opens the directory of all, and makes it if need be.
func (w workDirs) open() (*os.Root, error) {
	home, err := os.OpenRoot(w.home)
	if err != nil {
		return nil, err
	}
	defer home.Close()
	if err := home.Mkdir(workDirsName, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return home.OpenRoot(workDirsName)
}

// make makes the session's directory, unless it is there, and returns its path.
func (w workDirs) make(owner, id string) (string, error) {
	all, err := w.open()
	if err != nil {
		return "", err
	}
	defer all.Close()
	name := w.nameOf(owner, id)
	if err := all.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return w.there(all, name)
}

// find is make for who must not make any; empty: there is none.
func (w workDirs) find(owner, id string) (string, error) {
	all, err := os.OpenRoot(filepath.Join(w.home, workDirsName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer all.Close()
	path, err := w.there(all, w.nameOf(owner, id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return path, err
}

// there returns the path of a directory, without links, as CLIs write it.
func (w workDirs) there(all *os.Root, name string) (string, error) {
	path := filepath.Join(all.Name(), name)
	info, err := all.Lstat(name)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is no directory any longer", path)
	}
	return filepath.EvalSymlinks(path)
}

// copy gives a branch what its original has.
func (w workDirs) copy(owner, from, to string) error {
	path, err := w.find(owner, from)
	if err != nil || path == "" {
		return err
	}
	source, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer source.Close()
	if path, err = w.make(owner, to); err != nil {
		return err
	}
	return os.CopyFS(path, source.FS()) // links stay links
}

// remove removes a session's directory, if it has one.
func (w workDirs) remove(owner, id string) error {
	path, err := w.find(owner, id)
	if err == nil && path == "" {
		return nil
	}
	all, err := w.open()
	if err != nil {
		return err
	}
	defer all.Close()
	name := w.nameOf(owner, id)
	if err = all.RemoveAll(name); errors.Is(err, fs.ErrPermission) { // some tools protect what they have fetched
		unlock(all, name)
		err = all.RemoveAll(name)
	}
	return err
}

// unlock makes directories writable, as far as that can be done.
func unlock(all *os.Root, name string) {
	_ = fs.WalkDir(all.FS(), name, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = all.Chmod(path, 0o700)
		}
		return nil
	})
}
