package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/chaos"
	"github.com/clinvk/clinvk/host/chaos/hostile"
)

// chaosOptions are the flags of chaos.
type chaosOptions struct {
	config chaos.Config
	output string
	debug  bool
}

// hostilePlugin is the hidden verb that becomes a hostile plugin.
const hostilePlugin = "chaos-plugin"

func newChaos(s streams) *cobra.Command {
	var o chaosOptions
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Kill, stop and garble plugins under load, and report who was hurt",
		Long: `Chaos starts a server of its own and asks a backend over HTTP while it kills and
stops the backend's plugin and gives it neighbours that break every rule. It reports
who was hurt, and ends with 1 when a guarantee did not hold. A server that runs on
this machine is not touched.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runChaos(cmd.Context(), o, s) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.config.PluginDirs, "plugin-dir", nil, "directory of backend plugins; may be repeated; only these and the bundled ones are searched then")
	f.BoolVar(&o.config.InsecurePluginDirs, "insecure-plugin-dir", false, "run plugins that others may change; for containers")
	f.StringVar(&o.config.Backend, "backend", "echo", "backend to hit; it must answer with the text of the prompt")
	f.DurationVar(&o.config.Duration, "duration", 10*time.Second, "how long to ask")
	f.IntVar(&o.config.Clients, "clients", 8, "how many ask at the same time")
	f.DurationVar(&o.config.KillEvery, "kill-every", 300*time.Millisecond, "mean time between two faults")
	f.Uint64Var(&o.config.Seed, "seed", 1, "of what is random")
	f.StringVarP(&o.output, "output", "o", "text", "form of the report: text or json")
	f.BoolVar(&o.debug, "debug", false, "log what the server sees")
	return cmd
}

func runChaos(ctx context.Context, o chaosOptions, s streams) error {
	if o.output != "text" && o.output != "json" {
		return fmt.Errorf("--output is %q; it must be text or json", o.output)
	}
	if o.config.Duration <= 0 || o.config.Clients <= 0 || o.config.KillEvery <= 0 {
		return fmt.Errorf("--duration, --clients and --kill-every must be more than 0")
	}
	c := o.config
	c.Executable, c.Version = host.Executable(), version
	c.Hostile = []string{c.Executable, hostilePlugin}
	if o.debug {
		c.Logger = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	r, err := chaos.Run(ctx, c)
	if err != nil {
		return fmt.Errorf("making chaos: %w", err)
	}
	if o.output == "json" {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.WriteText(s.out)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if !r.OK {
		return fmt.Errorf("guarantees that did not hold: %s", strings.Join(r.Broken(), "; "))
	}
	return nil
}

func newChaosPlugin() *cobra.Command {
	return &cobra.Command{
		Use:    hostilePlugin + " MODE",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return hostile.Run(hostile.Mode(args[0])) },
	}
}
