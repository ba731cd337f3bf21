package main

import "github.com/spf13/cobra"

func newChain(s streams) *cobra.Command {
	var o severalOptions
	var file string
	cmd := &cobra.Command{
		Use:   "chain -f FILE",
		Short: "Run prompts one after another, each with the output of the one before",
		Long: `Run the steps of a file one after another. The file is JSON or YAML: a list of steps,
or the body of POST /api/v1/chain. {{previous}} in a prompt stands for the output of
the step before, {{steps.NAME.output}} for that of any earlier one.`,
		Example: `  clinvk chain -f steps.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := readRequest(cmd.Context(), file, "steps", s)
			if err != nil {
				return err
			}
			q["output_format"] = outputStream
			if o.dryRun {
				q["dry_run"] = true
			}
			return o.run(cmd.Context(), "/api/v1/chain", "steps", count(q, "steps"), q, named(q, "steps"), s)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "-", "file with the steps; -: stdin")
	o.dryRunFlag(cmd)
	o.flags(cmd)
	return cmd
}
