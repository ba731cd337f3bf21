package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/lock"
	"github.com/clinvk/clinvk/host/catalog/trust"
)

// pluginInfoOptions are the flags of plugin info.
type pluginInfoOptions struct {
	*pluginOptions
	name, output string
}

func newPluginInfo(shared *pluginOptions, s streams) *cobra.Command {
	o := pluginInfoOptions{pluginOptions: shared}
	cmd := &cobra.Command{
		Use:   "info NAME",
		Short: "Tell all that is known of a plugin",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return pluginInfo(cmd.Context(), o, s)
		},
	}
	outputFlag(cmd, &o.output)
	return cmd
}

// plugin is all that is known of a plugin without starting it.
type plugin struct {
	Name        string            `json:"name"`
	Version     string            `json:"version,omitempty"`
	Path        string            `json:"path"`
	Source      catalog.Source    `json:"source"`
	SHA256      string            `json:"sha256,omitempty"`
	Trust       string            `json:"trust,omitempty"`
	Refused     string            `json:"refused,omitempty"`
	FirstSeen   *time.Time        `json:"first_seen,omitempty"`
	ChangedFrom string            `json:"changed_from,omitempty"`
	Approved    *lock.Approval    `json:"approved,omitempty"`
	Shadowed    []string          `json:"shadowed,omitempty"`
	Environment []wish            `json:"environment,omitempty"`
	Manifest    *catalog.Manifest `json:"manifest,omitempty"`
	Describe    json.RawMessage   `json:"describe,omitempty"`
}

// wish is a variable that a plugin would like to have.
type wish struct {
	Name string `json:"name"`
	// Given is "from the server", "from the configuration", or empty: it is not.
	Given string `json:"given,omitempty"`
}

// describe tells of entries. That the lock file cannot be used is said once, and
// is an error only where everything hangs on it.
func (i *installed) describe(entries []catalog.Entry, s streams) ([]plugin, error) {
	content, err := i.Lock.Read()
	if err != nil {
		if i.Mode != trust.Lock {
			_, _ = fmt.Fprintln(s.err, "clinvk:", err)
		}
		content = &lock.Content{}
	}
	plugins := make([]plugin, 0, len(entries))
	for _, e := range i.Policy.Judge(entries) {
		p := plugin{
			Name: e.Name, Path: e.Path, Source: e.Source, SHA256: e.SHA256, Trust: string(e.Trust),
			Shadowed: e.Shadowed, Manifest: e.Manifest,
		}
		if e.Refused != nil {
			p.Refused = e.Refused.Error()
		}
		if r := content.Find(e.Name, e.Path); r != nil {
			p.remember(*r)
		}
		if p.Version == "" && e.Manifest != nil {
			p.Version = e.Manifest.Version
		}
		if p.Environment, err = i.wishes(e, p.Describe); err != nil {
			return nil, err
		}
		plugins = append(plugins, p)
	}
	return plugins, nil
}

// remember adds what the lock file knows. A record of other bytes tells only what
// they were.
func (p *plugin) remember(r lock.Plugin) {
	p.Approved = r.Approved
	if p.SHA256 != r.SHA256 {
		p.ChangedFrom = r.SHA256
		return
	}
	p.Version, p.FirstSeen, p.ChangedFrom, p.Describe = r.Version, &r.FirstSeen, r.ChangedFrom, r.Describe
}

// wishes are what the manifest and the plugin ask for, and what becomes of it.
func (i *installed) wishes(e catalog.Entry, describe json.RawMessage) ([]wish, error) {
	var said struct{ Environment []string }
	if len(describe) > 0 {
		if err := json.Unmarshal(describe, &said); err != nil {
			return nil, fmt.Errorf("reading what %s says of itself: %w", e.Name, err)
		}
	}
	names := said.Environment
	if e.Manifest != nil {
		names = slices.Concat(names, e.Manifest.Env)
	}
	slices.Sort(names)
	var wishes []wish
	for _, name := range slices.Compact(names) {
		w := wish{Name: name}
		if _, set := i.settings.Backends[e.Name].Env[name]; set {
			w.Given = "from the configuration"
		} else if i.Policy.Granted(e, e.SHA256, name) {
			w.Given = "from the server"
		}
		wishes = append(wishes, w)
	}
	return wishes, nil
}

func pluginInfo(ctx context.Context, o pluginInfoOptions, s streams) error {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	found, err := o.find(ctx)
	if err != nil {
		return err
	}
	e, err := found.entry(o.name)
	if err != nil {
		return err
	}
	plugins, err := found.describe([]catalog.Entry{e}, s)
	if err != nil {
		return err
	}
	if o.output == outputJSON {
		return writeJSON(s.out, plugins[0])
	}
	return plugins[0].write(s)
}

// write tells people; lines without content are left out.
func (p plugin) write(s streams) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	line := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				_, _ = fmt.Fprintf(w, "%s\t%s\n", name, printable(v))
				name = ""
			}
		}
	}
	line("name", p.Name)
	line("version", p.Version)
	line("path", p.Path)
	line("source", string(p.Source))
	line("sha256", p.SHA256)
	line("trust", cmp.Or(p.Trust, "refused"))
	line("refused", p.Refused)
	if p.FirstSeen != nil {
		line("first seen", p.FirstSeen.Format(time.RFC3339))
	}
	line("changed from", p.ChangedFrom)
	if a := p.Approved; a != nil {
		line("approved", fmt.Sprintf("%s of sha256 %s", a.Time.Format(time.RFC3339), a.SHA256))
		line("approved variables", strings.Join(a.Env, " "))
	}
	line("shadowed", p.Shadowed...)
	var wishes []string
	for _, v := range p.Environment {
		wishes = append(wishes, v.Name+": "+cmp.Or(v.Given, "not given"))
	}
	line("environment", wishes...)
	for _, part := range []struct {
		name  string
		value any
		is    bool
	}{{"manifest", p.Manifest, p.Manifest != nil}, {"says of itself", p.Describe, p.Describe != nil}} {
		if !part.is {
			continue
		}
		text, err := json.MarshalIndent(part.value, "", "  ")
		if err != nil {
			return fmt.Errorf("encoding the %s: %w", part.name, err)
		}
		line(part.name, strings.Split(string(text), "\n")...)
	}
	return w.Flush()
}
