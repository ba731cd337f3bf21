package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// pluginListOptions are the flags of plugin list.
type pluginListOptions struct {
	*pluginOptions
	output string
}

func newPluginList(shared *pluginOptions, s streams) *cobra.Command {
	o := pluginListOptions{pluginOptions: shared}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the plugins that are found, and whether they may run",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return listPlugins(cmd.Context(), o, s) },
	}
	outputFlag(cmd, &o.output)
	return cmd
}

// Forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
)

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", outputTable, "table or json")
}

func checkOutput(output string) error {
	if output != outputTable && output != outputJSON {
		return fmt.Errorf("the output is %q; it must be table or json", output)
	}
	return nil
}

func listPlugins(ctx context.Context, o pluginListOptions, s streams) error {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	found, err := o.find(ctx)
	if err != nil {
		return err
	}
	plugins, err := found.describe(found.entries, s)
	if err != nil {
		return err
	}
	if o.output == outputJSON {
		return writeJSON(s.out, plugins)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tVERSION\tTRUST\tSHA256\tPATH")
	for _, p := range plugins {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%.12s\t%s\n", p.Name, cmp.Or(printable(p.Version), "-"), cmp.Or(p.Trust, "refused"), cmp.Or(p.SHA256, "-"), p.Path)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range plugins {
		if p.Refused != "" {
			_, _ = fmt.Fprintf(s.out, "\n%s is refused: %s\n", p.Name, p.Refused)
		}
	}
	return nil
}

// writeLine writes v as one line of JSON.
func writeLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
