package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Get is the value of a key as it holds: a scalar, or a tree of what there is below
// it. ok is false when it has none. The error, an *Error, says that there is no such key.
func (c *Config) Get(k Key) (value any, ok bool, err error) {
	if _, err := typeOf(k); err != nil {
		return nil, false, keyError(err)
	}
	tree := map[string]any{}
	for _, e := range c.entries {
		switch {
		case slices.Equal(e.Key, k):
			return e.Value, true, nil
		case len(e.Key) > len(k) && slices.Equal(e.Key[:len(k)], k):
			at := tree
			for _, name := range e.Key[len(k) : len(e.Key)-1] {
				next, isTree := at[name].(map[string]any)
				if !isTree {
					next = map[string]any{}
					at[name] = next
				}
				at = next
			}
			at[e.Key[len(e.Key)-1]] = e.Value
		}
	}
	return tree, len(tree) > 0, nil
}

// Set writes a value, given as YAML, to the file; all else in it stays, comments too.
// The file is made when it does not exist. Nothing is written when the configuration
// would not be valid then: that error is an *Error.
func Set(path string, k Key, value string, environ []string) error {
	typ, err := typeOf(k)
	if err != nil {
		return keyError(err)
	}
	node := &yaml.Node{}
	if err := yaml.Unmarshal([]byte(value), node); err != nil {
		return &Error{Problems: []Problem{{Key: k.String(), Message: "cannot be set to " + clip(value) + ": " + err.Error()}}}
	}
	if typ.Kind() == reflect.String || len(node.Content) == 0 {
		node = text(value)
	} else {
		node = node.Content[0]
	}
	return edit(path, environ, func(root *yaml.Node) { put(root, k, node) })
}

// Unset takes a key out of the file; it is no error when it is not there.
func Unset(path string, k Key, environ []string) error {
	if _, err := typeOf(k); err != nil {
		return keyError(err)
	}
	return edit(path, environ, func(root *yaml.Node) {
		at := root
		for _, name := range k[:len(k)-1] {
			if at = find(at, name); at == nil {
				return
			}
			ownCopy(at)
		}
		for i := 0; i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == k[len(k)-1] {
				at.Content = slices.Delete(at.Content, i, i+2)
				return
			}
		}
	})
}

// edit changes the file's document and writes it back if it is valid then.
func edit(path string, environ []string, change func(root *yaml.Node)) error {
	old, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(old, &doc); err != nil {
		return &Error{Path: path, Problems: []Problem{*syntaxProblem(err)}}
	}
	var b bytes.Buffer
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode { // nothing, or comments only
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
		if kept := bytes.TrimSpace(old); len(kept) > 0 && kept[0] == '#' {
			b.Write(append(kept, '\n'))
		}
	}
	change(doc.Content[0])
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	home, err := homeDir(environ)
	if err != nil {
		return err
	}
	if _, err := build(path, home, b.Bytes(), environ); err != nil {
		return err
	}
	return replace(path, b.Bytes())
}

// replace writes a file whole or not at all. It may hold secrets, so only its owner
// may read it, unless it was open to others before.
func replace(path string, text []byte) error {
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*.yaml")
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	defer os.Remove(f.Name()) // it is gone when all went well
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}
