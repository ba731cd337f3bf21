package host

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/watch"
)

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
	h.entries = h.live.Load().plugins.Policy.Apply(ctx, entries)
	return h.supervisor.Update(h.entries)
}

// settled scans until two looks in a row see the same: a file that is being
// written is not what it will be. What does not come to rest is taken as it was
// before.
func (h *Host) settled(ctx context.Context) ([]catalog.Entry, error) {
	plugins, before := h.live.Load().plugins, h.entries
	for range settleMost {
		now, err := plugins.look(ctx)
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
	now, err := plugins.look(ctx)
	return steady(h.entries, before, now), err
}

// look says what is on disk and what the policy makes of it, and records nothing:
// it may be half of a file.
func (p *Plugins) look(ctx context.Context) ([]catalog.Entry, error) {
	entries, err := p.Scan(ctx)
	if err != nil {
		return nil, err
	}
	return p.Policy.Judge(entries), nil
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

// watchPlugins rescans when what the plugins are made of changes, until ctx ends.
func (h *Host) watchPlugins(ctx context.Context) {
	for first := true; ctx.Err() == nil; first = false {
		plugins := h.live.Load().plugins
		watching, end := context.WithCancel(ctx)
		watcher := plugins.newWatcher(h.log)
		var waiting sync.WaitGroup
		waiting.Go(func() {
			defer end()
			select {
			case <-plugins.replaced:
			case <-watching.Done():
			}
		})
		if !first { // what has changed since the other directories were watched
			h.filesChanged(ctx)
		}
		watcher.Run(watching, h.filesChanged)
		end()
		waiting.Wait()
	}
}

// newWatcher begins to watch what look looks at. A new approval in the lock file
// may change what runs.
func (p *Plugins) newWatcher(log *slog.Logger) *watch.Watcher {
	c := watch.Config{Files: []string{p.Lock.Path()}, Logger: log}
	for _, dir := range catalog.SearchPath(p.search) {
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
