package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// noticeAfter is how long stdin is read before it is said that it is.
const noticeAfter = time.Second

// maxInput is how much is read of stdin, in bytes: no server takes a prompt as large as
// that, and some pipes have no end.
const maxInput = 256 << 20

var errNoPrompt = errors.New("there is no prompt: give it as argument or on stdin")

// readPrompt is the argument, what comes from stdin, or both: the argument first.
func readPrompt(ctx context.Context, args []string, s streams) (string, error) {
	if len(args) > 1 {
		return "", fmt.Errorf("%q is no command, and a prompt is one argument: put it in quotes", args[0])
	}
	var parts []string
	if len(args) == 1 {
		if strings.TrimSpace(args[0]) == "" {
			return "", errors.New("the prompt is empty: write what you ask for, in quotes")
		}
		parts = append(parts, args[0])
	}
	if f, ok := s.in.(*os.File); !ok || piped(f) {
		text, err := readInput(ctx, s)
		if err != nil {
			return "", fmt.Errorf("reading the prompt: %w", err)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			parts = append(parts, string(text))
		}
	}
	prompt := strings.Join(parts, "\n\n")
	if !utf8.ValidString(prompt) {
		if _, err := fmt.Fprintln(s.err, "clinvk: the prompt is not all UTF-8; what is not is sent as \ufffd"); err != nil {
			return "", err
		}
	}
	return prompt, nil
}

// readInput reads stdin to its end, or until ctx ends. It says so when that takes
// long: whoever started the command may have left a pipe open that nobody fills.
// After ctx the reading goes on, because nothing ends it, for as long as the process.
func readInput(ctx context.Context, s streams) ([]byte, error) {
	type input struct {
		text []byte
		err  error
	}
	read := make(chan input, 1)
	go func() {
		text, err := io.ReadAll(io.LimitReader(s.in, maxInput+1))
		if len(text) > maxInput {
			err = fmt.Errorf("stdin holds more than %d MiB", maxInput>>20)
		}
		read <- input{text, err}
	}()
	notice := time.NewTimer(noticeAfter)
	defer notice.Stop()
	for {
		select {
		case in := <-read:
			return in.text, in.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-notice.C:
			if _, err := fmt.Fprintln(s.err, "clinvk: reading stdin… (without input: </dev/null)"); err != nil {
				return nil, err
			}
		}
	}
}

// piped says whether a file is one that somebody fills: a pipe or a plain file, and
// neither a terminal nor /dev/null.
func piped(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice == 0
}
