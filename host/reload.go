package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/apikeys"
	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/watch"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/httpapi/meta"
)

// Reload loads the settings again and puts them into effect: all of them, or, when
// anything is wrong with one, none. Requests that run are finished by what they began
// with, and plugins whose settings have changed are replaced as those are whose files
// have. The error says what is wrong and where; it is logged, and told by health.
func (h *Host) Reload(ctx context.Context) error {
	if h.config.Load == nil {
		return nil
	}
	h.rescan.Lock()
	defer h.rescan.Unlock()
	return h.reload(ctx)
}

// reload is Reload for those who hold rescan.
func (h *Host) reload(ctx context.Context) error {
	files := h.files()
	h.seen = h.look()
	old := h.live.Load()
	next, entries, err := h.next(ctx, old)
	if !slices.Equal(files, h.files()) {
		h.seen = "" // the keys are in another file, which nobody has looked at: once more
	}
	if err == nil {
		err = h.swap(ctx, old, next, entries)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	state := *h.state.Load()
	if err != nil {
		state.Error, state.FailedAt = err.Error(), time.Now()
		h.state.Store(&state)
		h.log.Error("the configuration stays as it was, because the new one is not valid; correct it, and it is read again", "error", err)
		return err
	}
	state = meta.ConfigState{Path: next.settings.Path, LoadedAt: next.loaded, AfterRestart: changed(h.config.Settings, next.settings)}
	h.state.Store(&state)
	h.log.Info("the configuration was loaded", "path", state.Path)
	for _, key := range state.AfterRestart {
		h.log.Warn(key + " has changed, which takes effect after a restart; all else holds now")
	}
	for _, odd := range slices.Concat(next.settings.Strays(), next.settings.Unmatched(namesOf(entries))) {
		h.log.Warn("the configuration may be mistyped: " + odd)
	}
	return nil
}

// next builds what takes the place of old, with its plugins, and changes nothing.
func (h *Host) next(ctx context.Context, old *live) (*live, []catalog.Entry, error) {
	s, err := h.config.Load()
	if err != nil {
		return nil, nil, err
	}
	h.keysFile.Store(&s.Server.APIKeysFile)
	if s.Path == "" && old.settings.Path != "" {
		return nil, nil, fmt.Errorf("%s is gone; what was read of it holds until a restart", old.settings.Path)
	}
	if s.Blank() && !old.settings.Blank() {
		return nil, nil, fmt.Errorf("%s is empty; what was read of it holds (write {} to go by the defaults)", s.Path)
	}
	keys, err := h.keys(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	next, entries := &live{settings: s, plugins: old.plugins, loaded: time.Now()}, h.entries
	if !reflect.DeepEqual(s.Plugins, old.settings.Plugins) {
		c := h.config
		c.Settings = s
		next.plugins = NewPlugins(c)
		if entries, err = next.plugins.look(ctx); err != nil {
			return nil, nil, err
		}
	}
	if err := h.tryBackends(ctx, old.settings, s, entries); err != nil {
		return nil, nil, err
	}
	return next, entries, h.build(next, old, keys)
}

// swap puts next into effect.
func (h *Host) swap(ctx context.Context, old, next *live, entries []catalog.Entry) error {
	h.engine.Configure(h.engineConfig(next.settings))
	h.live.Store(next)
	if next.plugins != old.plugins {
		close(old.plugins.replaced)
		h.entries = next.plugins.Policy.Apply(ctx, entries)
	}
	return h.supervisor.Update(h.entries)
}

// tryBackends says which backends would not take their settings: by the schema of their
// options, and those whose settings have changed by a process that is started with them.
func (h *Host) tryBackends(ctx context.Context, old, s *config.Config, entries []catalog.Entry) error {
	var mu sync.Mutex
	var problems []config.Problem
	var trying sync.WaitGroup
	for _, e := range entries {
		now := h.settings(s, e.Name)
		if !now.Enabled || e.Refused != nil {
			continue
		}
		trying.Go(func() {
			found := h.tryBackend(ctx, e, old, s)
			mu.Lock()
			defer mu.Unlock()
			problems = append(problems, found...)
		})
	}
	trying.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(problems) > 0 {
		return s.Mistakes(problems...)
	}
	return nil
}

func (h *Host) tryBackend(ctx context.Context, e catalog.Entry, old, s *config.Config) []config.Problem {
	now := h.settings(s, e.Name)
	var err error
	status, known := h.supervisor.Status(e.Name)
	if known && status.Describe != nil && now.Check != nil {
		err = now.Check(status.Describe)
	}
	if before := h.settings(old, e.Name); err == nil && known && (!before.Enabled || !now.Same(before)) {
		err = h.supervisor.Try(ctx, e, now)
	}
	if mistakes, ok := errors.AsType[*config.Error](err); ok {
		return mistakes.Problems
	}
	if err != nil {
		return []config.Problem{s.Mistake(config.Key{"backends", e.Name}, "is refused by its plugin: %v", err)}
	}
	return nil
}

// changed lists what differs and cannot be changed while a server listens.
func changed(started, now *config.Config) (keys []string) {
	a, b := started.Server, now.Server
	if a.Host != b.Host {
		keys = append(keys, "server.host")
	}
	if !reflect.DeepEqual(a.Port, b.Port) {
		keys = append(keys, "server.port")
	}
	if a.ReadTimeoutSecs != b.ReadTimeoutSecs {
		keys = append(keys, "server.read_timeout_secs")
	}
	if a.IdleTimeoutSecs != b.IdleTimeoutSecs {
		keys = append(keys, "server.idle_timeout_secs")
	}
	if a.MetricsEnabled != b.MetricsEnabled {
		keys = append(keys, "server.metrics_enabled")
	}
	if !reflect.DeepEqual(started.Session, now.Session) {
		keys = append(keys, "session")
	}
	return keys
}

func namesOf(entries []catalog.Entry) []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	return names
}

// watchSettings reloads when a file of the settings changes, until ctx ends.
func (h *Host) watchSettings(ctx context.Context) {
	for ctx.Err() == nil {
		files := h.files()
		watching, end := context.WithCancel(ctx)
		watcher := watch.New(watch.Config{Files: files, Logger: h.log})
		h.settingsChanged(ctx) // before it was watched
		if slices.Equal(files, h.files()) {
			watcher.Run(watching, func(ctx context.Context) {
				h.settingsChanged(ctx)
				if !slices.Equal(files, h.files()) {
					end()
				}
			})
		} else {
			end()
			watcher.Run(watching, h.settingsChanged) // which ends the watch
		}
		end()
	}
}

// settingsChanged reloads if the files are not what they were.
func (h *Host) settingsChanged(ctx context.Context) {
	h.rescan.Lock()
	defer h.rescan.Unlock()
	if h.look() != h.seen {
		_ = h.reload(ctx) // it tells itself
	}
}

// files are those that the settings are read from, with what they link to: also the
// keys of settings that were refused, perhaps because of them.
func (h *Host) files() (out []string) {
	paths := []string{h.config.File}
	keys := apikeys.Sources{File: h.live.Load().settings.Server.APIKeysFile}
	if last := h.keysFile.Load(); last != nil {
		keys.File = *last
	}
	if path, err := keys.Path(); err == nil && path != "" {
		paths = append(paths, path)
	}
	for _, path := range paths {
		out = append(out, path)
		if real := resolved(path); real != path {
			out = append(out, real)
		}
	}
	return out
}

// look is what the files are now, to tell whether they have changed.
func (h *Host) look() string {
	sum := sha256.New()
	for _, path := range h.files() {
		info, statErr := os.Stat(path)
		if statErr == nil && !info.Mode().IsRegular() { // reading a pipe would wait
			_, _ = fmt.Fprintf(sum, "%s: %v\n", path, info.Mode())
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil || statErr != nil {
			_, _ = fmt.Fprintf(sum, "%s: %v\n", path, errors.Join(err, statErr))
			continue
		}
		_, _ = fmt.Fprintf(sum, "%s: %v %d\n%s", path, info.Mode(), len(text), text)
	}
	return string(sum.Sum(nil))
}

func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
