package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/supervisor"
)

// CheckOptions holds the options of all backends against what their plugins say of them.
// Each such plugin is started for that, but not configured: no CLI runs. unchecked tells,
// a sentence for each, which could not be asked. Mistakes are a *config.Error.
func CheckOptions(ctx context.Context, c Config) (unchecked []string, err error) {
	s := c.Settings
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.Backends)), func(name string) bool { return len(s.OptionsOf(name)) == 0 })
	if len(names) == 0 {
		return nil, nil
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	plugins := NewPlugins(c)
	entries, err := plugins.look(ctx)
	if err != nil {
		return nil, err
	}
	state, err := os.MkdirTemp("", "clinvk-validate-")
	if err != nil {
		return nil, fmt.Errorf("checking options: %w", err)
	}
	defer os.RemoveAll(state)
	sup, err := supervisor.New(supervisor.Config{Policy: plugins.Policy, Logger: c.Logger, HostVersion: c.Version, StateDir: filepath.Join(state, "state"), RuntimeDir: c.RuntimeDir})
	if err != nil {
		return nil, err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		err = errors.Join(err, sup.Stop(stop))
	}()
	if err := sup.Start(ctx); err != nil {
		return nil, err
	}
	var problems []config.Problem
	for _, name := range names {
		err := checkOne(ctx, sup, s, entries, name)
		if mistakes, ok := errors.AsType[*config.Error](err); ok {
			problems = append(problems, mistakes.Problems...)
		} else if err != nil {
			unchecked = append(unchecked, fmt.Sprintf("the options of backends.%s were not checked: %v", name, err))
		}
	}
	if len(problems) > 0 {
		return unchecked, s.Mistakes(problems...)
	}
	return unchecked, nil
}

func checkOne(ctx context.Context, sup *supervisor.Supervisor, s *config.Config, entries []catalog.Entry, name string) error {
	at := slices.IndexFunc(entries, func(e catalog.Entry) bool { return e.Name == name })
	if at < 0 {
		return errors.New("no such plugin was found")
	}
	if err := entries[at].Refused; err != nil {
		return err
	}
	d, err := sup.Describe(ctx, entries[at])
	if err != nil {
		return fmt.Errorf("its plugin cannot be asked: %w", err)
	}
	return s.CheckOptions(name, d.GetConfigSchema())
}
