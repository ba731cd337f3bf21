//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// A turn of a kept process cannot begin sooner through clinvk than it does when the
// process is driven by hand. So that is measured as well: what the CLI leaves to win.

// drivenTurns are the turns of a driven process that are measured, after the first.
const drivenTurns = 8

// chatFlags are those that the claude backend starts chats with, as far as they
// decide what the CLI does in a turn.
var chatFlags = []string{
	"-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
	"--tools=", "--setting-sources=", "--strict-mcp-config", "--no-session-persistence", "--disable-slash-commands",
	"--permission-mode", "dontAsk", "--max-turns", "1", "--model", "default", "--bare", "--system-prompt", "Be brief.",
}

// driven measures the later turns of one process of Claude Code that is driven over
// its standard streams, with the same pauses as those of ask.
func driven(command string, w *world) (times []time.Duration, err error) {
	dir, err := os.MkdirTemp(w.home, "driven-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(command, chatFlags...)
	cmd.Env = append(harness.Environment(w.home, w.env), "CLAUDE_CONFIG_DIR="+filepath.Join(dir, "config"), "CLAUDE_CODE_TMPDIR="+dir)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReaderSize(stdout, 1<<20)
	for turn := range drivenTurns + 1 {
		time.Sleep(rest)
		begin := time.Now()
		if _, err = fmt.Fprintf(stdin, `{"type":"user","uuid":"00000000-0000-4000-8000-%012d","session_id":"","parent_tool_use_id":null,"client_composed":true,"message":{"role":"user","content":"and again"}}`+"\n", turn); err != nil {
			break
		}
		var first time.Duration
		if first, err = firstDelta(lines, begin); err != nil {
			break
		}
		if turn > 0 {
			times = append(times, first)
		}
	}
	_ = stdin.Close() // it ends now, or has ended
	_, _ = io.Copy(io.Discard, lines)
	if waitErr := cmd.Wait(); err != nil || waitErr != nil {
		return nil, fmt.Errorf("driving %s: %w\n%s", command, errors.Join(err, waitErr), stderr.String())
	}
	return times, nil
}

// firstDelta reads one turn to its end and tells when its first text came.
func firstDelta(lines *bufio.Reader, begin time.Time) (first time.Duration, err error) {
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		if first == 0 && bytes.Contains(line, []byte(`"text_delta"`)) {
			first = time.Since(begin)
		}
		if bytes.Contains(line, []byte(`"type":"result"`)) {
			if first == 0 {
				return 0, fmt.Errorf("a turn without text: %s", line)
			}
			return first, nil
		}
	}
}

// Processes that are driven of each release, and cold starts beside each of them.
const (
	drivenProcesses = 3
	drivenColds     = 3
)

// drivenRows prints what a driver could reach at most.
func drivenRows(w *world) error {
	fmt.Println("\nClaude Code driven by hand, same conversation, milliseconds\n\n| CLI | cold | driven | ratio, the most that can be had |\n|---|---|---|---|")
	for _, c := range colds {
		if c.backend != "claude" {
			continue
		}
		var coldTimes, times []time.Duration
		for range drivenProcesses {
			for range drivenColds {
				time.Sleep(rest)
				t, err := c.run(w)
				if err != nil {
					return err
				}
				coldTimes = append(coldTimes, t)
			}
			more, err := driven(w.path(c), w)
			if err != nil {
				return err
			}
			times = append(times, more...)
		}
		cm, dm := median(coldTimes), median(times)
		fmt.Printf("| %s | %s | %s | %.1f× |\n", c.title, ms(cm), ms(dm), ratio(cm, dm))
	}
	return nil
}
