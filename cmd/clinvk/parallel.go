package main

import "github.com/spf13/cobra"

func newParallel(s streams) *cobra.Command {
	o := severalOptions{aggregated: true}
	var file string
	var most int
	var failFast bool
	cmd := &cobra.Command{
		Use:   "parallel -f FILE",
		Short: "Run many prompts side by side",
		Long: `Run the tasks of a file side by side, and print their outputs in order. The file is
JSON or YAML: a list of tasks, or the body of POST /api/v1/parallel. Each task has the
fields of a prompt (backend, prompt, model, workdir, …), and id and name of its own.`,
		Example: `  clinvk parallel -f tasks.yaml --max-parallel 4
  echo '[{"backend": "claude", "prompt": "a"}, {"backend": "codex", "prompt": "b"}]' | clinvk parallel -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := readRequest(cmd.Context(), file, "tasks", s)
			if err != nil {
				return err
			}
			if most != 0 {
				q["max_parallel"] = most
			}
			if cmd.Flags().Changed("fail-fast") {
				q["fail_fast"] = failFast
			}
			q["output_format"] = outputStream
			if o.dryRun {
				q["dry_run"] = true
			}
			return o.run(cmd.Context(), "/api/v1/parallel", "tasks", count(q, "tasks"), q, named(q, "tasks"), s)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "file", "f", "-", "file with the tasks; -: stdin")
	f.IntVar(&most, "max-parallel", 0, "tasks at a time (default: parallel.max_workers of the configuration)")
	f.BoolVar(&failFast, "fail-fast", false, "end the others when one fails")
	o.dryRunFlag(cmd)
	o.flags(cmd)
	return cmd
}
