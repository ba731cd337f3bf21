package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// pluginApproveOptions are the flags of plugin approve.
type pluginApproveOptions struct {
	*pluginOptions
	name string
	env  []string
}

func newPluginApprove(shared *pluginOptions, s streams) *cobra.Command {
	o := pluginApproveOptions{pluginOptions: shared}
	cmd := &cobra.Command{
		Use:   "approve NAME",
		Short: "Approve a plugin as it is now",
		Long: `Approve lets a plugin run under plugins.trust: lock, and lets its CLI have the variables of
the server that are named. It is about the plugin's files as they are now: when one of them
changes the approval does not count any more. It replaces an earlier approval.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return approvePlugin(cmd.Context(), o, s)
		},
	}
	cmd.Flags().StringSliceVar(&o.env, "env", nil, "variable of the server that the plugin may have for its CLI; may be repeated")
	return cmd
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

func approvePlugin(ctx context.Context, o pluginApproveOptions, s streams) error {
	for _, name := range o.env {
		switch {
		case !variable.MatchString(name):
			return fmt.Errorf("%q is no name of a variable", name)
		case strings.HasPrefix(strings.ToUpper(name), "CLINVK_"):
			return fmt.Errorf("%s is the server's own and never given to a plugin", name)
		}
	}
	found, err := o.find(ctx)
	if err != nil {
		return err
	}
	e, err := found.entry(o.name)
	if err != nil {
		return err
	}
	if e.Refused != nil {
		return fmt.Errorf("a plugin that must not run cannot be approved: %w", e.Refused)
	}
	if err := found.Policy.Approve(ctx, e, o.env); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "approved %s (sha256 %s)\n", e.Path, e.SHA256)
	if err == nil && len(o.env) > 0 {
		_, err = fmt.Fprintf(s.out, "its CLI may have %s\n", strings.Join(o.env, ", "))
	}
	return err
}
