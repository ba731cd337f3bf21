package watch

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Config says what to watch.
type Config struct {
	// Dirs are directories whose content matters; they need not exist. Absolute.
	Dirs []string
	// Files are single files that matter; they need not exist. Absolute.
	Files []string
	// Quiet is how long nothing must have happened before a change is told: a file
	// that is copied into place changes many times; 0: 250 ms.
	Quiet time.Duration
	// Longest bounds the wait for quiet, for a directory in which something always
	// happens; 0: 5 s.
	Longest time.Duration
	// Every is how often a change is assumed without any news: network file systems
	// give none, and neither do the targets of symbolic links; 0: 60 s.
	Every time.Duration
	// Logger; nil: nowhere.
	Logger *slog.Logger
}

// Watcher watches. It is made by New and used by one goroutine, that of Run.
type Watcher struct {
	config Config
	log    *slog.Logger
	dirs   map[string]bool // whose content matters
	paths  []string        // all of Dirs and Files

	fs     *fsnotify.Watcher // nil: the system gives no news
	events <-chan fsnotify.Event
	errors <-chan error
}

// New begins to watch: nothing that happens after its return is missed. Run must
// be called, and ends the watch. When the system gives no news (too many watches,
// mostly), that is logged and Every must do.
func New(c Config) *Watcher {
	if c.Quiet <= 0 {
		c.Quiet = 250 * time.Millisecond
	}
	if c.Longest <= 0 {
		c.Longest = 5 * time.Second
	}
	if c.Every <= 0 {
		c.Every = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{config: c, log: c.Logger, dirs: map[string]bool{}}
	for _, dir := range c.Dirs {
		dir = filepath.Clean(dir)
		w.dirs[dir] = true
		w.paths = append(w.paths, dir)
	}
	for _, file := range c.Files {
		w.paths = append(w.paths, filepath.Clean(file))
	}
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("changes of plugins will be noticed late: the system does not tell of them", "error", err, "every", c.Every)
		return w
	}
	w.fs, w.events, w.errors = fs, fs.Events, fs.Errors
	w.attach()
	return w
}

// Run calls changed after each change, one call at a time, until ctx ends. What
// happens during a call leads to another one.
func (w *Watcher) Run(ctx context.Context, changed func(context.Context)) {
	if w.fs != nil {
		defer w.fs.Close()
	}
	every := time.NewTicker(w.config.Every)
	defer every.Stop()
	quiet := time.NewTimer(0)
	quiet.Stop()
	defer quiet.Stop()
	var latest time.Time // when to tell of what has happened; zero: nothing has
	note := func() {
		if latest.IsZero() {
			latest = time.Now().Add(w.config.Longest)
		}
		quiet.Reset(min(w.config.Quiet, time.Until(latest)))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-w.events:
			if w.heed(event) {
				note()
			}
		case err := <-w.errors:
			w.log.Debug("watching plugins", "error", err) // events may be lost
			note()
		case <-every.C:
			note()
		case <-quiet.C:
			latest = time.Time{}
			w.attach() // before the look: what comes after it is told again
			changed(ctx)
		}
	}
}
