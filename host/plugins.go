package host

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/lock"
	"github.com/clinvk/clinvk/host/catalog/trust"
)

// Plugins is what a configuration says of plugins: where they are, which may run
// and what is known of them. Server and command line decide with the same.
type Plugins struct {
	// Policy decides about what Scan found.
	Policy *trust.Policy
	// Lock remembers plugins and approvals.
	Lock *lock.File
	// Mode of the policy.
	Mode trust.Mode

	search   catalog.Config
	none     bool
	replaced chan struct{} // closed when others have taken their place
}

// NewPlugins reads nothing yet.
func NewPlugins(c Config) *Plugins {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := c.Settings
	p := &Plugins{
		Lock: lock.New(filepath.Join(s.Home, lock.Name), c.InsecurePluginDirs),
		Mode: cmp.Or(trust.Mode(s.Plugins.Trust), trust.Permissions),
		search: catalog.Config{
			Dirs: slices.Concat(c.PluginDirs, s.Plugins.Dirs), Executable: c.Executable, Insecure: c.InsecurePluginDirs,
			Only: s.Plugins.Allow,
		},
		none: c.NoBackends, replaced: make(chan struct{}),
	}
	p.Policy = trust.New(trust.Config{
		Mode: p.Mode, Lock: p.Lock, Bundled: c.Bundled, BundledDirs: catalog.BundledDirs(c.Executable),
		Variables: vendorVariables, Logger: c.Logger,
	})
	return p
}

// Scan lists the plugins that the configuration allows. No policy has been asked
// about them yet.
func (p *Plugins) Scan(ctx context.Context) ([]catalog.Entry, error) {
	if p.none {
		return nil, nil
	}
	return catalog.Scan(ctx, p.search)
}
