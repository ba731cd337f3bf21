//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/clinvk/clinvk/test/fakeapi/anthropic"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
	"github.com/clinvk/clinvk/test/harness"
)

// cold is a CLI as people run it for one prompt.
type cold struct {
	title, backend string
	// command is relative to the folder of the pinned CLIs.
	command string
	args    []string
	// text occurs in the first line of output that holds text of the answer.
	text string
	// bars that the design is held to: new conversation, same conversation (0: none).
	newBar, sameBar float64
}

var claudeArgs = []string{"-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages", "--model", "claude-sonnet-4-5"}

// colds are measured in this order. Claude Code has two rows because its newest
// release starts faster and then takes longer for a turn than the one before.
var colds = []cold{
	{"claude", "claude", ".bin/claude", claudeArgs, `"text_delta"`, 5, 20},
	{"claude 2.1.197", "claude", "claude-code-2.1.197/node_modules/@anthropic-ai/claude-code-linux-x64/claude", claudeArgs, `"text_delta"`, 5, 20},
	{"codex", "codex", ".bin/codex", []string{"exec", "--json", "--skip-git-repo-check", "--ephemeral", "-"}, `"agent_message"`, 4, 0},
	{"gemini", "gemini", ".bin/gemini", []string{"-p", "hi", "-o", "stream-json", "-m", "gemini-2.5-flash"}, `"delta":true`, 10, 0},
}

// rest is the pause between measurements, in which spares are started.
const rest = 2 * time.Second

// followUps are the later turns of each conversation that are measured.
const followUps = 5

// world is where the CLIs run: fake model APIs, and a home that points at them.
type world struct {
	modules string // the folder of the pinned CLIs
	home    string
	env     map[string]string
	closers []func() error
}

func newWorld() (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	clis, err := harness.CLIs()
	if err != nil {
		return w, err
	}
	w.modules = filepath.Dir(clis)
	a, err := anthropic.NewServer()
	if err != nil {
		return w, err
	}
	w.closers = append(w.closers, a.Close)
	o, err := openai.NewServer()
	if err != nil {
		return w, err
	}
	w.closers = append(w.closers, o.Close)
	g, err := gemini.NewServer()
	if err != nil {
		return w, err
	}
	w.closers = append(w.closers, g.Close)
	w.env = map[string]string{
		"PATH":               clis + string(os.PathListSeparator) + os.Getenv("PATH"),
		"ANTHROPIC_BASE_URL": a.URL, "ANTHROPIC_API_KEY": "sk-ant-fake",
		"OPENAI_BASE_URL": o.URL, "OPENAI_API_KEY": "sk-fake", "CODEX_API_KEY": "sk-fake",
		"GOOGLE_GEMINI_BASE_URL": g.URL, "GEMINI_API_KEY": "fake",
		"DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
		"GEMINI_CLI_TRUST_WORKSPACE": "true",
	}
	w.home, err = coldHome(o.URL)
	w.closers = append(w.closers, func() error { return os.RemoveAll(w.home) })
	return w, err
}

func (w *world) close() {
	for _, c := range w.closers {
		_ = c() // the measurements are over
	}
}

// firstToken measures the time from the request to the first piece of the answer.
func firstToken(bin string, w *world, rounds int) error {
	fmt.Printf("\nFirst token, medians of %d (same conversation: %d), milliseconds\n\n", rounds, rounds*followUps)
	fmt.Println("| backend | cold CLI | clinvk, new conversation | ratio | clinvk, same conversation | ratio |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, c := range colds {
		if err := c.row(bin, w, rounds); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	return nil
}

// path of a CLI.
func (w *world) path(c cold) string { return filepath.Join(w.modules, c.command) }

// row measures one CLI, cold and behind a server that has no other backend, in
// turn, and prints its line.
func (c cold) row(bin string, w *world, rounds int) error {
	server, err := harness.Start(harness.Options{
		Bin: bin, Env: w.env,
		Config: fmt.Sprintf("plugins: {allow: [%[1]s]}\nbackends: {%[1]s: {command: %[2]q}}\n", c.backend, w.path(c)),
	})
	if err != nil {
		return err
	}
	defer server.Close()
	var coldTimes, newTimes, sameTimes []time.Duration
	for i := range rounds + 1 {
		time.Sleep(rest)
		ct, err := c.run(w)
		if err != nil {
			return fmt.Errorf("cold: %w", err)
		}
		time.Sleep(rest)
		history := []map[string]any{{"role": "user", "content": fmt.Sprintf("hello %d", i)}}
		nt, text, err := ask(server.URL, c.backend, history)
		if err != nil {
			return err
		}
		var follow []time.Duration
		for range followUps {
			time.Sleep(rest)
			history = append(history, map[string]any{"role": "assistant", "content": text}, map[string]any{"role": "user", "content": "and again"})
			var st time.Duration
			if st, text, err = ask(server.URL, c.backend, history); err != nil {
				return err
			}
			follow = append(follow, st)
		}
		if i > 0 { // the first round warms the file cache
			coldTimes, newTimes, sameTimes = append(coldTimes, ct), append(newTimes, nt), append(sameTimes, follow...)
		}
	}
	cm, nm, sm := median(coldTimes), median(newTimes), median(sameTimes)
	fmt.Printf("| %s | %s | %s | %.1f× (bar %g×) | %s | %.1f×%s |\n", c.title, ms(cm), ms(nm), ratio(cm, nm), c.newBar, ms(sm), ratio(cm, sm), bar(c.sameBar))
	return nil
}

func bar(b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf(" (bar %g×)", b)
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// coldHome is a home in which the CLIs need no questions: what a user has after
// the first start. Codex needs its provider in a file, Gemini its way to log in.
func coldHome(openaiURL string) (string, error) {
	home, err := os.MkdirTemp("", "clinvk-bench-home-")
	if err != nil {
		return "", err
	}
	gemini := filepath.Join(home, ".gemini")
	if err := os.MkdirAll(gemini, 0o700); err != nil {
		return "", err
	}
	settings := `{"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": false}}`
	if err := os.WriteFile(filepath.Join(gemini, "settings.json"), []byte(settings), 0o600); err != nil {
		return "", err
	}
	codex := filepath.Join(home, ".codex")
	if err := os.MkdirAll(codex, 0o700); err != nil {
		return "", err
	}
	config := fmt.Sprintf("model_provider = \"fake\"\n[model_providers.fake]\nname = \"Fake\"\nbase_url = %q\nwire_api = \"responses\"\nenv_key = \"OPENAI_API_KEY\"\n[features]\nplugins = false\napps = false\n[analytics]\nenabled = false\n", openaiURL)
	return home, os.WriteFile(filepath.Join(codex, "config.toml"), []byte(config), 0o600)
}

// run starts the CLI for one prompt and waits for the first text.
func (c cold) run(w *world) (time.Duration, error) {
	cmd := exec.Command(w.path(c), c.args...)
	cmd.Env = harness.Environment(w.home, w.env)
	cmd.Dir = w.home
	if c.backend != "gemini" {
		cmd.Stdin = strings.NewReader("hi")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	var first time.Duration
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if first == 0 && strings.Contains(line, c.text) {
			first = time.Since(begin)
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil || first == 0 {
		return 0, fmt.Errorf("no text: %w\n%s", err, stderr.String())
	}
	return first, nil
}

// ask sends one streamed chat and returns when its first text came.
func ask(url, model string, history []map[string]any) (first time.Duration, text string, err error) {
	body, err := json.Marshal(map[string]any{"model": model, "stream": true, "messages": history})
	if err != nil {
		return 0, "", err
	}
	begin := time.Now()
	resp, err := http.Post(url+"/openai/v1/chat/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: "); ok && data != "[DONE]" {
			var chunk struct {
				Choices []struct {
					Delta struct{ Content string }
				}
			}
			if err := json.Unmarshal([]byte(data), &chunk); err != nil {
				return 0, "", err
			}
			for _, c := range chunk.Choices {
				if c.Delta.Content != "" && first == 0 {
					first = time.Since(begin)
				}
				text += c.Delta.Content
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, "", err
		}
	}
	if first == 0 {
		return 0, "", fmt.Errorf("status %s and no text", resp.Status)
	}
	return first, text, nil
}
