//go:build linux

package isolation_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/proto/handshake"
)

// sdkArgument makes the test binary a plugin that the SDK serves.
const sdkArgument = "clinvk-isolation-sdk-plugin"

func runSDKPlugin() {
	if len(os.Args) == 2 && os.Args[1] == sdkArgument {
		os.Args = os.Args[:1] // a plugin has no arguments
		plugins.Serve(sdkBackend{})
		os.Exit(0)
	}
}

// sdkBackend answers "ok", or panics when that is asked for.
type sdkBackend struct{}

func (sdkBackend) Describe() plugins.Description      { return plugins.Description{Name: faulty} }
func (sdkBackend) ChatSupport() plugins.ChatSupport   { return plugins.ChatSupport{} }
func (sdkBackend) AgentSupport() plugins.AgentSupport { return plugins.AgentSupport{} }
func (sdkBackend) Models(context.Context) ([]plugins.Model, error) {
	return []plugins.Model{{ID: "ok"}}, nil
}

func (sdkBackend) Health(context.Context, bool) (plugins.Health, error) {
	return plugins.Health{State: plugins.HealthReady}, nil
}

func (sdkBackend) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	if turn.Model == hosttest.Block {
		if err := out.Text("begun"); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	if turn.Model == hosttest.PanicHandler {
		if err := out.Text("and then "); err != nil {
			return err
		}
		panic("in the handler")
	}
	return out.Text("ok")
}

// sdkEntry is a plugin directory with the SDK's plugin in it.
func sdkEntry(t testing.TB) catalog.Entry {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(catalog.Manifest{SchemaVersion: 1, Command: []string{"env", "GORACE=atexit_sleep_ms=0", self, sdkArgument}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), handshake.NamePrefix+faulty+".json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return catalog.Entry{Path: path}
}

// TestHandlerPanic shows that with the SDK a panic of a handler fails its own turn
// and no other one of the same process.
func TestHandlerPanic(t *testing.T) {
	w := newWorld(t, nil, sdkEntry(t))
	w.settled(t)
	before := w.backend(t, faulty)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	other, err := w.open(ctx, openaiStream, openaiStream.body(faulty, hosttest.Block, "go on"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Body.Close()
	for _, d := range []dialect{restWhole, restStream, openaiWhole, openaiStream, anthropicWhole, anthropicStream} {
		o := w.must(t, d, faulty, hosttest.PanicHandler, "panic")
		if o.failure == nil || o.failure.message == "" || o.failure.exitCode != nil {
			t.Errorf("%s turn: %v, want a failure without an exit", d.name, o)
		}
		if o := w.must(t, d, faulty, "ok", "and now?"); o.failure != nil || o.text != "ok" {
			t.Errorf("%s turn: %v, want ok", d.name, o)
		}
	}
	if after := w.backend(t, faulty); after.PID != before.PID || after.Running != 1 {
		t.Errorf("before %+v, after %+v: want the same process with a turn", before, after)
	}
}
