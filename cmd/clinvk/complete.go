package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
)

// completeTime bounds what a press of the tab key may take.
const completeTime = time.Second

// completions are the values of the flags that name things: those of the server that
// runs; without one, of the plugins that are there.
func completions(cmd *cobra.Command) {
	for flag, complete := range map[string]func(context.Context) []string{
		"backend": backendNames, "backends": backendNames, "model": modelNames,
		"mode":          fixed("agent", "chat"),
		"approval-mode": fixed("default", "auto", "none", "always"),
		"sandbox-mode":  fixed("default", "read-only", "workspace", "full"),
	} {
		if cmd.Flags().Lookup(flag) == nil {
			continue
		}
		err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
			defer cancel()
			return complete(ctx), cobra.ShellCompDirectiveNoFileComp
		})
		if err != nil { // the flag was looked up
			panic(err)
		}
	}
}

func fixed(values ...string) func(context.Context) []string {
	return func(context.Context) []string { return values }
}

// ask reads from the server that runs; false: none does, or it does not answer.
func ask(ctx context.Context, path string, out any) bool {
	settings, err := loadConfig("")
	if err != nil {
		return false
	}
	var c *client.Client
	if address := os.Getenv("CLINVK_SERVER"); address != "" {
		c = &client.Client{Base: address}
	} else if c = running(ctx, settings.Home); c == nil {
		return false
	}
	return c.Get(ctx, path, out) == nil
}

func backendNames(ctx context.Context) (out []string) {
	var list struct {
		Backends []backendInfo `json:"backends"`
	}
	if ask(ctx, "/api/v1/backends", &list) {
		for _, b := range list.Backends {
			out = append(out, b.Name)
		}
		return out
	}
	found, err := pluginOptions{}.find(ctx)
	if err != nil {
		return nil
	}
	for _, e := range found.entries {
		out = append(out, e.Name)
	}
	return out
}

func modelNames(ctx context.Context) (out []string) {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if !ask(ctx, "/openai/v1/models", &list) {
		return backendNames(ctx)
	}
	for _, m := range list.Data {
		out = append(out, m.ID)
	}
	return out
}
