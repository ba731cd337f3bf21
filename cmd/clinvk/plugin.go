package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/trust"
	"github.com/clinvk/clinvk/host/config"
)

// pluginOptions are the flags that all verbs of plugin share.
type pluginOptions struct {
	dirs     []string
	config   string
	insecure bool
}

func newPlugin(s streams) *cobra.Command {
	var o pluginOptions
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Look at backend plugins and approve them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // so that Args are looked at
	}
	f := cmd.PersistentFlags()
	f.StringArrayVar(&o.dirs, "plugin-dir", nil, "directory of backend plugins, as of clinvk serve; may be repeated")
	f.StringVar(&o.config, "config", "", "configuration file (default ~/.clinvk/config.yaml)")
	f.BoolVar(&o.insecure, "insecure-plugin-dir", false, "accept plugins that others may change; for containers")
	cmd.AddCommand(newPluginList(&o, s), newPluginInfo(&o, s), newPluginApprove(&o, s), newPluginVerify(&o, s), newPluginRestart(s))
	return cmd
}

// installed is what a configuration and the disk say of plugins.
type installed struct {
	*host.Plugins
	settings *config.Config
	// entries as Scan found them: only files that must not be run are refused.
	entries []catalog.Entry
}

// find reads the configuration and looks for plugins.
func (o pluginOptions) find(ctx context.Context) (*installed, error) {
	settings, err := loadConfig(o.config)
	if err != nil {
		return nil, err
	}
	ours, err := trust.ParseBundled(bundled)
	if err != nil {
		return nil, err
	}
	p := host.NewPlugins(host.Config{
		Settings: settings, PluginDirs: o.dirs, InsecurePluginDirs: o.insecure, Executable: host.Executable(), Bundled: ours,
	})
	entries, err := p.Scan(ctx)
	if err != nil {
		return nil, err
	}
	return &installed{p, settings, entries}, nil
}

// entry finds one plugin.
func (i *installed) entry(name string) (catalog.Entry, error) {
	at := slices.IndexFunc(i.entries, func(e catalog.Entry) bool { return e.Name == name })
	if at < 0 {
		return catalog.Entry{}, fmt.Errorf("there is no plugin %q; those that there are: clinvk plugin list", name)
	}
	return i.entries[at], nil
}

// printable keeps what a plugin says of itself from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
