package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// pluginRestartOptions are the flags of plugin restart.
type pluginRestartOptions struct {
	name, server, key string
}

func newPluginRestart(s streams) *cobra.Command {
	var o pluginRestartOptions
	cmd := &cobra.Command{
		Use:   "restart NAME",
		Short: "Restart a plugin of the running server, also out of quarantine",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			o.server = cmp.Or(o.server, os.Getenv("CLINVK_SERVER"), fmt.Sprintf("http://%s:%d", config.DefaultHost, config.DefaultPort))
			key, _, _ := strings.Cut(os.Getenv("CLINVK_API_KEYS"), ",")
			o.key = strings.TrimSpace(key)
			return restartPlugin(cmd.Context(), o, s)
		},
	}
	cmd.Flags().StringVar(&o.server, "server", "", "address of the server (CLINVK_SERVER; default http://127.0.0.1:8080)")
	return cmd
}

// restartTime is longer than a start that goes wrong slowly.
const restartTime = 2 * time.Minute

func restartPlugin(ctx context.Context, o pluginRestartOptions, s streams) error {
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	c := &client.Client{Base: o.server, Key: o.key}
	var answer struct {
		State string `json:"state"`
		PID   int    `json:"pid"`
	}
	err := c.Post(ctx, "/api/v1/backends/"+url.PathEscape(o.name)+"/restart", nil, &answer)
	if errors.Is(err, client.ErrNoServer) {
		return fmt.Errorf("no server listens at %s; start one with clinvk serve, or name it with --server", o.server)
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return errors.New(printable(e.Detail))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s is %s (pid %d)\n", o.name, answer.State, answer.PID)
	return err
}
