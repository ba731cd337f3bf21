//go:build unix

package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
	"github.com/clinvk/clinvk/test/harness"
)

// transports are those of a manifest.
var transports = []string{"plain", "auto"}

// nodeDir is a plugin directory with the example in Node.js.
func nodeDir(t *testing.T, transport string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := harness.NodePlugin(dir, transport); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNodePlugin runs the example of docs/plugins.md in both transports.
func TestNodePlugin(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			w := newWorld(t, harness.Options{PluginDir: nodeDir(t, transport), Config: "plugins: {allow: [node]}\n", Args: []string{"--debug"}})
			for _, d := range dialects {
				t.Run(d.name, func(t *testing.T) { checkNode(t, w, d) })
			}
			t.Run("large prompt", func(t *testing.T) {
				text := strings.Repeat("ä", 3<<20) // more than gRPC takes unless told to
				if r, err := openaiChat.do(t.Context(), w.server.URL, ask{model: "node", history: prompt(text), stream: true}); err != nil || r.text != text {
					t.Errorf("%v %+v, %d bytes", err, r.err, len(r.text))
				}
			})
		})
	}
}

// checkNode asks in one dialect, leaves in mid-answer, and kills the plugin.
func checkNode(t *testing.T, w *world, d dialect) {
	for _, stream := range []bool{false, true} {
		r, err := d.do(t.Context(), w.server.URL, ask{model: "node", history: prompt("one two  three ✓"), stream: stream})
		if err != nil || r.err != nil || r.text != "one two  three ✓" || r.usage != (usage{Input: 4, Output: 4}) {
			t.Fatalf("stream %v: %v %+v", stream, err, r)
		}
		if stream && len(r.deltas) != 4 {
			t.Errorf("%d deltas", len(r.deltas))
		}
	}
	ended := strings.Count(w.server.Log(), "broke off")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if r, err := d.do(ctx, w.server.URL, ask{model: "node/slow", history: prompt("a b c d"), stream: true, onDelta: cancel}); err == nil {
		t.Fatalf("the answer came whole: %+v", r)
	}
	wait(t, "the plugin to end the turn", func() bool { return strings.Count(w.server.Log(), "broke off") > ended })

	r, err := d.do(t.Context(), w.server.URL, ask{model: "node/slow", history: prompt("a b c d"), stream: true, onDelta: func() { kill(t, w.server, "node", "plugin") }})
	if err != nil || r.err == nil || !strings.Contains(r.err.message, "signal: killed") {
		t.Fatalf("killed in mid-answer: %v %+v", err, r.err)
	}
	r, err = d.do(t.Context(), w.server.URL, ask{model: "node", history: prompt("again")})
	if err != nil || r.text != "again" {
		t.Errorf("after the kill: %v %+v", err, r)
	}
}

// node is the plugin started by hand.
type node struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	conn   *grpc.ClientConn
	client backendv1.BackendServiceClient
}

func startNode(t *testing.T) *node {
	t.Helper()
	dir := nodeDir(t, "plain")
	sockets, err := os.MkdirTemp("", "ck")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	n := &node{cmd: exec.Command("node", "plugin.js")}
	n.cmd.Dir, n.cmd.Stderr = dir, os.Stderr
	n.cmd.Env = append(os.Environ(), handshake.CookieKey+"="+handshake.CookieValue, handshake.EnvSocketDir+"="+sockets)
	stdin, err := n.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.stdin = stdin
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.cmd.Process.Kill(); _ = n.cmd.Wait() })
	socket := filepath.Join(sockets, "plugin.sock")
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if want := "1|1|unix|" + socket + "|grpc|\n"; err != nil || line != want {
		t.Fatalf("handshake %q, want %q: %v", line, want, err)
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	n.conn, n.client = conn, backendv1.NewBackendServiceClient(conn)
	return n
}

func startOf(model, text string) *backendv1.Start {
	return &backendv1.Start{Model: model, Messages: []*backendv1.Message{{
		Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{{Content: &backendv1.Part_Text{Text: text}}},
	}}}
}

// TestNodePluginKeepsTheContract talks to the plugin without a host.
func TestNodePluginKeepsTheContract(t *testing.T) {
	n := startNode(t)
	r := backendtest.Run(t.Context(), n.client, startOf("", "one two"))
	if r.Err != nil || r.Text != "one two" || r.Started.GetModel() != "echo" || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_STOP {
		t.Errorf("%+v", r)
	}
	r = backendtest.Run(t.Context(), n.client, startOf("nix", "one two"))
	if r.Err != nil || r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_NOT_FOUND {
		t.Errorf("unknown model: %+v", r)
	}
	r = backendtest.Run(t.Context(), n.client, startOf("slow", "one two three"), backendtest.OnEvent(
		func(e *backendv1.ExecuteResponse, stream backendv1.BackendService_ExecuteClient) {
			if e.GetTextDelta() != nil {
				_ = stream.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}})
			}
		}))
	if r.Err != nil || r.Text != "one " || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED || r.Completed.GetUsage().GetOutputTokens() != 1 {
		t.Errorf("interrupted: %+v", r)
	}
	if _, err := n.client.CountTokens(t.Context(), &backendv1.CountTokensRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("CountTokens: %v", err)
	}
}

// TestNodePluginEnds: a Ctrl-C is not for it, the end of stdin and the host's word
// are, and without a host it says what it is.
func TestNodePluginEnds(t *testing.T) {
	n := startNode(t)
	if err := n.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if r := backendtest.Run(t.Context(), n.client, startOf("", "still here")); r.Err != nil || r.Text != "still here" {
		t.Errorf("after SIGINT: %+v", r)
	}
	if err := n.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("after the end of stdin: %v", err)
	}
	told := startNode(t)
	if err := told.conn.Invoke(t.Context(), "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := told.cmd.Wait(); err != nil {
		t.Errorf("after Shutdown: %v", err)
	}
	byHand := exec.Command("node", "plugin.js")
	byHand.Dir = n.cmd.Dir
	out, err := byHand.CombinedOutput()
	if byHand.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "plugin of clinvk") {
		t.Errorf("by hand: %v, %s", err, out)
	}
}

// TestNodePluginIsAsDocumented: the documentation shows the file itself.
func TestNodePluginIsAsDocumented(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "examples", "node-plugin", "plugin.js"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{string(text)}, blocks(t, "docs/plugins.md", "js")); diff != "" {
		t.Error(diff)
	}
}
