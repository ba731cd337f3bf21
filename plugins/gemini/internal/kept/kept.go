package kept

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// ErrGone says that no conversation of that name is kept.
var ErrGone = errors.New("no such conversation is kept")

// Session is one state of a conversation.
type Session struct {
	// Title is for people.
	Title string
	// WorkingDir that the agent worked in; may be empty.
	WorkingDir string
	// Contents is all that was said, without the caller's instructions.
	Contents []wire.Content
}

// Info describes a kept conversation.
type Info struct {
	Name, Title, WorkingDir string
	Updated                 time.Time
}

// Store is a directory of conversations. A file never changes: what was said since
// makes a new one, so that a name can only stand for what it was given for. Its
// methods may be called concurrently, by several processes too.
type Store struct{ dir string }

// New makes the directory.
func New(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the sessions: %w", err)
	}
	return &Store{dir: dir}, nil
}

const extension = ".jsonl"

// path is that of a name that Save could have given; false: it could not.
func (s *Store) path(name string) (string, bool) {
	id, err := uuid.Parse(name)
	if err != nil || id.String() != name {
		return "", false
	}
	return filepath.Join(s.dir, name+extension), true
}

// Save keeps a conversation and returns its name.
func (s *Store) Save(session Session) (name string, err error) {
	b, err := session.encode()
	if err != nil {
		return "", fmt.Errorf("keeping the session: %w", err)
	}
	name = uuid.NewString()
	path, _ := s.path(name)
	f, err := os.CreateTemp(s.dir, "new-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("keeping the session: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("keeping the session: %w", err)
	}
	return name, nil
}

// Load fails with ErrGone when there is no such conversation.
func (s *Store) Load(name string) (Session, error) {
	path, ok := s.path(name)
	if !ok {
		return Session{}, ErrGone
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Session{}, ErrGone
	}
	if err != nil {
		return Session{}, fmt.Errorf("reading a kept session: %w", err)
	}
	session, err := decode(b)
	if err != nil {
		return Session{}, fmt.Errorf("reading the kept session %s: %w", name, err)
	}
	return session, nil
}

// Delete forgets a conversation; one that is not there is no error.
func (s *Store) Delete(name string) error {
	path, ok := s.path(name)
	if !ok {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting a kept session: %w", err)
	}
	return nil
}

// List lists the conversations, newest first. Files that are none are left out.
func (s *Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the kept sessions: %w", err)
	}
	var out []Info
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), extension)
		path, valid := s.path(name)
		if !ok || !valid {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // deleted meanwhile
		}
		h, err := readHeader(path)
		if err != nil {
			continue
		}
		out = append(out, Info{Name: name, Title: h.Title, WorkingDir: h.WorkingDir, Updated: info.ModTime()})
	}
	slices.SortFunc(out, func(a, b Info) int {
		return cmp.Or(b.Updated.Compare(a.Updated), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

// Prune deletes what has not changed for that long: conversations that nobody has
// gone on with, and what a crash has left.
func (s *Store) Prune(age time.Duration) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("pruning the kept sessions: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < age {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("pruning the kept sessions: %w", err)
		}
	}
	return nil
}

// version of the format: a first line with a header, then a line for each content.
const version = 1

type header struct {
	Version    int    `json:"version"`
	Title      string `json:"title"`
	WorkingDir string `json:"working_dir"`
	// Contents is how many follow, so that a part of a file is known as one.
	Contents int `json:"contents"`
}

func (h header) check() error {
	if h.Version != version {
		return fmt.Errorf("it has the format %d instead of %d", h.Version, version)
	}
	return nil
}

func (session Session) encode() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	err := enc.Encode(header{Version: version, Title: session.Title, WorkingDir: session.WorkingDir, Contents: len(session.Contents)})
	for _, c := range session.Contents {
		err = errors.Join(err, enc.Encode(c))
	}
	return out.Bytes(), err
}

func decode(b []byte) (Session, error) {
	var h header
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&h); err != nil {
		return Session{}, err
	}
	if err := h.check(); err != nil {
		return Session{}, err
	}
	session := Session{Title: h.Title, WorkingDir: h.WorkingDir}
	for {
		var c wire.Content
		err := d.Decode(&c)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Session{}, err
		}
		if c.Role != "user" && c.Role != "model" || len(c.Parts) == 0 {
			return Session{}, fmt.Errorf("content %d is no message", len(session.Contents)+1)
		}
		session.Contents = append(session.Contents, c)
	}
	if len(session.Contents) != h.Contents {
		return Session{}, fmt.Errorf("it holds %d messages instead of %d", len(session.Contents), h.Contents)
	}
	return session, nil
}

func readHeader(path string) (h header, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil {
		return h, err
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, err
	}
	return h, h.check()
}
