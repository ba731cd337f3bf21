package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/clinvk/clinvk/proto/handshake"
)

// namePattern is what NAME in clinvk-backend-NAME must look like.
var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

const manifestSuffix = ".json"

// Entry is one plugin as found on disk. It is a value: copying it is safe.
type Entry struct {
	// Name is NAME in clinvk-backend-NAME.
	Name string
	// Path is the absolute path of the binary, or of the manifest when the
	// manifest names a command.
	Path string
	// Source says where in the search path it was found.
	Source Source
	// Manifest is what stands beside the binary; nil when there is none.
	Manifest *Manifest
	// SHA256 is the lower-case hex digest of the plugin when it was found: of the
	// binary, or of everything that Program.SHA256 is made of. Empty when the files
	// must not be run.
	SHA256 string
	// Trust is what a policy made of the digest; empty: none was asked.
	Trust Trust
	// Shadowed lists the paths of the same name further down the search path.
	Shadowed []string
	// Insecure switches the permission check off, also when the plugin is started.
	Insecure bool
	// Refused says why the plugin must not be started; nil: it may.
	Refused error
}

// Transport is how host and plugin talk.
func (e Entry) Transport() Transport {
	if e.Manifest == nil || e.Manifest.Transport == "" {
		return TransportAuto
	}
	return e.Manifest.Transport
}

// Interpreted says that the plugin is started by the manifest's command.
func (e Entry) Interpreted() bool { return e.Manifest != nil && len(e.Manifest.Command) > 0 }

// Same says that both start the same program in the same way, or must not be
// started for the same reason.
func (e Entry) Same(other Entry) bool {
	return e.Name == other.Name && e.Path == other.Path && e.SHA256 == other.SHA256 && e.Insecure == other.Insecure &&
		reflect.DeepEqual(e.Manifest, other.Manifest) && reason(e.Refused) == reason(other.Refused)
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Config says where to look.
type Config struct {
	// Dirs are the directories given by hand. When there are any, only they and
	// the bundled ones are searched, so that a server is reproducible.
	Dirs []string
	// Executable is the path of the clinvk binary; plugins beside it and in
	// ../libexec/clinvk/plugins are the bundled ones. Empty: none are.
	Executable string
	// Only are the names to list; empty: all. The files of others are not read.
	Only []string
	// Getenv replaces os.Getenv; nil: os.Getenv.
	Getenv func(string) string
	// Insecure switches the permission check off, for containers whose files
	// belong to somebody else.
	Insecure bool
}

// Scan lists the plugins of the search path, ordered by name. A plugin that must
// not be started is listed with Refused set, and still shadows those of its name
// further down: a good copy elsewhere never hides that the first one is bad. The
// error tells which of Config.Dirs cannot be read; the list is good nevertheless.
func Scan(ctx context.Context, c Config) ([]Entry, error) {
	var errs []error
	byName := map[string]*Entry{}
	shadowed := map[string][]string{}
	var inspecting sync.WaitGroup // hashing takes 10 ms and more for each
	defer inspecting.Wait()
	for _, dir := range SearchPath(c) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := candidates(dir)
		if err != nil {
			// Only what somebody named is worth an error; the usual places may be absent.
			if dir.Source == SourceFlag || !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("reading plugin directory %s: %w", dir.Path, err))
			}
			continue
		}
		for _, f := range found {
			if len(c.Only) > 0 && !slices.Contains(c.Only, f.name) {
				continue
			}
			if byName[f.name] != nil {
				shadowed[f.name] = append(shadowed[f.name], f.main())
				continue
			}
			e := &Entry{Name: f.name, Source: dir.Source, Insecure: c.Insecure}
			byName[f.name] = e
			inspecting.Go(func() { *e = inspect(f, *e) })
		}
	}
	inspecting.Wait()
	entries := make([]Entry, 0, len(byName))
	for _, e := range byName {
		e.Shadowed = shadowed[e.Name]
		entries = append(entries, *e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, errors.Join(errs...)
}

// candidate is what one directory holds for one name.
type candidate struct{ name, binary, manifest string }

// main is the path that stands for the candidate.
func (c candidate) main() string {
	if c.binary != "" {
		return c.binary
	}
	return c.manifest
}

// candidates lists the plugins of a directory, ordered by name. Files whose name
// is not a plugin's are no business of ours.
func candidates(dir Dir) ([]candidate, error) {
	files, err := os.ReadDir(dir.Path)
	if err != nil {
		return nil, err
	}
	byName := map[string]candidate{}
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Name(), handshake.NamePrefix)
		if !ok || f.IsDir() {
			continue
		}
		path := filepath.Join(dir.Path, f.Name())
		name, isManifest := strings.CutSuffix(name, manifestSuffix)
		if !isManifest && runtime.GOOS == "windows" {
			if name, ok = strings.CutSuffix(name, ".exe"); !ok {
				continue
			}
		}
		if !namePattern.MatchString(name) {
			continue
		}
		c := byName[name]
		c.name = name
		if isManifest {
			c.manifest = path
		} else {
			c.binary = path
		}
		byName[name] = c
	}
	found := make([]candidate, 0, len(byName))
	for _, c := range byName {
		found = append(found, c)
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Compare(a.name, b.name) })
	return found, nil
}

// inspect reads the manifest, checks the files and hashes.
func inspect(c candidate, e Entry) Entry {
	e = load(c, e)
	program, err := e.Open()
	if err != nil {
		e.Refused = err
		return e
	}
	defer program.Close()
	e.SHA256 = program.SHA256
	return e
}

// load reads the manifest and says what it makes of the entry.
func load(c candidate, e Entry) Entry {
	e.Path, e.Manifest, e.Refused = c.main(), nil, nil
	if c.manifest != "" {
		m, _, err := readManifest(c.manifest, e.Insecure)
		if err == nil {
			err = m.fits(c.name)
		}
		if err != nil {
			e.Refused = err
			return e
		}
		e.Manifest = m
	}
	if e.Interpreted() {
		e.Path = c.manifest
	} else if c.binary == "" {
		e.Refused = fmt.Errorf("%s names no command and there is no %s%s beside it", c.manifest, handshake.NamePrefix, c.name)
	}
	return e
}

// Reload reads the plugin's files again where they were found: what was mended or
// replaced on disk counts from then on. Digest and trust are those of the last
// Scan: whoever starts the plugin decides about the program that Open returns.
func (e Entry) Reload() Entry {
	dir := filepath.Dir(e.Path)
	c := candidate{name: e.Name}
	binary := filepath.Join(dir, handshake.NamePrefix+e.Name)
	if manifest := binary + manifestSuffix; exists(manifest) {
		c.manifest = manifest
	}
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	if exists(binary) || c.manifest == "" { // a missing binary is an error of Open
		c.binary = binary
	}
	return load(c, e)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
