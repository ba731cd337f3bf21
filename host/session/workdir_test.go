package session_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/session"
	"github.com/clinvk/clinvk/host/store"
	"github.com/clinvk/clinvk/test/await"
)

// homed is a world whose agents have directories of their sessions', and their home.
func homed(t *testing.T, change ...func(*session.Config)) (*world, string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	return newWorld(t, append(change, func(c *session.Config) { c.Home = home })...), home
}

// dir is where the last turn's agent worked.
func (w *world) dir() string { return w.last().Session.WorkingDir }

// left lists what is in the directory of all directories.
func left(t *testing.T, home string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(filepath.Join(home, "work"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range all {
		names = append(names, f.Name())
	}
	return names
}

func put(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func holds(dir, name string) bool {
	text, err := os.ReadFile(filepath.Join(dir, name))
	return err == nil && string(text) == "text"
}

// TestWorkDirStays: what an agent wrote in the first turn is there in the next one, and
// goes with the session.
func TestWorkDirStays(t *testing.T) {
	w, home := homed(t)
	id, _ := w.must(t, ask("one", engine.Keep{}))
	dir := w.dir()
	info, err := os.Stat(dir)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", info, err)
	}
	put(t, dir, "notes")
	w.must(t, ask("two", engine.Keep{ID: id}))
	if w.dir() != dir || !holds(dir, "notes") || string(w.last().Session.Token) != "token 1" {
		t.Errorf("the next turn has %+v", w.last().Session)
	}
	if w.last().WorkingDir != "" { // it would be held against the directories that clients may name
		t.Errorf("it counts as named: %s", w.last().WorkingDir)
	}
	w.must(t, ask("other", engine.Keep{}))
	if w.dir() == dir {
		t.Error("two sessions share one")
	}
	if _, err := w.Keeper.Preview(t.Context(), ask("three", engine.Keep{ID: id})); err != nil || w.dir() != dir {
		t.Errorf("a dry run has %s, %v", w.dir(), err)
	}
	named := ask("four", engine.Keep{ID: id})
	named.WorkingDir = t.TempDir()
	w.must(t, named)
	if w.dir() != "" {
		t.Errorf("a turn that names one has %s", w.dir())
	}
	if err := w.Delete(t.Context(), "", id); err != nil {
		t.Fatal(err)
	}
	if names := left(t, home); len(names) != 1 || holds(dir, "notes") {
		t.Errorf("left are %v", names)
	}
}

// TestNoWorkDir: who needs none gets none, and a turn that comes to nothing leaves none.
func TestNoWorkDir(t *testing.T) {
	w, home := homed(t)
	chat := ask("one", engine.Keep{})
	chat.Mode = engine.ModeChat
	id, _ := w.must(t, chat)
	if _, err := w.Keeper.Preview(t.Context(), ask("two", engine.Keep{ID: id})); err != nil {
		t.Fatal(err)
	}
	w.answer = func(*engine.Turn) ([]engine.Event, error) { return nil, engine.Errorf(engine.CodeOverloaded, "no") }
	if _, _, err := w.run(t, ask("three", engine.Keep{})); err == nil {
		t.Fatal("it worked")
	}
	if names := left(t, home); len(names) != 0 {
		t.Errorf("left are %v", names)
	}
}

// TestWorkDirOfBranch: a branch has a copy, and a backend that looks for its session in
// the directory makes a new one.
func TestWorkDirOfBranch(t *testing.T) {
	for _, bound := range []bool{false, true} {
		w, _ := homed(t)
		w.bound = bound
		id, _ := w.must(t, ask("one", engine.Keep{}))
		parent := w.dir()
		put(t, parent, "notes")
		w.must(t, ask("left", engine.Keep{ID: id, Fork: true}))
		branch := w.dir()
		if branch == parent || !holds(branch, "notes") {
			t.Errorf("the branch works in %s, the session in %s", branch, parent)
		}
		if got := w.last().Session.Token == nil; got != bound {
			t.Errorf("bound %v: no token %v", bound, got)
		}
		put(t, branch, "more")
		if holds(parent, "more") {
			t.Error("the branch writes in the session's")
		}
	}
}

// TestWorkDirLinks: what agents put in place of their directories, or into them, leads
// nowhere else.
func TestWorkDirLinks(t *testing.T) {
	w, home := homed(t)
	outside := t.TempDir()
	put(t, outside, "mine")
	id, _ := w.must(t, ask("one", engine.Keep{}))
	dir := w.dir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	branch, _ := w.must(t, ask("left", engine.Keep{ID: id, Fork: true}))
	if info, err := os.Lstat(filepath.Join(w.dir(), "link")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the branch has %v, %v", info, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, dir); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.run(t, ask("two", engine.Keep{ID: id}))
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeStorage || e.Param != "workdir" {
		t.Errorf("a link is worked in: %v", err)
	}
	for _, each := range []string{id, branch} {
		if err := w.Delete(t.Context(), "", each); err != nil {
			t.Fatal(err)
		}
	}
	if names := left(t, home); len(names) != 0 || !holds(outside, "mine") {
		t.Errorf("left are %v", names)
	}
}

// TestWorkDirLocked: directories that may not be written to go as well.
func TestWorkDirLocked(t *testing.T) {
	w, home := homed(t)
	id, _ := w.must(t, ask("one", engine.Keep{}))
	locked := filepath.Join(w.dir(), "modules")
	if err := os.Mkdir(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, locked, "text")
	if err := os.Chmod(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := w.Delete(t.Context(), "", id); err != nil {
		t.Fatal(err)
	}
	if names := left(t, home); len(names) != 0 {
		t.Errorf("left are %v", names)
	}
}

// aging is a store that finds all sessions old.
type aging struct{ session.Store }

func (a aging) PruneSessions(ctx context.Context, p store.Policy) ([]store.Deleted, error) {
	if p.Age > 0 {
		p.Age = time.Nanosecond
	}
	return a.Store.PruneSessions(ctx, p)
}

// TestWorkDirExpires: with its session.
func TestWorkDirExpires(t *testing.T) {
	w, home := homed(t, func(c *session.Config) { c.Store, c.Retention = aging{c.Store}, time.Hour })
	w.must(t, ask("one", engine.Keep{}))
	w.Tidy(t.Context())
	if names := left(t, home); len(names) != 1 {
		t.Errorf("there are %v", names)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	await.Until(t, 10*time.Second, "its end", func() bool { return len(left(t, home)) == 0 })
}
