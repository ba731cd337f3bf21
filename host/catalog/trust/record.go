package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/catalog/lock"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// sighting is an entry with the digest that it has now.
type sighting struct {
	entry  catalog.Entry
	sha256 string
}

// record notes what was seen. That it cannot is only logged: what follows from it
// is decided elsewhere.
func (p *Policy) record(ctx context.Context, seen ...sighting) {
	err := p.config.Lock.Update(ctx, func(c *lock.Content) error {
		for _, s := range seen {
			p.note(c, s.entry, s.sha256)
		}
		return nil
	})
	if err != nil {
		p.log.Error("plugins are not recorded", "error", err)
	}
}

// note brings the record of one plugin up to date.
func (p *Policy) note(c *lock.Content, e catalog.Entry, sha256 string) {
	r := c.Find(e.Name, e.Path)
	if r == nil {
		c.Add(lock.Plugin{Name: e.Name, Version: version(e), Path: e.Path, SHA256: sha256, FirstSeen: now()})
		return
	}
	before := r.SHA256
	if before == sha256 {
		return
	}
	r.SHA256, r.FirstSeen, r.Version, r.Describe = sha256, now(), version(e), nil
	switch {
	case p.bundled(e, sha256), c.Approval(e.Name, sha256) != nil, r.ChangedFrom == sha256: // also what was put back
		r.ChangedFrom = ""
		return
	case r.ChangedFrom == "":
		r.ChangedFrom = before
	}
	p.log.Warn("plugin changed", "backend", e.Name, "path", e.Path, "before", before, "now", sha256, "remedy", "if that is right: "+ApproveCommand(e))
}

// Ready remembers what a plugin with these bytes said of itself when it started
// well, so that it can be told without starting it.
func (p *Policy) Ready(ctx context.Context, e catalog.Entry, sha256 string, d *backendv1.DescribeResponse) {
	described, err := snapshot(d)
	if err == nil {
		err = p.config.Lock.Update(ctx, func(c *lock.Content) error {
			if r := c.Find(e.Name, e.Path); r != nil && r.SHA256 == sha256 {
				r.Version, r.Describe = d.GetVersion(), described
			}
			return nil
		})
	}
	if err != nil {
		p.log.Warn("what a plugin says of itself is not recorded", "backend", e.Name, "error", err)
	}
}

// maxSnapshot bounds what is kept of a description, in bytes.
const maxSnapshot = 64 << 10

func snapshot(d *backendv1.DescribeResponse) (json.RawMessage, error) {
	d = proto.CloneOf(d)
	d.ConfigSchema = nil // long, and of no use without the plugin
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encoding the description: %w", err)
	}
	if len(text) > maxSnapshot {
		return nil, fmt.Errorf("the description is larger than %d KiB", maxSnapshot>>10)
	}
	return text, nil
}

// Approve approves the bytes that an entry has now and the variables that the
// plugin may have; it replaces an earlier approval. The permissions of the files
// must be good already: e.Refused is not of this package.
func (p *Policy) Approve(ctx context.Context, e catalog.Entry, env []string) error {
	return p.config.Lock.Update(ctx, func(c *lock.Content) error {
		r := c.Find(e.Name, e.Path)
		if r == nil {
			r = c.Add(lock.Plugin{Name: e.Name, Version: version(e), Path: e.Path, SHA256: e.SHA256, FirstSeen: now()})
		}
		if r.SHA256 != e.SHA256 {
			r.SHA256, r.FirstSeen, r.Version, r.Describe = e.SHA256, now(), version(e), nil
		}
		r.ChangedFrom = ""
		r.Approved = &lock.Approval{SHA256: e.SHA256, Time: now(), Env: env}
		return nil
	})
}

func version(e catalog.Entry) string {
	if e.Manifest == nil {
		return ""
	}
	return e.Manifest.Version
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
