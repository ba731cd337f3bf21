package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Defaults of the server.
const (
	DefaultPort = 8080
	DefaultHost = "127.0.0.1"
)

// defaultRetentionDays is the predecessor's.
const defaultRetentionDays = 30

// defaults are the values that hold unless something else is said. Limits have theirs
// where they are enforced, because 0 is a value of theirs.
func defaults() map[string]any {
	return map[string]any{
		"plugins":  map[string]any{"trust": trustNames[0]},
		"parallel": map[string]any{"max_workers": int64(3), "fail_fast": false, "aggregate_output": true},
		"unified_flags": map[string]any{
			"approval_mode": approvalNames[0], "sandbox_mode": sandboxNames[0], "verbose": false, "dry_run": false,
		},
		"session": map[string]any{"auto_resume": false, "retention_days": int64(defaultRetentionDays), "store_token_usage": true},
		"output":  map[string]any{"format": formatNames[0], "show_tokens": false, "show_timing": false, "color": true},
		"server": map[string]any{
			"host": DefaultHost, "port": int64(DefaultPort), "max_request_body_bytes": int64(32 << 20),
			"request_timeout_secs": float64(3600), "read_timeout_secs": float64(10), "write_timeout_secs": float64(30),
			"idle_timeout_secs": float64(120), "strict_params": false, "cors_allow_credentials": false,
			"rate_limit_enabled": false, "rate_limit_rps": float64(10), "rate_limit_burst": int64(20),
			"rate_limit_cleanup_secs": float64(180), "metrics_enabled": false,
		},
	}
}

// separator of keys within koanf: names of models have dots and slashes.
const separator = "\x00"

// maxFile bounds the file, in bytes.
const maxFile = 4 << 20

// Locate says which file Load reads: path, else CLINVK_CONFIG, else config.yaml in
// CLINVK_HOME, which need not exist.
func Locate(path string, environ []string) (string, error) {
	home, err := homeDir(environ)
	return cmp.Or(path, lookupVariable(environ, "CLINVK_CONFIG"), filepath.Join(home, "config.yaml")), err
}

// Load reads the file at path, or, when path is empty, at CLINVK_CONFIG, or else
// CLINVK_HOME/config.yaml if that exists; then it applies the environment, which is
// what os.Environ returns. Errors are *Error, or say that a file cannot be read.
func Load(path string, environ []string) (*Config, error) {
	home, err := homeDir(environ)
	if err != nil {
		return nil, err
	}
	file, err := Locate(path, environ)
	if err != nil {
		return nil, err
	}
	named := path != "" || lookupVariable(environ, "CLINVK_CONFIG") != ""
	text, err := readFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		file = ""
	case err != nil:
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return build(file, home, text, environ)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	return text, err
}

// build makes a Config of a file's text and the environment.
func build(path, home string, text []byte, environ []string) (*Config, error) {
	root, problem := parse(bytes.NewReader(text))
	if problem != nil {
		return nil, &Error{Path: path, Problems: []Problem{*problem}}
	}
	file := read(root)
	known := map[string]any{"backends": file.values["backends"], "models": file.values["models"]}
	variables := fromEnvironment(environ, known)
	if problems := slices.Concat(file.problems, variables.problems); len(problems) > 0 {
		return nil, &Error{Path: path, Problems: problems}
	}
	k := koanf.New(separator)
	for _, layer := range []map[string]any{defaults(), file.values, variables.values} {
		if err := k.Load(confmap.Provider(layer, ""), nil); err != nil {
			return nil, fmt.Errorf("putting the configuration together: %w", err)
		}
	}
	origins := maps.Clone(file.origins)
	maps.Copy(origins, variables.origins)
	c := &Config{}
	if err := k.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: c, TagName: "yaml", ErrorUnused: true,
	}}); err != nil { // the types were checked above
		return nil, fmt.Errorf("putting the configuration together: %w", err)
	}
	c.Path, c.Home, c.blank = path, home, path != "" && root == nil
	c.entries, c.origins = entries(k.Raw(), origins), origins
	if problems := c.problems(origins); len(problems) > 0 {
		return nil, &Error{Path: path, Problems: problems}
	}
	c.strays = strays(environ, known, c.Backends)
	c.secrets(environ)
	return c, nil
}

// problems are the values that make no sense, in the order of the file.
func (c *Config) problems(origins map[string]Origin) (out []Problem) {
	c.check(func(key Key, format string, args ...any) {
		out = append(out, Problem{Origin: nearestOrigin(key, origins), Key: key.String(), Message: fmt.Sprintf(format, args...)})
	})
	sortByPlace(out)
	return out
}

// sortByPlace brings mistakes into the order of the file.
func sortByPlace(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// nearestOrigin is where a key stands, or what it belongs to when it does not.
func nearestOrigin(k Key, origins map[string]Origin) Origin {
	for ; len(k) > 0; k = k[:len(k)-1] {
		if o, ok := origins[k.String()]; ok {
			return o
		}
	}
	return Origin{}
}

// secrets takes in what only the environment may hold.
func (c *Config) secrets(environ []string) {
	for key := range strings.SplitSeq(lookupVariable(environ, "CLINVK_API_KEYS"), ",") {
		if key = strings.TrimSpace(key); key != "" {
			c.APIKeys = append(c.APIKeys, key)
		}
	}
	for _, b := range c.Backends {
		for name, v := range b.Env {
			b.Env[name] = expand(v, func(name string) string { return lookupVariable(environ, name) })
		}
	}
}

// lookupVariable finds a variable; the last one counts, as for programs.
func lookupVariable(environ []string, name string) (value string) {
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

func homeDir(environ []string) (string, error) {
	if home := lookupVariable(environ, "CLINVK_HOME"); home != "" {
		return filepath.Abs(home)
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no home directory; set CLINVK_HOME: %w", err)
	}
	return filepath.Join(user, ".clinvk"), nil
}
