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
	"os/exec"
	"path/filepath"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// warm measures the time from the start of a prompt on the command line to the first
// text, with a server that runs and a warm claude, beside the same over HTTP. In agent
// mode the CLI is started for the turn.
func warm(bin string, w *world, rounds int) error {
	server, err := harness.Start(harness.Options{Bin: bin, Env: w.env, Config: "plugins: {allow: [claude]}\n"})
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Printf("\nFirst text of claude with a server that runs, medians of %d, milliseconds\n\n", rounds)
	fmt.Println("| mode | HTTP | command line | bar: 1.5 × HTTP + 60 |\n|---|---|---|---|")
	for _, mode := range []string{"chat", "agent"} {
		var overHTTP, typed []time.Duration
		for i := range rounds + 1 {
			time.Sleep(rest)
			h, err := firstText(server.URL, mode)
			if err != nil {
				return err
			}
			time.Sleep(rest)
			c, err := firstTyped(bin, server.Home, w.env, mode)
			if err != nil {
				return err
			}
			if i > 0 { // the first round warms the file cache
				overHTTP, typed = append(overHTTP, h), append(typed, c)
			}
		}
		h := median(overHTTP)
		fmt.Printf("| %s | %s | %s | %s |\n", mode, ms(h), ms(median(typed)), ms(h*3/2+60*time.Millisecond))
	}
	return nil
}

// firstText asks over REST.
func firstText(url, mode string) (time.Duration, error) {
	body, err := json.Marshal(map[string]any{"backend": "claude", "mode": mode, "prompt": "hello", "output_format": "stream-json", "ephemeral": true})
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	resp, err := http.Post(url+"/api/v1/prompt", "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte(`"type":"message"`)) {
			first := time.Since(begin)
			_, err = io.Copy(io.Discard, lines)
			return first, err
		}
		if err != nil {
			return 0, fmt.Errorf("there was no text: %w: %s", err, line)
		}
	}
}

// firstTyped asks on the command line.
func firstTyped(bin, home string, env map[string]string, mode string) (time.Duration, error) {
	cmd := exec.Command(filepath.Join(bin, "clinvk"), "-b", "claude", "--mode", mode, "--ephemeral", "hello")
	cmd.Env, cmd.Dir = harness.Environment(home, env), home
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(out, make([]byte, 1))
	first := time.Since(begin)
	_, rest := io.Copy(io.Discard, out)
	if err := errors.Join(err, rest, cmd.Wait()); err != nil {
		return 0, fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	return first, nil
}
