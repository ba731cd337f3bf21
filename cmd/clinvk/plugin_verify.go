package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/trust"
)

// pluginVerifyOptions are the flags of plugin verify.
type pluginVerifyOptions struct {
	*pluginOptions
	name string // empty: all
}

func newPluginVerify(shared *pluginOptions, s streams) *cobra.Command {
	o := pluginVerifyOptions{pluginOptions: shared}
	return &cobra.Command{
		Use:   "verify [NAME]",
		Short: "Check the plugins' permissions and hashes; the exit code is 1 when something is off",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.name = args[0]
			}
			return verifyPlugins(cmd.Context(), o, s)
		},
	}
}

func verifyPlugins(ctx context.Context, o pluginVerifyOptions, s streams) error {
	found, err := o.find(ctx)
	if err != nil {
		return err
	}
	entries := found.entries
	if o.name != "" {
		e, err := found.entry(o.name)
		if err != nil {
			return err
		}
		entries = []catalog.Entry{e}
	}
	content, err := found.Lock.Read()
	if err != nil {
		return err
	}
	bad := 0
	for _, e := range found.Policy.Judge(entries) {
		switch r := content.Find(e.Name, e.Path); {
		case e.Refused != nil:
			bad++
			_, err = fmt.Fprintf(s.out, "%s: %v\n", e.Name, e.Refused)
		case e.Trust == catalog.TrustChanged:
			bad++
			before := r.SHA256
			if before == e.SHA256 {
				before = r.ChangedFrom
			}
			_, err = fmt.Fprintf(s.out, "%s: %s has changed (sha256 %s, before %s); if that is right, run: %s\n", e.Name, e.Path, e.SHA256, before, trust.ApproveCommand(e))
		default:
			_, err = fmt.Fprintf(s.out, "%s: ok, %s\n", e.Name, e.Trust)
		}
		if err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d plugins are not as they should be", bad, len(entries))
	}
	return nil
}
