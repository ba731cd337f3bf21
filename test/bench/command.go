//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// commandRounds is how often each command is run.
const commandRounds = 30

// command measures how long a prompt by the command line takes, all of the process,
// when no server runs: it starts the echo plugin itself. Beside it the same binary
// only prints its version.
func command(bin string) error {
	home, err := os.MkdirTemp("", "clb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	sockets := filepath.Join(home, "run")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		return err
	}
	run := func(args ...string) (time.Duration, error) {
		cmd := exec.Command(filepath.Join(bin, "clinvk"), args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "CLINVK_HOME=" + filepath.Join(home, ".clinvk"), "XDG_RUNTIME_DIR=" + sockets}
		begin := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("clinvk %v: %w: %s", args, err, out)
		}
		return time.Since(begin), nil
	}
	var bare, prompt []time.Duration
	for i := range commandRounds + 2 { // in turn, so that the machine's moods hit both
		b, err := run("version")
		if err != nil {
			return err
		}
		p, err := run("-b", "echo", "--ephemeral", "hi")
		if err != nil {
			return err
		}
		if i >= 2 { // the first ones make files
			bare, prompt = append(bare, b), append(prompt, p)
		}
	}
	fmt.Printf("\nCommand line without a server, %d runs each in turn, milliseconds\n\n", commandRounds)
	fmt.Println("| | p50 | p90 |\n|---|---|---|")
	fmt.Printf("| clinvk version | %s | %s |\n", ms(quantile(bare, .5)), ms(quantile(bare, .9)))
	fmt.Printf("| clinvk -b echo hi (bar 150 at p50) | %s | %s |\n", ms(quantile(prompt, .5)), ms(quantile(prompt, .9)))
	return nil
}
