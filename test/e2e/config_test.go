//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/test/harness"
)

// edits is how many changes of the file a run makes; CLINVK_CHAOS=1 makes many more.
const (
	edits     = 150
	manyEdits = 2000
	// slowEvery is which of a client's requests takes long enough to see several edits.
	slowEvery = 20
)

// configWorld is a server with echo alone, whose configuration is edited.
type configWorld struct {
	t      *testing.T
	server *harness.Server
	path   string
}

func newConfigWorld(t *testing.T, text string, env map[string]string) *configWorld {
	t.Helper()
	w := &configWorld{t: t}
	var err error
	if w.server, err = harness.Start(harness.Options{Bin: bin, Config: text, Env: env}); err != nil {
		t.Fatal(err)
	}
	w.path = filepath.Join(w.server.Home, "clinvk-config.yaml")
	t.Cleanup(func() {
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(tail(w.server.Log(), 8000))
		}
	})
	return w
}

// configState is what health tells of the configuration.
type configState struct {
	Path         string    `json:"path"`
	LoadedAt     time.Time `json:"loaded_at"`
	Error        string    `json:"error"`
	FailedAt     time.Time `json:"failed_at"`
	AfterRestart []string  `json:"after_restart"`
}

func (w *configWorld) state() configState {
	w.t.Helper()
	return w.stateWith("")
}

// stateWith asks with an API key.
func (w *configWorld) stateWith(key string) configState {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.server.URL+"/health", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var health struct{ Config configState }
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		w.t.Fatal(err)
	}
	return health.Config
}

// write puts a file in place in one step.
func (w *configWorld) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *configWorld) hangUp() {
	w.t.Helper()
	if err := syscall.Kill(w.server.PID(), syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
}

// ask runs a turn and says what went wrong with it.
func (w *configWorld) ask(model, text string, stream bool) error {
	r, err := openaiChat.do(w.t.Context(), w.server.URL, ask{model: model, history: prompt(text), stream: stream})
	switch {
	case err != nil:
		return err
	case r.err != nil:
		return fmt.Errorf("status %d: %s", r.status, r.err.message)
	case r.text != text:
		return fmt.Errorf("%q instead of %q", r.text, text)
	}
	return nil
}

// has says whether an alias can be asked for.
func (w *configWorld) has(alias string) bool {
	w.t.Helper()
	resp, err := http.Get(w.server.URL + "/openai/v1/models/" + alias)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// traffic sends plain and streaming requests, to an alias too that every valid
// configuration of a test has, until during returns.
func (w *configWorld) traffic(during func()) {
	w.t.Helper()
	var clients sync.WaitGroup
	var sent, failed atomic.Int64
	done := make(chan struct{})
	for client := range 4 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				model := []string{"echo", "kept"}[i%2]
				if i%slowEvery == slowEvery-1 {
					model = "echo/slow"
				}
				text := fmt.Sprintf("client %d request %d", client, i)
				sent.Add(1)
				if err := w.ask(model, text, (client+i)%2 == 0); err != nil && failed.Add(1) <= 5 {
					w.t.Errorf("%s: %v", text, err)
				}
			}
		})
	}
	defer func() {
		close(done)
		clients.Wait()
		w.t.Logf("%d requests, %d failed", sent.Load(), failed.Load())
	}()
	during()
}

// baseConfig is what every valid edit has.
const baseConfig = "plugins: {allow: [echo]}\nlimits: {max_concurrent: 100}\n"

// editor makes random edits of a configuration.
type editor struct {
	*rand.Rand
	n int
}

// valid is a configuration with an alias of its own.
func (e *editor) valid() (text, alias string) {
	e.n++
	alias = fmt.Sprintf("alias%d", e.n)
	// The aliases come first: half of the file may be valid, too.
	text = "models: {kept: {backend: echo}, " + alias + ": {backend: echo}}\n" + baseConfig
	for _, part := range []string{
		fmt.Sprintf("server: {cors_max_age: %d, rate_limit_enabled: true, rate_limit_rps: 100000, rate_limit_burst: 100000}\n", e.IntN(1000)),
		fmt.Sprintf("backends: {echo: {env: {X: \"%d\"}, limits: {max_queue: %d}}}\n", e.IntN(3), 1000+e.IntN(1000)),
		fmt.Sprintf("parallel: {max_workers: %d}\n", 1+e.IntN(60)),
		"default_backend: echo\n", "# a comment ✓\n", "session: {default_tags: [a, b]}\n",
	} {
		if e.IntN(3) == 0 {
			text += part
		}
	}
	return text, alias
}

// invalid is a text that cannot be loaded.
func (e *editor) invalid() string {
	text, _ := e.valid()
	switch e.IntN(6) {
	case 0: // random bytes
		b := make([]byte, 1+e.IntN(300))
		for i := range b {
			b[i] = byte(e.Uint32())
		}
		return "\x00" + string(b)
	case 1:
		return text + "servre: {port: 1}\n"
	case 2:
		return text + fmt.Sprintf("unified_flags: {max_turns: %q}\n", strings.Repeat("x", 1+e.IntN(5)))
	case 3:
		return text + "unified_flags: [1, 2]\n"
	case 4: // half of a file
		return text + "unified_flags: {verbose: tr"
	default:
		return text + "backends: {echo: {options: {no_such: 1}}}\nbackends: {}\n"
	}
}

var position = regexp.MustCompile(`clinvk-config\.yaml:\d+:\d+: `)

// TestConfigUnderTraffic edits the file at random while requests run: none of them
// fails, what is valid holds soon, and what is not changes nothing and is told.
func TestConfigUnderTraffic(t *testing.T) {
	w := newConfigWorld(t, baseConfig+"models: {kept: {backend: echo}, alias0: {backend: echo}}\n", nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	e := &editor{Rand: rand.New(rand.NewPCG(seed, 0))}
	n := edits
	if os.Getenv("CLINVK_CHAOS") != "" {
		n = manyEdits
	}
	counts := map[string]int{}
	w.traffic(func() {
		alias := "alias0"
		for i := range n {
			kind := []string{"valid", "valid", "invalid", "invalid", "deleted", "renamed", "bit by bit"}[e.IntN(7)]
			counts[kind]++
			alias = w.edit(e, kind, alias)
			if !w.has(alias) {
				t.Fatalf("edit %d (%s): the alias %s is gone", i, kind, alias)
			}
			if t.Failed() {
				return
			}
			if i%100 == 99 {
				t.Logf("%d edits", i+1)
			}
		}
	})
	t.Logf("%d edits: %v", n, counts)
}

// edit makes one edit and waits for what follows from it; it returns the alias that
// holds then.
func (w *configWorld) edit(e *editor, kind, alias string) string {
	w.t.Helper()
	before := w.state()
	missing := func() bool { return strings.Contains(w.state().Error, "no such file") }
	switch kind {
	case "valid":
		text, next := e.valid()
		w.write(text)
		w.soon(e, kind, func() bool { return w.has(next) })
		return next
	case "invalid":
		text := e.invalid()
		if _, err := config.Load(w.check(text), nil); err == nil {
			w.t.Fatalf("it is valid: %q", text)
		}
		w.write(text)
		w.soon(e, kind+": "+text, func() bool { return w.state().FailedAt.After(before.FailedAt) && !missing() })
		if s := w.state(); !position.MatchString(s.Error) && !strings.Contains(s.Error, "no valid YAML") {
			w.t.Errorf("no place: %s", s.Error)
		}
		if w.has(fmt.Sprintf("alias%d", e.n)) {
			w.t.Errorf("some of it was loaded: %q", text)
		}
		return alias
	case "deleted", "renamed":
		if kind == "deleted" {
			_ = os.Remove(w.path) // it may be gone already
		} else {
			_ = os.Rename(w.path, w.path+".old")
		}
		w.soon(e, kind, missing)
		return alias
	}
	text, next := e.valid()
	f, err := os.Create(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for len(text) > 0 {
		piece := min(len(text), 1+e.IntN(60))
		if _, err := f.WriteString(text[:piece]); err != nil {
			w.t.Fatal(err)
		}
		text = text[piece:]
		if e.IntN(4) == 0 {
			w.hangUp() // it reads half a file
		}
	}
	w.soon(e, kind, func() bool { return w.has(next) })
	return next
}

// soon waits for what follows from an edit, at times asking for it.
func (w *configWorld) soon(e *editor, what string, ok func() bool) {
	w.t.Helper()
	if e.IntN(4) > 0 {
		w.hangUp()
	}
	wait(w.t, what, ok)
}

// check writes a text where nobody looks.
func (w *configWorld) check(text string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}
