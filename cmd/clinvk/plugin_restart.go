package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

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
	address := strings.TrimRight(o.server, "/") + "/api/v1/backends/" + url.PathEscape(o.name) + "/restart"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("the address of the server is not one: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if o.key != "" {
		request.Header.Set("Authorization", "Bearer "+o.key)
	}
	response, err := http.DefaultClient.Do(request)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server listens at %s; start one with clinvk serve, or name it with --server", o.server)
	}
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	defer response.Body.Close()
	var answer struct {
		State  string `json:"state"`
		PID    int    `json:"pid"`
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil {
		return fmt.Errorf("%s does not answer as clinvk does (%s)", o.server, response.Status)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(cmp.Or(printable(answer.Detail), response.Status))
	}
	_, err = fmt.Fprintf(s.out, "%s is %s (pid %d)\n", o.name, answer.State, answer.PID)
	return err
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 8 << 20
