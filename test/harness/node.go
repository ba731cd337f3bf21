//go:build unix

package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// NodePlugin copies the example plugin in Node.js into dir, as its readers do, with
// this transport in the manifest. It is an error when its packages are not
// installed.
func NodePlugin(dir, transport string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	example := filepath.Join(root, "docs", "examples", "node-plugin")
	modules := filepath.Join(example, "node_modules")
	if _, err := os.Stat(modules); err != nil {
		return fmt.Errorf("the example's packages are not installed (%w): run make node-plugin", err)
	}
	const manifest, contract = "clinvk-backend-node.json", "proto/clinvk/backend/v1/backend.proto"
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(contract)), 0o700); err != nil {
		return err
	}
	for from, to := range map[string]string{
		filepath.Join(example, "plugin.js"): "plugin.js", filepath.Join(example, "backend.js"): "backend.js",
		filepath.Join(example, "package.json"): "package.json", filepath.Join(example, manifest): manifest,
		filepath.Join(root, contract): contract,
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if to == manifest {
			if text, err = withTransport(text, transport); err != nil {
				return fmt.Errorf("%s: %w", from, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
			return err
		}
	}
	return os.Symlink(modules, filepath.Join(dir, "node_modules"))
}

func withTransport(manifest []byte, transport string) ([]byte, error) {
	m := map[string]any{}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, err
	}
	m["transport"] = transport
	return json.Marshal(m)
}
