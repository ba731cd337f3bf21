package lock

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Content is what a lock file holds.
type Content struct {
	SchemaVersion int `json:"schema_version"`
	// Plugins has one record for each name and path.
	Plugins []Plugin `json:"plugins"`
}

// Plugin is the record of one plugin at one place.
type Plugin struct {
	Name string `json:"name"`
	// Version as the plugin tells it, or its manifest before the first start.
	Version string `json:"version,omitempty"`
	Path    string `json:"path"`
	// SHA256 that was seen last; FirstSeen is when that was for the first time.
	SHA256    string    `json:"sha256"`
	FirstSeen time.Time `json:"first_seen"`
	// ChangedFrom is the digest that was there before, until somebody approves.
	ChangedFrom string `json:"changed_from,omitempty"`
	// Approved is what an operator approved; it may be another digest than SHA256.
	Approved *Approval `json:"approved,omitempty"`
	// Describe is what the plugin said of itself at its last good start with SHA256:
	// the contract's DescribeResponse as JSON, without its schema of settings.
	Describe json.RawMessage `json:"describe,omitempty"`
}

// Approval binds an operator's word to one digest.
type Approval struct {
	SHA256 string    `json:"sha256"`
	Time   time.Time `json:"time"`
	// Env names the variables of the server that the plugin may have for its CLI.
	Env []string `json:"env,omitempty"`
}

// Find returns the record of a plugin at a path; nil: there is none. It points
// into the content.
func (c *Content) Find(name, path string) *Plugin {
	for i := range c.Plugins {
		if p := &c.Plugins[i]; p.Name == name && p.Path == path {
			return p
		}
	}
	return nil
}

// Add appends a record and returns it; the pointer is valid until the next Add.
func (c *Content) Add(p Plugin) *Plugin {
	c.Plugins = append(c.Plugins, p)
	return &c.Plugins[len(c.Plugins)-1]
}

// Approval returns the newest approval of these bytes under this name, wherever
// they lie; nil: there is none.
func (c *Content) Approval(name, sha256 string) *Approval {
	var newest *Approval
	for _, p := range c.Plugins {
		if a := p.Approved; p.Name == name && a != nil && a.SHA256 == sha256 && (newest == nil || a.Time.After(newest.Time)) {
			newest = a
		}
	}
	return newest
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (c *Content) validate() error {
	type place struct{ name, path string }
	seen := map[place]bool{}
	for _, p := range c.Plugins {
		at := place{p.Name, p.Path}
		switch {
		case p.Name == "" || p.Path == "":
			return fmt.Errorf("a record has no name or no path")
		case seen[at]:
			return fmt.Errorf("%s at %s is there twice", p.Name, p.Path)
		case !digest.MatchString(p.SHA256), p.ChangedFrom != "" && !digest.MatchString(p.ChangedFrom):
			return fmt.Errorf("the record of %s has a bad sha256", p.Name)
		case p.Approved != nil && !digest.MatchString(p.Approved.SHA256):
			return fmt.Errorf("the approval of %s has a bad sha256", p.Name)
		}
		seen[at] = true
	}
	return nil
}

// text is the file's: records in order, so that equal contents are equal bytes.
func (c *Content) text() ([]byte, error) {
	slices.SortFunc(c.Plugins, func(a, b Plugin) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Path, b.Path))
	})
	if c.Plugins == nil {
		c.Plugins = []Plugin{}
	}
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}
