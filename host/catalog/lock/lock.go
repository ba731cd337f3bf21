package lock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/clinvk/clinvk/host/catalog"
)

// Name of the file in CLINVK_HOME.
const Name = "plugins.lock"

// schemaVersion is that of the only form there is.
const schemaVersion = 1

// maxSize bounds the file, in bytes: a record has some kilobytes.
const maxSize = 16 << 20

// Waiting for another process that writes the file.
const (
	waitMost  = 5 * time.Second
	waitEvery = 5 * time.Millisecond
)

// File is a lock file. Its methods may be called concurrently, by several
// processes too.
type File struct {
	path     string
	insecure bool
}

// New names a lock file, which need not exist; insecure lets others write to it,
// for containers whose files belong to somebody else.
func New(path string, insecure bool) *File { return &File{path: path, insecure: insecure} }

// Path of the file.
func (f *File) Path() string { return f.path }

// Error says why the lock file cannot be used.
type Error struct {
	Path string
	Err  error
}

// Error tells what is wrong and what to do.
func (e *Error) Error() string {
	return fmt.Sprintf("%s cannot be used: %v; mend it, or remove it and approve plugins anew", e.Path, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Read returns what the file holds; a missing one holds nothing. Its error is an
// *Error.
func (f *File) Read() (*Content, error) {
	c, _, err := f.read()
	return c, err
}

func (f *File) read() (*Content, []byte, error) {
	text, err := f.text()
	if errors.Is(err, fs.ErrNotExist) {
		return &Content{SchemaVersion: schemaVersion}, nil, nil
	}
	if err != nil {
		return nil, nil, &Error{Path: f.path, Err: err}
	}
	c, err := Parse(text)
	if err != nil {
		return nil, nil, &Error{Path: f.path, Err: err}
	}
	return c, text, nil
}

func (f *File) text() ([]byte, error) {
	if _, err := os.Lstat(f.path); err != nil { //nolint:gosec // the user says where it is
		return nil, err
	}
	file, err := catalog.OpenTrusted(f.path, f.insecure)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxSize+1))
}

// Parse decodes a lock file strictly: what this version does not know could be a
// condition of an approval.
func Parse(text []byte) (*Content, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("it is larger than %d MiB", maxSize>>20)
	}
	var head struct {
		SchemaVersion int `json:"schema_version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	if head.SchemaVersion != schemaVersion {
		return nil, fmt.Errorf("its schema_version is %d; this clinvk knows %d", head.SchemaVersion, schemaVersion)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	c := &Content{}
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("it is not a lock file: %w", err)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// Update lets change work on what the file holds, while no other process can, and
// writes the outcome. Nothing is written when change returns an error, which
// Update returns, or when it changes nothing.
func (f *File) Update(ctx context.Context, change func(*Content) error) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil { //nolint:gosec // the user says where it is
		return fmt.Errorf("making the directory of %s: %w", f.path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, waitMost)
	defer cancel()
	// A file of its own: the rename below replaces the lock file itself.
	guard := flock.New(f.path+".guard", flock.SetPermissions(0o600))
	if _, err := guard.TryLockContext(ctx, waitEvery); err != nil {
		return fmt.Errorf("waiting for another clinvk that writes %s: %w", f.path, err)
	}
	defer guard.Close()
	c, before, err := f.read()
	if err != nil {
		return err
	}
	if err := change(c); err != nil {
		return err
	}
	after, err := c.text()
	if err != nil {
		return fmt.Errorf("encoding %s: %w", f.path, err)
	}
	if bytes.Equal(before, after) {
		return nil
	}
	return f.write(after)
}

// write replaces the file in one step, so that readers see the old one or the new
// one, also after a loss of power.
func (f *File) write(text []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(f.path), "."+Name+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	defer func() {
		if err != nil {
			_ = temp.Close()
			_ = os.Remove(temp.Name()) // what remains says that something went wrong
			err = fmt.Errorf("writing %s: %w", f.path, err)
		}
	}()
	if _, err := temp.Write(text); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), f.path)
}
