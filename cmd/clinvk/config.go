package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/catalog/trust"
	"github.com/clinvk/clinvk/host/config"
)

// configOptions are the flags that all verbs of config share.
type configOptions struct{ config string }

func (o configOptions) load() (*config.Config, error) { return loadConfig(o.config) }

func newConfig(s streams) *cobra.Command {
	var o configOptions
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration and change it",
		Long: `The configuration is what docs/configuration.md says: defaults, over them the file,
over it the variables of the environment.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // so that Args are looked at
	}
	cmd.PersistentFlags().StringVar(&o.config, "config", "", "configuration file (default ~/.clinvk/config.yaml)")
	cmd.AddCommand(newConfigShow(&o, s), newConfigGet(&o, s), newConfigSet(&o, s), newConfigUnset(&o, s), newConfigPath(&o, s), newConfigValidate(&o, s))
	return cmd
}

func newConfigShow(o *configOptions, s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show every value that holds, and where it comes from",
		Long:  "Show every value that holds, as YAML; the comments say where it comes from. Secrets are masked.",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return showConfig(*o, output, s) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", outputYAML, "yaml or json")
	return cmd
}

// outputYAML is the form of output that can be read back.
const outputYAML = "yaml"

// shownValue is a value in JSON.
type shownValue struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source string `json:"source"`
}

func showConfig(o configOptions, output string, s streams) error {
	if output != outputYAML && output != outputJSON {
		return fmt.Errorf("the output is %q; it must be yaml or json", output)
	}
	c, err := o.load()
	if err != nil {
		return err
	}
	if output == outputJSON {
		values := []shownValue{}
		for _, e := range c.Entries() {
			values = append(values, shownValue{e.Key.String(), e.Value, c.Source(e.Origin)})
		}
		return writeJSON(s.out, values)
	}
	text, err := c.Show()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(s.out, text)
	return err
}

func newConfigGet(o *configOptions, s streams) *cobra.Command {
	return &cobra.Command{
		Use:     "get KEY",
		Short:   "Print the value of a key",
		Example: "  clinvk config get server.port\n  clinvk config get 'models.\"gpt-5.5\".backend'",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := config.ParseKey(args[0])
			if err != nil {
				return err
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			v, ok, err := c.Get(k)
			switch {
			case err != nil:
				return err
			case !ok:
				return fmt.Errorf("%s is not set", k)
			}
			text, err := yaml.Marshal(v)
			if err != nil {
				return fmt.Errorf("printing %s: %w", k, err)
			}
			_, err = s.out.Write(text)
			return err
		},
	}
}

func newConfigSet(o *configOptions, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "set KEY VALUE",
		Short: "Set a key in the file",
		Long: `Set a key in the file; all else in it stays as it is, comments too. Lists and groups
are given as YAML. A value that would make the configuration invalid is refused.`,
		Example: "  clinvk config set server.port 9000\n  clinvk config set server.allowed_hosts '[mybox.lan]'",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return o.edit(args[0], s, func(path string, k config.Key) error { return config.Set(path, k, args[1], os.Environ()) })
		},
	}
}

func newConfigUnset(o *configOptions, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "unset KEY",
		Short: "Take a key out of the file",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return o.edit(args[0], s, func(path string, k config.Key) error { return config.Unset(path, k, os.Environ()) })
		},
	}
}

// edit changes the file and warns when a variable makes that of no effect.
func (o configOptions) edit(key string, s streams, change func(path string, k config.Key) error) error {
	k, err := config.ParseKey(key)
	if err != nil {
		return err
	}
	path, err := config.Locate(o.config, os.Environ())
	if err != nil {
		return err
	}
	if err := change(path, k); err != nil {
		return err
	}
	if v := config.Variable(k); os.Getenv(v) != "" {
		_, err = fmt.Fprintf(s.err, "note: %s is set and wins over the file\n", v)
	}
	return err
}

func newConfigPath(o *configOptions, s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "path",
		Short: "Print the path of the file, which need not exist",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := config.Locate(o.config, os.Environ())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.out, path)
			return err
		},
	}
}

func newConfigValidate(o *configOptions, s streams) *cobra.Command {
	var pluginDirs []string
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check the configuration; each mistake with line and column",
		Long: `Check the configuration, or another file; each mistake with line and column. Options of
backends are held against what their plugins say of them, which are started for that.
Variables that are named like those of clinvk and set nothing are noted, and so is what
could not be checked.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.config = args[0]
			}
			return validate(cmd.Context(), *o, pluginDirs, s)
		},
	}
	cmd.Flags().StringArrayVar(&pluginDirs, "plugin-dir", nil, "directory of backend plugins; may be repeated")
	return cmd
}

func validate(ctx context.Context, o configOptions, pluginDirs []string, s streams) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	ours, err := trust.ParseBundled(bundled)
	if err != nil {
		return err
	}
	unchecked, err := host.CheckOptions(ctx, host.Config{
		Bundled: ours, Settings: c, PluginDirs: pluginDirs, Executable: host.Executable(), Version: version,
	})
	if err != nil {
		return err
	}
	sources := keySources(c)
	if _, err := sources.Load(ctx); err != nil {
		return err
	}
	for _, note := range slices.Concat(c.Strays(), unchecked) {
		if _, err := fmt.Fprintln(s.err, "note:", note); err != nil {
			return err
		}
	}
	where := c.Path
	if where == "" {
		where = "there is no file; the defaults and the environment"
	}
	_, err = fmt.Fprintf(s.out, "%s: valid\n", where)
	return err
}
