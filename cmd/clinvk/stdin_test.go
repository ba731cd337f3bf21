package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// notices takes what is written to stderr.
type notices chan string

func (n notices) Write(p []byte) (int, error) {
	n <- string(p)
	return len(p), nil
}

// TestOpenPipe reads a prompt from a pipe that is left open for a while.
func TestOpenPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		said := make(notices, 10)
		done := make(chan string, 1)
		go func() {
			prompt, err := readPrompt(t.Context(), []string{"review"}, streams{in: in, err: said})
			if err != nil {
				t.Error(err)
			}
			done <- prompt
		}()
		time.Sleep(noticeAfter - time.Millisecond) // the bubble's clock
		synctest.Wait()
		if len(said) > 0 {
			t.Errorf("too early: %q", <-said)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(said); n != 1 {
			t.Fatalf("%d notices", n)
		}
		if notice := <-said; !strings.Contains(notice, "reading stdin…") {
			t.Errorf("the notice is %q", notice)
		}
		_, _ = io.WriteString(out, "a diff\n")
		_ = out.Close()
		if prompt := <-done; prompt != "review\n\na diff\n" {
			t.Errorf("the prompt is %q", prompt)
		}
	})
}

func TestCancelledWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		_, err := readPrompt(ctx, nil, streams{in: in, err: io.Discard})
		if !errors.Is(err, context.Canceled) || exitCode(err) != exitCancelled {
			t.Errorf("%v", err)
		}
		_ = out.Close() // the reading ends, and with it the bubble
	})
}
