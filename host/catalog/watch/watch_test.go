package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a watcher until the test ends; its changes arrive on the channel.
func start(t *testing.T, c Config) <-chan struct{} {
	t.Helper()
	c.Quiet = 20 * time.Millisecond
	if c.Every == 0 {
		c.Every = time.Hour
	}
	w := New(c)
	if w.fs == nil {
		t.Fatal("the system gives no news")
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan struct{}, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx, func(context.Context) { changes <- struct{}{} })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return changes
}

// told waits for the news of what was just done, and for the end of the news.
func told(t *testing.T, changes <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(10 * time.Second):
		t.Fatalf("not told of: %s", what)
	}
	calm := time.NewTimer(100 * time.Millisecond)
	defer calm.Stop()
	for {
		select {
		case <-changes:
		case <-calm.C:
			return
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte("text"), 0o600))
}

// TestDirectory does one thing after the other to a directory that is watched.
func TestDirectory(t *testing.T) {
	base := t.TempDir()
	dir, other := filepath.Join(base, "plugins"), filepath.Join(base, "other")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Mkdir(other, 0o700))
	file, second := filepath.Join(dir, "clinvk-backend-a"), filepath.Join(dir, "clinvk-backend-b")
	changes := start(t, Config{Dirs: []string{dir}})
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"create", func() error { return os.WriteFile(file, nil, 0o600) }},
		{"write", func() error { return os.WriteFile(file, []byte("text"), 0o600) }},
		{"chmod", func() error { return os.Chmod(file, 0o700) }},
		{"rename", func() error { return os.Rename(file, second) }},
		{"rename into it", func() error {
			outside := filepath.Join(other, "x")
			write(t, outside)
			return os.Rename(outside, file)
		}},
		{"rename over", func() error { return os.Rename(file, second) }},
		{"rename out of it", func() error { return os.Rename(second, filepath.Join(other, "b")) }},
		{"symbolic link", func() error { return os.Symlink(filepath.Join(other, "b"), file) }},
		{"delete", func() error { return os.Remove(file) }},
		{"chmod of the directory", func() error { return os.Chmod(dir, 0o755) }},
		{"delete the directory", func() error { return os.Remove(dir) }},
		{"create the directory", func() error { return os.Mkdir(dir, 0o700) }},
		{"create in the new directory", func() error { return os.WriteFile(file, nil, 0o600) }},
		{"rename the directory", func() error { return os.Rename(dir, dir+".old") }},
		{"put another in its place", func() error { return os.Rename(other, dir) }},
		{"create in that one", func() error { return os.WriteFile(file, nil, 0o600) }},
	} {
		must(t, step.do())
		told(t, changes, step.name)
	}
}

// TestNothing shows that what happens elsewhere is not told.
func TestNothing(t *testing.T) {
	base := t.TempDir()
	dir, lock := filepath.Join(base, "plugins"), filepath.Join(base, "plugins.lock")
	must(t, os.Mkdir(dir, 0o700))
	changes := start(t, Config{Dirs: []string{dir, filepath.Join(base, "missing", "below")}, Files: []string{lock}})
	write(t, filepath.Join(base, "state.db"))
	write(t, filepath.Join(base, "plugins.lock.new"))
	must(t, os.Mkdir(filepath.Join(base, "elsewhere"), 0o700))
	select {
	case <-changes:
		t.Fatal("told of nothing")
	case <-time.After(200 * time.Millisecond):
	}
	must(t, os.Rename(filepath.Join(base, "plugins.lock.new"), lock))
	told(t, changes, "a file of its own")
}

// TestLater shows that directories are found when they are made, several levels
// at once, and files in them at once.
func TestLater(t *testing.T) {
	base := t.TempDir()
	dir, lock := filepath.Join(base, "a", "b", "plugins"), filepath.Join(base, "home", "plugins.lock")
	changes := start(t, Config{Dirs: []string{dir}, Files: []string{lock}})
	must(t, os.MkdirAll(dir, 0o700))
	told(t, changes, "the directory")
	write(t, filepath.Join(dir, "x"))
	told(t, changes, "a file in it")
	must(t, os.RemoveAll(filepath.Join(base, "a")))
	told(t, changes, "its removal with its parents")
	must(t, os.MkdirAll(filepath.Join(base, "a", "b"), 0o700))
	told(t, changes, "the parents")
	must(t, os.MkdirAll(dir, 0o700))
	write(t, filepath.Join(dir, "x"))
	told(t, changes, "the directory with a file")
	must(t, os.Mkdir(filepath.Join(base, "home"), 0o700))
	told(t, changes, "the file's directory")
	write(t, lock)
	told(t, changes, "the file")
}

// TestSwitchedLink shows that a directory that is a symbolic link is followed when
// the link is switched.
func TestSwitchedLink(t *testing.T) {
	base := t.TempDir()
	one, two, dir := filepath.Join(base, "1"), filepath.Join(base, "2"), filepath.Join(base, "current")
	must(t, os.Mkdir(one, 0o700))
	must(t, os.Mkdir(two, 0o700))
	must(t, os.Symlink(one, dir))
	changes := start(t, Config{Dirs: []string{dir}})
	write(t, filepath.Join(one, "x"))
	told(t, changes, "a file behind the link")
	must(t, os.Symlink(two, dir+".new"))
	must(t, os.Rename(dir+".new", dir))
	told(t, changes, "the switch")
	write(t, filepath.Join(two, "x"))
	told(t, changes, "a file behind the new link")
}

// TestRegularly shows that a look is taken without news, too.
func TestRegularly(t *testing.T) {
	changes := start(t, Config{Dirs: []string{t.TempDir()}, Every: 50 * time.Millisecond})
	for range 3 {
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Fatal("no look was taken")
		}
	}
}

// TestBurst shows when a change is told: once it is quiet, or when it was never
// quiet for long.
func TestBurst(t *testing.T) {
	for _, tt := range []struct {
		name     string
		events   int
		interval time.Duration
		want     []time.Duration
	}{
		{"one event", 1, 0, []time.Duration{250 * time.Millisecond}},
		{"a copy in many steps", 20, 100 * time.Millisecond, []time.Duration{1900*time.Millisecond + 250*time.Millisecond}},
		{"two files", 2, time.Second, []time.Duration{250 * time.Millisecond, 1250 * time.Millisecond}},
		{"always something", 80, 100 * time.Millisecond, []time.Duration{5 * time.Second, 7900*time.Millisecond + 250*time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := make(chan fsnotify.Event)
				w := &Watcher{
					config: Config{Quiet: 250 * time.Millisecond, Longest: 5 * time.Second, Every: time.Hour},
					dirs:   map[string]bool{"/dir": true}, paths: []string{"/dir"}, events: events,
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				began := time.Now()
				var got []time.Duration
				go w.Run(ctx, func(context.Context) { got = append(got, time.Since(began)) })
				for range tt.events {
					events <- fsnotify.Event{Name: "/dir/file", Op: fsnotify.Write}
					time.Sleep(tt.interval)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(got) != len(tt.want) {
					t.Fatalf("told after %v, want %v", got, tt.want)
				}
				for i := range got {
					if got[i] != tt.want[i] {
						t.Errorf("told after %v, want %v", got, tt.want)
					}
				}
			})
		})
	}
}
