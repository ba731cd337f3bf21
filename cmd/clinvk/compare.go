package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/config"
)

func newCompare(s streams) *cobra.Command {
	var o severalOptions
	var t turnOptions
	var backends []string
	var every, sequential bool
	cmd := &cobra.Command{
		Use:     "compare PROMPT",
		Short:   "Ask several backends the same",
		Example: "  clinvk compare --backends claude,codex \"what is wrong with this function?\" <func.go",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, err := readPrompt(cmd.Context(), args, s)
			switch {
			case err != nil:
				return err
			case prompt == "":
				return errNoPrompt
			case every && len(backends) > 0:
				return errors.New("--backends and --all-backends exclude each other")
			}
			q, err := t.request(prompt)
			if err != nil {
				return err
			}
			if len(backends) > 0 {
				q["backends"] = backends
			}
			q["sequential"], q["output_format"] = sequential, outputStream
			o.dryRun = t.dryRun
			needs := func(*config.Config) []string { return backends }
			return o.run(cmd.Context(), "/api/v1/compare", "backends", len(backends), q, needs, s)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&backends, "backends", nil, "backends to ask, separated by commas (default: all that are available)")
	f.BoolVar(&every, "all-backends", false, "ask all that are available")
	f.BoolVar(&sequential, "sequential", false, "one after another")
	t.flags(cmd)
	o.flags(cmd)
	return cmd
}
