//go:build unix

package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// place writes a file of a plugin directory.
func place(t testing.TB, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

// private is a directory that only we can write to, as are all above it.
func private(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func scan(t testing.TB, c Config) []Entry {
	t.Helper()
	entries, err := Scan(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestScanNames(t *testing.T) {
	dir := private(t)
	for _, name := range []string{
		"clinvk-backend-good", "clinvk-backend-a", "clinvk-backend-x1-y2",
		"clinvk-backend-", "clinvk-backend-Big", "clinvk-backend-1st", "clinvk-backend-a_b", "clinvk-backend-a.old",
		"clinvk-backend-" + strings.Repeat("n", 33), "backend-other", "readme",
	} {
		place(t, dir, name, name, 0o755)
	}
	if err := os.Mkdir(filepath.Join(dir, "clinvk-backend-dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range scan(t, Config{Dirs: []string{dir}}) {
		if e.Refused != nil {
			t.Errorf("%s: %v", e.Name, e.Refused)
		}
		names = append(names, e.Name)
	}
	if d := cmp.Diff([]string{"a", "good", "x1-y2"}, names); d != "" {
		t.Error(d)
	}
}

// TestScanOnly: what is not asked for is not even opened.
func TestScanOnly(t *testing.T) {
	first, second := private(t), private(t)
	place(t, first, "clinvk-backend-one", "1", 0o755)
	place(t, first, "clinvk-backend-two", "2", 0o000)
	shadowed := place(t, second, "clinvk-backend-one", "1", 0o755)
	got := scan(t, Config{Dirs: []string{first, second}, Only: []string{"one", "three"}})
	if len(got) != 1 || got[0].Name != "one" || got[0].Refused != nil || !slices.Equal(got[0].Shadowed, []string{shadowed}) {
		t.Errorf("%+v", got)
	}
}

func TestScanEntry(t *testing.T) {
	dir := private(t)
	path := place(t, dir, "clinvk-backend-one", "binary", 0o755)
	place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"transport":"plain"}`, 0o644)
	sum := sha256.Sum256([]byte("binary"))
	want := []Entry{{
		Name: "one", Path: path, Source: SourceFlag, SHA256: hex.EncodeToString(sum[:]),
		Manifest: &Manifest{SchemaVersion: 1, Transport: TransportPlain},
	}}
	got := scan(t, Config{Dirs: []string{dir}})
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got[0].Transport() != TransportPlain || got[0].Interpreted() {
		t.Errorf("entry: %+v", got[0])
	}
}

func TestFirstWins(t *testing.T) {
	a, b, c := private(t), private(t), private(t)
	first := place(t, a, "clinvk-backend-one", "1", 0o755)
	second := place(t, b, "clinvk-backend-one", "2", 0o755)
	third := place(t, c, "clinvk-backend-one.json", `{"schema_version":1,"command":["sh"]}`, 0o644)
	got := scan(t, Config{Dirs: []string{a, b, c}})
	if len(got) != 1 || got[0].Path != first {
		t.Fatalf("entries: %+v", got)
	}
	if d := cmp.Diff([]string{second, third}, got[0].Shadowed); d != "" {
		t.Error(d)
	}
	// A bad first one is shown, not passed over.
	if err := os.Chmod(first, 0o777); err != nil {
		t.Fatal(err)
	}
	got = scan(t, Config{Dirs: []string{a, b, c}})
	if len(got) != 1 || got[0].Path != first || got[0].Refused == nil {
		t.Fatalf("entries: %+v", got)
	}
}

func TestSearchPath(t *testing.T) {
	env := map[string]string{
		"HOME": "/home/me", "CLINVK_PLUGIN_PATH": "/env/one::relative:/env/two:/env/one",
	}
	bundled := []Dir{{"/opt/clinvk/bin", SourceBundled}, {"/opt/clinvk/libexec/clinvk/plugins", SourceBundled}}
	system := []Dir{{"/usr/local/lib/clinvk/plugins", SourceSystem}, {"/usr/lib/clinvk/plugins", SourceSystem}}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		config Config
		data   string
		want   []Dir
	}{
		{
			name: "usual", config: Config{Executable: "/opt/clinvk/bin/clinvk"},
			want: append(append([]Dir{
				{"/env/one", SourceEnvironment}, {"/env/two", SourceEnvironment},
				{"/home/me/.local/share/clinvk/plugins", SourceUser}, {"/home/me/.clinvk/plugins", SourceUser},
			}, bundled...), system...),
		},
		{
			name: "data home", data: "/data",
			want: append([]Dir{
				{"/env/one", SourceEnvironment}, {"/env/two", SourceEnvironment},
				{"/data/clinvk/plugins", SourceUser}, {"/home/me/.clinvk/plugins", SourceUser},
			}, system...),
		},
		{
			name: "by hand", config: Config{Executable: "/opt/clinvk/bin/clinvk", Dirs: []string{"/hand", "here"}},
			want: append([]Dir{{"/hand", SourceFlag}, {filepath.Join(cwd, "here"), SourceFlag}}, bundled...),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Getenv = func(name string) string {
				if name == "XDG_DATA_HOME" {
					return tt.data
				}
				return env[name]
			}
			if d := cmp.Diff(tt.want, SearchPath(tt.config)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMissingDirectory(t *testing.T) {
	good := private(t)
	place(t, good, "clinvk-backend-one", "1", 0o755)
	entries, err := Scan(t.Context(), Config{Dirs: []string{filepath.Join(good, "missing"), good}})
	if err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("error: %v", err)
	}
	if len(entries) != 1 {
		t.Errorf("entries: %+v", entries)
	}
	if _, err := Scan(t.Context(), Config{Getenv: func(string) string { return "" }, Executable: filepath.Join(good, "no", "clinvk")}); err != nil {
		t.Errorf("usual places may be absent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, Config{Dirs: []string{good}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange func(t *testing.T, dir string)
		want    string
		remedy  string // of a *PermissionError
	}{
		{"writable by all", func(t *testing.T, dir string) { place(t, dir, "clinvk-backend-one", "", 0o757) }, "can be written by everybody (mode 0757)", "chmod go-w DIR/clinvk-backend-one"},
		{"writable by a foreign group", func(t *testing.T, dir string) {
			path := place(t, dir, "clinvk-backend-one", "", 0o775)
			if err := os.Chown(path, -1, 4711); err != nil {
				t.Skip("only root can give files to a foreign group")
			}
		}, "can be written by its group", "chmod g-w DIR/clinvk-backend-one"},
		{"somebody else's", func(t *testing.T, dir string) {
			path := place(t, dir, "clinvk-backend-one", "", 0o755)
			if err := os.Chown(path, 4711, -1); err != nil {
				t.Skip("only root can give files away")
			}
		}, "belongs to uid 4711", "chown"},
		{"directory writable by all", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one", "", 0o755)
			mode(t, dir, 0o777)
		}, "can be written by everybody", "chmod go-w DIR"},
		{"sticky directory", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one", "", 0o755)
			mode(t, dir, 0o777|os.ModeSticky)
		}, "can be written by everybody", "chmod go-w DIR"},
		{"parent writable by all", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one", "", 0o755)
			mode(t, filepath.Dir(dir), 0o777)
		}, "can be written by everybody", "chmod go-w"},
		{"not executable", func(t *testing.T, dir string) { place(t, dir, "clinvk-backend-one", "", 0o644) }, "is not executable", "chmod u+x DIR/clinvk-backend-one"},
		{"link to nothing", func(t *testing.T, dir string) {
			link(t, filepath.Join(dir, "nothing"), filepath.Join(dir, "clinvk-backend-one"))
		}, "no such file", ""},
		{"link into an open directory", func(t *testing.T, dir string) {
			open := filepath.Join(private(t), "open")
			link(t, place(t, open, "binary", "", 0o755), filepath.Join(dir, "clinvk-backend-one"))
			mode(t, open, 0o777)
		}, "open can be written by everybody", "chmod go-w"},
		{"link to a device", func(t *testing.T, dir string) {
			link(t, "/dev/null", filepath.Join(dir, "clinvk-backend-one"))
		}, "not a regular file", ""},
		{"manifest writable by all", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one", "", 0o755)
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1}`, 0o666)
		}, "can be written by everybody", "chmod go-w DIR/clinvk-backend-one.json"},
		{"bad manifest", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one", "", 0o755)
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"colour":"red"}`, 0o644)
		}, `unknown field "colour"`, ""},
		{"another's manifest", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"name":"two","command":["sh"]}`, 0o644)
		}, `the manifest is for "two"`, ""},
		{"another system's", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"platforms":["plan9"],"command":["sh"]}`, 0o644)
		}, "the plugin is for plan9", ""},
		{"manifest alone", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1}`, 0o644)
		}, "names no command", ""},
		{"interpreter missing", func(t *testing.T, dir string) {
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"command":["no-such-interpreter"]}`, 0o644)
		}, `"no-such-interpreter" is not in PATH`, ""},
		{"open script", func(t *testing.T, dir string) {
			place(t, dir, "plugin.js", "", 0o666)
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"command":["sh","plugin.js"]}`, 0o644)
		}, "plugin.js can be written by everybody", "chmod go-w DIR/plugin.js"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(private(t), "plugins")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			tt.arrange(t, dir)
			got := scan(t, Config{Dirs: []string{dir}})
			if len(got) != 1 || got[0].Refused == nil {
				t.Fatalf("entries: %+v", got)
			}
			if !strings.Contains(got[0].Refused.Error(), tt.want) {
				t.Errorf("refused: %v, want %q in it", got[0].Refused, tt.want)
			}
			var p *PermissionError
			if errors.As(got[0].Refused, &p) != (tt.remedy != "") {
				t.Fatalf("refused: %#v", got[0].Refused)
			}
			if p != nil && !strings.HasPrefix(p.Remedy, strings.ReplaceAll(tt.remedy, "DIR", dir)) {
				t.Errorf("remedy: %q", p.Remedy)
			}
		})
	}
}

func mode(t testing.TB, path string, m os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, m); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestInsecure(t *testing.T) {
	dir := private(t)
	place(t, dir, "clinvk-backend-one", "", 0o777)
	mode(t, dir, 0o777)
	got := scan(t, Config{Dirs: []string{dir}, Insecure: true})
	if len(got) != 1 || got[0].Refused != nil || !got[0].Insecure {
		t.Fatalf("entries: %+v", got)
	}
	p, err := got[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

// TestOpenChecksAgain shows that what was good when it was found is not trusted
// when it is started.
func TestOpenChecksAgain(t *testing.T) {
	dir := private(t)
	path := place(t, dir, "clinvk-backend-one", "one", 0o755)
	e := scan(t, Config{Dirs: []string{dir}})[0]
	mode(t, path, 0o777)
	var p *PermissionError
	if _, err := e.Open(); !errors.As(err, &p) {
		t.Fatalf("error: %v", err)
	}
	mode(t, path, 0o755)
	place(t, dir, "clinvk-backend-one", "two", 0o755)
	program, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	sum := sha256.Sum256([]byte("two"))
	if program.SHA256 != hex.EncodeToString(sum[:]) || program.SHA256 == e.SHA256 {
		t.Errorf("program: %+v", program)
	}
}

// TestReload shows that a refused plugin can be mended, and that a manifest that is
// refused is never passed over.
func TestReload(t *testing.T) {
	dir := private(t)
	place(t, dir, "clinvk-backend-one", "one", 0o755)
	place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"name":"two"}`, 0o644)
	e := scan(t, Config{Dirs: []string{dir}})[0]
	if _, err := e.Open(); err == nil {
		t.Fatal("a refused plugin was opened")
	}
	if _, err := e.Reload().Open(); err == nil {
		t.Fatal("a refused plugin was opened after Reload")
	}
	place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"transport":"plain"}`, 0o644)
	e = e.Reload()
	p, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if e.Transport() != TransportPlain || e.Path != filepath.Join(dir, "clinvk-backend-one") {
		t.Errorf("entry: %+v", e)
	}
	if err := os.Remove(e.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Reload().Open(); err == nil {
		t.Fatal("a missing plugin was opened")
	}
}

func TestOpenCommand(t *testing.T) {
	dir := private(t)
	place(t, dir, "plugin.js", "", 0o644)
	place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"command":["sh","plugin.js","--flag"]}`, 0o644)
	e := scan(t, Config{Dirs: []string{dir}})[0]
	if e.Refused != nil || !e.Interpreted() {
		t.Fatalf("entry: %+v", e)
	}
	p, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if filepath.Base(p.Path) != "sh" || !filepath.IsAbs(p.Path) || p.Dir != dir || p.File != nil {
		t.Errorf("program: %+v", p)
	}
	if d := cmp.Diff([]string{"plugin.js", "--flag"}, p.Args); d != "" {
		t.Error(d)
	}
}

// TestCommandDigest shows what the digest of an interpreted plugin covers: the
// manifest and the files that its command names, by their bytes and their words.
func TestCommandDigest(t *testing.T) {
	dir, elsewhere := private(t), private(t)
	far := place(t, elsewhere, "far.js", "far", 0o644)
	manifest := `{"schema_version":1,"command":["sh","plugin.js",` + strconv.Quote(far) + `,"-x"]}`
	seen := map[string]string{}
	look := func(step string) string {
		t.Helper()
		e := scan(t, Config{Dirs: []string{dir}})[0]
		p, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		if p.SHA256 != e.SHA256 || len(p.SHA256) != 64 {
			t.Errorf("%s: found %q, opened %q", step, e.SHA256, p.SHA256)
		}
		return p.SHA256
	}
	for _, step := range []struct {
		name    string
		arrange func()
	}{
		{"as it is", func() {
			place(t, dir, "plugin.js", "one", 0o644)
			place(t, dir, "clinvk-backend-one.json", manifest, 0o644)
		}},
		{"the script", func() { place(t, dir, "plugin.js", "two", 0o644) }},
		{"a script elsewhere", func() { place(t, elsewhere, "far.js", "other", 0o644) }},
		{"a word becomes a file", func() { place(t, dir, "-x", "", 0o644) }},
		{"the manifest", func() {
			place(t, dir, "clinvk-backend-one.json", strings.Replace(manifest, "-x", "-y", 1), 0o644)
		}},
		{"its own interpreter", func() {
			place(t, dir, "run", "1", 0o755)
			place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"command":["./run"]}`, 0o644)
		}},
		{"another interpreter of its own", func() { place(t, dir, "run", "2", 0o755) }},
	} {
		step.arrange()
		sum := look(step.name)
		if before, ok := seen[sum]; ok {
			t.Errorf("%q changes nothing since %q", step.name, before)
		}
		if again := look(step.name); again != sum {
			t.Errorf("%q: %s, then %s", step.name, sum, again)
		}
		seen[sum] = step.name
	}
	place(t, dir, "unrelated.js", "", 0o644)
	if _, ok := seen[look("a file that is not named")]; !ok {
		t.Error("a file that the command does not name counts")
	}
}

// TestUnchanged shows which swaps after the check have an effect and are found.
func TestUnchanged(t *testing.T) {
	for _, tt := range []struct {
		name, binary, swapped string
		found                 bool
	}{
		{"a script beside the manifest", "", "plugin.js", true},
		{"a script without a manifest", "#!/bin/sh\n", "clinvk-backend-one", true},
		{"a binary", "\x7fELF", "clinvk-backend-one", runtime.GOOS != "linux"},
		{"something else", "", "other.js", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := private(t)
			place(t, dir, "plugin.js", "one", 0o755)
			if tt.binary == "" {
				place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"command":["sh","plugin.js"]}`, 0o644)
			} else {
				place(t, dir, "clinvk-backend-one", tt.binary, 0o755)
			}
			p, err := scan(t, Config{Dirs: []string{dir}})[0].Open()
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.Unchanged(); err != nil {
				t.Errorf("before the swap: %v", err)
			}
			place(t, dir, "new", tt.binary+"swapped in", 0o755)
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, tt.swapped)); err != nil {
				t.Fatal(err)
			}
			if err := p.Unchanged(); (err != nil) != tt.found {
				t.Errorf("after the swap: %v", err)
			}
		})
	}
}

// TestCommandIsThatOfTheDigest swaps the manifest after it was read: what is hashed
// is what is run.
func TestCommandIsThatOfTheDigest(t *testing.T) {
	dir := private(t)
	place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"command":["sh","-c","good"]}`, 0o644)
	e := scan(t, Config{Dirs: []string{dir}})[0]
	place(t, dir, "clinvk-backend-one.json", `{"schema_version":1,"command":["sh","-c","bad"]}`, 0o644)
	p, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	if p.SHA256 == e.SHA256 || p.Args[1] != "bad" {
		t.Errorf("program %+v under the digest of another", p)
	}
	place(t, dir, "clinvk-backend-one.json", `{"schema_version":1}`, 0o644)
	if _, err := e.Open(); err == nil {
		t.Error("a manifest without a command was run")
	}
}

func TestManifestPlatforms(t *testing.T) {
	for _, tt := range []struct {
		platforms []string
		fits      bool
	}{
		{nil, true},
		{[]string{runtime.GOOS}, true},
		{[]string{"plan9", runtime.GOOS + "/" + runtime.GOARCH}, true},
		{[]string{runtime.GOOS + "/other"}, false},
	} {
		m := &Manifest{Platforms: tt.platforms}
		if got := m.fits("one") == nil; got != tt.fits {
			t.Errorf("%v fits: %v", tt.platforms, got)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"/plain/path-1.2_x": "/plain/path-1.2_x", "/with space": "'/with space'", "/it's": `'/it'\''s'`, "/$(rm)": "'/$(rm)'",
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, seed := range []string{
		`{"schema_version":1}`, `{"schema_version":1,"name":"a","command":["node","x.js"],"transport":"plain"}`,
		`{"schema_version":2}`, `{}`, `[]`, `{"schema_version":1}{}`, `{"schema_version":1,"transport":"x"}`, `{"schema_version":1,"command":[""]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest(text)
		if (m == nil) != (err != nil) {
			t.Fatalf("manifest %v, error %v", m, err)
		}
		if m != nil && (m.SchemaVersion != 1 || len(m.Command) > 0 && m.Command[0] == "") {
			t.Fatalf("accepted %+v", m)
		}
	})
}
