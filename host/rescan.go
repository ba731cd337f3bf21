package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/watch"
)

// search says where plugins are looked for.
func (h *Host) search() catalog.Config {
	return catalog.Config{
		Dirs: slices.Concat(h.config.PluginDirs, h.config.Settings.Plugins.Dirs), Executable: h.config.Executable,
		Insecure: h.config.InsecurePluginDirs,
	}
}

// scan lists the plugins that are on disk and allowed. Whatever decides about
// plugins decides here, at the start and at each change.
func (h *Host) scan(ctx context.Context) ([]catalog.Entry, error) {
	entries, err := catalog.Scan(ctx, h.search())
	if err != nil {
		return nil, err
	}
	allow := h.config.Settings.Plugins.Allow
	return slices.DeleteFunc(entries, func(e catalog.Entry) bool {
		return len(allow) > 0 && !slices.Contains(allow, e.Name)
	}), nil
}

// What is on disk is believed when it stays the same for settleTime, which is
// waited for settleMost times.
const (
	settleTime = 250 * time.Millisecond
	settleMost = 20
)

// Rescan looks for plugins again and puts what has changed into effect, as
// supervisor.Update says; it does not wait for new processes. When a directory
// cannot be read all plugins stay as they are.
func (h *Host) Rescan(ctx context.Context) error {
	h.rescan.Lock()
	defer h.rescan.Unlock()
	entries, err := h.settled(ctx)
	if err != nil {
		return fmt.Errorf("looking for plugins: %w", err)
	}
	h.entries = entries
	return h.supervisor.Update(entries)
}

// settled scans until two looks in a row see the same: a file that is being
// written is not what it will be. What does not come to rest is taken as it was
// before.
func (h *Host) settled(ctx context.Context) ([]catalog.Entry, error) {
	before := h.entries
	for range settleMost {
		now, err := h.scan(ctx)
		if err != nil {
			return nil, err
		}
		if slices.EqualFunc(before, now, catalog.Entry.Same) {
			return now, nil
		}
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		before = now
	}
	now, err := h.scan(ctx)
	return steady(h.entries, before, now), err
}

// steady is what two looks agree on; where they do not, what was known before.
func steady(known, before, now []catalog.Entry) []catalog.Entry {
	agreed := []catalog.Entry{}
	for _, e := range now {
		if slices.ContainsFunc(before, e.Same) {
			agreed = append(agreed, e)
		}
	}
	named := func(entries []catalog.Entry, name string) bool {
		return slices.ContainsFunc(entries, func(e catalog.Entry) bool { return e.Name == name })
	}
	for _, e := range known {
		if !named(agreed, e.Name) && (named(before, e.Name) || named(now, e.Name)) {
			agreed = append(agreed, e)
		}
	}
	return agreed
}

// lockFile is where approvals of plugins are kept: a new one may change what runs.
const lockFile = "plugins.lock"

// newWatcher begins to watch what scan looks at.
func (h *Host) newWatcher() *watch.Watcher {
	c := watch.Config{Files: []string{filepath.Join(h.config.Settings.Home, lockFile)}, Logger: h.log}
	for _, dir := range catalog.SearchPath(h.search()) {
		c.Dirs = append(c.Dirs, dir.Path)
	}
	return watch.New(c)
}

// filesChanged is called by the watcher.
func (h *Host) filesChanged(ctx context.Context) {
	if err := h.Rescan(ctx); err != nil && ctx.Err() == nil {
		h.log.Warn("the plugins stay as they are", "error", err)
	}
}
