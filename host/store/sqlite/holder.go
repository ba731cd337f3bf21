package sqlite

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"
)

var errClosed = errors.New("the store is closed")

// holder is what a store holds its leases by: a file that it keeps locked as long as
// it is open. The system takes the lock from a process that ends, so that whoever can
// lock the file knows that its leases are free.
//
// All that looks at the files of others does so while it writes to the database, so
// that nobody takes who looks for a holder.
type holder struct {
	dir    string
	mutex  sync.Mutex
	name   string // empty: none yet
	lock   *flock.Flock
	closed bool
}

// own is the name of the store's file, which it makes first if need be.
func (h *holder) own() (string, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	switch {
	case h.closed:
		return "", errClosed
	case h.name != "":
		return h.name, nil
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return "", err
	}
	if err := h.sweep(); err != nil {
		return "", err
	}
	name := rand.Text()
	lock := flock.New(h.path(name), flock.SetPermissions(0o600))
	if locked, err := lock.TryLock(); err != nil || !locked {
		return "", errors.Join(fmt.Errorf("locking %s: it is taken", lock.Path()), err)
	}
	h.name, h.lock = name, lock
	return name, nil
}

// known is the name of the store's file; empty: it has none.
func (h *holder) known() string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.name
}

// sweep removes the files of stores that are gone.
func (h *holder) sweep() error {
	files, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := h.gone(f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// gone tells whether the store with this file is no more, and removes the file then.
func (h *holder) gone(name string) (bool, error) {
	lock := flock.New(h.path(name), flock.SetFlag(os.O_RDWR)) // it makes no file
	locked, err := lock.TryLock()
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || !locked {
		return false, err
	}
	if err := lock.Close(); err != nil { // first, as Windows removes no open file
		return false, err
	}
	if err := os.Remove(lock.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, nil
}

// close gives the file up, for good.
func (h *holder) close() error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.closed = true
	if h.name == "" {
		return nil
	}
	h.name = ""
	err := h.lock.Close()
	if removed := os.Remove(h.lock.Path()); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

func (h *holder) path(name string) string { return filepath.Join(h.dir, filepath.Base(name)) }
