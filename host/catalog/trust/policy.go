package trust

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/lock"
)

// Mode is how much is trusted.
type Mode string

const (
	// Permissions trusts whoever may write where plugins lie; what changes is logged.
	Permissions Mode = "permissions"
	// Lock trusts what came with this clinvk and what an operator approved.
	Lock Mode = "lock"
)

// Config of a Policy.
type Config struct {
	// Mode; empty: Permissions.
	Mode Mode
	// Lock is where plugins and approvals are kept; required.
	Lock *lock.File
	// Bundled holds the sha256 of the plugins that came with this clinvk, by name;
	// nil: it was built without, and plugins in BundledDirs count as such.
	Bundled     map[string]string
	BundledDirs []string
	// Variables of the server that bundled plugins get, by name.
	Variables map[string][]string
	// Logger; nil: nowhere.
	Logger *slog.Logger
}

// Policy decides. Its methods may be called concurrently. It keeps nothing in
// memory: an approval counts from the next decision on.
type Policy struct {
	config Config
	log    *slog.Logger
}

// New makes a policy.
func New(c Config) *Policy {
	c.Mode = cmp.Or(c.Mode, Permissions)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	dirs := make([]string, 0, len(c.BundledDirs))
	for _, d := range c.BundledDirs {
		dirs = append(dirs, resolve(d))
	}
	c.BundledDirs = dirs
	return &Policy{config: c, log: c.Logger}
}

// Judge returns the entries with Trust set, and Refused where they must not run.
// Nothing is written.
func (p *Policy) Judge(entries []catalog.Entry) []catalog.Entry {
	content, err := p.config.Lock.Read()
	out := slices.Clone(entries)
	for i := range out {
		if e := &out[i]; e.Refused == nil {
			e.Trust, e.Refused = p.decide(content, err, *e, e.SHA256)
		}
	}
	return out
}

// Apply is Judge for servers: it also records what it sees, and logs what changed
// and why the lock file cannot be used.
func (p *Policy) Apply(ctx context.Context, entries []catalog.Entry) []catalog.Entry {
	var seen []sighting
	for _, e := range entries {
		if e.Refused == nil {
			seen = append(seen, sighting{e, e.SHA256})
		}
	}
	p.record(ctx, seen...)
	return p.Judge(entries)
}

// Admit decides about a program as it was opened to be started: sha256 is the
// digest of what will run. The error is a *catalog.TrustError.
func (p *Policy) Admit(ctx context.Context, e catalog.Entry, sha256 string) (catalog.Trust, error) {
	p.record(ctx, sighting{e, sha256})
	content, err := p.config.Lock.Read()
	return p.decide(content, err, e, sha256)
}

// Granted says whether a plugin with these bytes gets a variable of the server's
// environment that it asks for.
func (p *Policy) Granted(e catalog.Entry, sha256, variable string) bool {
	if p.bundled(e, sha256) && slices.Contains(p.config.Variables[e.Name], variable) {
		return true
	}
	content, err := p.config.Lock.Read()
	if err != nil { // it was logged when the plugin was admitted
		return false
	}
	a := content.Approval(e.Name, sha256)
	return a != nil && slices.Contains(a.Env, variable)
}

// builtIn says that the digest is one that this clinvk was built with.
func (p *Policy) builtIn(e catalog.Entry, sha256 string) bool {
	return sha256 != "" && p.config.Bundled[e.Name] == sha256
}

// bundled says that the plugin came with this clinvk: by its digest, or, where
// none are built in, by its place.
func (p *Policy) bundled(e catalog.Entry, sha256 string) bool {
	if p.config.Bundled != nil {
		return p.builtIn(e, sha256)
	}
	return slices.Contains(p.config.BundledDirs, resolve(filepath.Dir(e.Path)))
}

// decide makes the decision; content is nil when the lock file is unusable.
func (p *Policy) decide(content *lock.Content, unusable error, e catalog.Entry, sha256 string) (catalog.Trust, error) {
	strict := p.config.Mode == Lock
	switch {
	case p.builtIn(e, sha256), !strict && p.bundled(e, sha256):
		return catalog.TrustBundled, nil
	case content == nil && strict:
		return catalog.TrustUnapproved, &catalog.TrustError{
			Path: e.Path, SHA256: sha256, Trust: catalog.TrustUnapproved,
			Problem: fmt.Sprintf("cannot be looked up: %v", unusable), Remedy: ApproveCommand(e),
		}
	case content == nil:
		return catalog.TrustUnrecorded, nil
	case content.Approval(e.Name, sha256) != nil:
		return catalog.TrustApproved, nil
	case strict:
		return refuse(content, e, sha256)
	}
	switch r := content.Find(e.Name, e.Path); {
	case r == nil:
		return catalog.TrustUnrecorded, nil
	case r.SHA256 != sha256 || r.ChangedFrom != "":
		return catalog.TrustChanged, nil
	default:
		return catalog.TrustRecorded, nil
	}
}

// refuse says why a plugin without an approval must not run.
func refuse(content *lock.Content, e catalog.Entry, sha256 string) (catalog.Trust, error) {
	refused := &catalog.TrustError{
		Path: e.Path, SHA256: sha256, Trust: catalog.TrustUnapproved, Remedy: ApproveCommand(e),
		Problem: fmt.Sprintf("is not approved (sha256 %s)", sha256),
	}
	if r := content.Find(e.Name, e.Path); r != nil && r.Approved != nil {
		refused.Trust = catalog.TrustChanged
		refused.Problem = fmt.Sprintf("has changed since it was approved (sha256 %s, approved was %s)", sha256, r.Approved.SHA256)
	}
	return refused.Trust, refused
}

// ApproveCommand is the command that approves an entry, so that it finds the same
// one.
func ApproveCommand(e catalog.Entry) string {
	command := "clinvk plugin approve " + e.Name
	if e.Source == catalog.SourceFlag {
		command += " --plugin-dir " + catalog.Quote(filepath.Dir(e.Path))
	}
	return command
}

// resolve follows links as far as they lead somewhere.
func resolve(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return filepath.Clean(dir)
}

// ParseBundled reads what the build writes into the host: NAME=SHA256, separated
// by commas. Empty text is a build without and gives nil.
func ParseBundled(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	bundled := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		name, sum, ok := strings.Cut(pair, "=")
		if !ok || name == "" || len(sum) != 64 || bundled[name] != "" {
			return nil, errors.New("the digests of the bundled plugins are built in wrongly")
		}
		bundled[name] = sum
	}
	return bundled, nil
}
