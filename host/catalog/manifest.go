package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// Transport is how host and plugin talk.
type Transport string

const (
	// TransportAuto is mutual TLS with certificates made for one process.
	TransportAuto Transport = "auto"
	// TransportPlain is for plugins in languages whose gRPC makes mutual TLS a
	// burden: a Unix socket in a private directory, its peer checked by the kernel.
	TransportPlain Transport = "plain"
)

// maxManifest bounds a manifest, in bytes.
const maxManifest = 64 << 10

// Manifest is the optional file clinvk-backend-NAME.json. It holds what must be
// known before the plugin runs; everything else the plugin says itself. It never
// grants anything.
type Manifest struct {
	// SchemaVersion is 1.
	SchemaVersion int `json:"schema_version"`
	// Name must equal NAME when given.
	Name string `json:"name,omitempty"`
	// Version of the plugin, for people.
	Version string `json:"version,omitempty"`
	// Transport; empty: auto.
	Transport Transport `json:"transport,omitempty"`
	// Command starts an interpreted plugin, for example ["node", "plugin.js"]. The
	// first word is looked up in PATH, or beside the manifest when it has a slash;
	// the plugin is started in the manifest's directory.
	Command []string `json:"command,omitempty"`
	// Env names the variables that the plugin would like to have.
	Env []string `json:"env,omitempty"`
	// Platforms lists GOOS or GOOS/GOARCH; empty: all.
	Platforms []string `json:"platforms,omitempty"`
}

// readManifest also returns the lower-case hex digest of what it read.
func readManifest(path string, insecure bool) (*Manifest, string, error) {
	f, err := openChecked(path, false, insecure)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", path, err)
	}
	m, err := ParseManifest(text)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(text)
	return m, hex.EncodeToString(sum[:]), nil
}

// ParseManifest decodes a manifest strictly: unknown fields are errors.
func ParseManifest(text []byte) (*Manifest, error) {
	if len(text) > maxManifest {
		return nil, fmt.Errorf("the manifest is larger than %d KiB", maxManifest>>10)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("decoding the manifest: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decoding the manifest: there is something after the object")
	}
	if m.SchemaVersion != 1 {
		return nil, fmt.Errorf("schema_version is %d; this clinvk knows 1", m.SchemaVersion)
	}
	switch m.Transport {
	case "", TransportAuto, TransportPlain:
	default:
		return nil, fmt.Errorf("transport %q is neither %q nor %q", m.Transport, TransportAuto, TransportPlain)
	}
	if len(m.Command) > 0 && m.Command[0] == "" {
		return nil, errors.New("the first word of command is empty")
	}
	if slices.ContainsFunc(m.Command, func(s string) bool { return strings.ContainsRune(s, 0) }) {
		return nil, errors.New("command holds a NUL byte")
	}
	return m, nil
}

// fits says why the manifest is not one of the plugin of this name on this system.
func (m *Manifest) fits(name string) error {
	if m.Name != "" && m.Name != name {
		return fmt.Errorf("the manifest is for %q, the file is named for %q", m.Name, name)
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if len(m.Platforms) > 0 && !slices.Contains(m.Platforms, runtime.GOOS) && !slices.Contains(m.Platforms, platform) {
		return fmt.Errorf("the plugin is for %s, this is %s", strings.Join(m.Platforms, ", "), platform)
	}
	return nil
}
