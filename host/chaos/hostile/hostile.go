// Package hostile is a plugin process that does what no plugin may: the clinvk
// binary, executed again by clinvk chaos. It shows that the others do not notice.
package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/clinvk/clinvk/proto/handshake"
)

// Mode is one way to behave. It is also what the backend is named for.
type Mode string

// Modes.
const (
	// Good behaves: it is the neighbour that must not be disturbed.
	Good Mode = "good"
	// Junk prints rubbish instead of a handshake.
	Junk Mode = "junk"
	// Frames speaks rubbish instead of HTTP/2.
	Frames Mode = "frames"
	// Flood answers well, and prints a megabyte on stderr and another on stdout with
	// each answer, in the form of logs that broke their readers.
	Flood Mode = "flood"
	// Garble breaks the rules of the stream in each turn, another one each time.
	Garble Mode = "garble"
)

// Modes lists all.
func Modes() []Mode { return []Mode{Good, Junk, Frames, Flood, Garble} }

// Name of the backend of a mode.
func (m Mode) Name() string { return "chaos-" + string(m) }

// Run is the process. It returns when the host has gone or, with an error, when
// nobody started it as a plugin.
func Run(mode Mode) error {
	if os.Getenv(handshake.CookieKey) != handshake.CookieValue {
		return errors.New("this is a plugin that clinvk chaos starts by itself")
	}
	signal.Ignore(os.Interrupt) // a Ctrl-C is for the host, which ends its plugins
	gone, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	if mode == Junk {
		_, _ = os.Stdout.Write(append(rubbish(4<<10), '\n'))
		<-gone.Done()
		return nil
	}
	path := filepath.Join(os.Getenv(handshake.EnvSocketDir), "s")
	ln, err := (&net.ListenConfig{}).Listen(gone, "unix", path)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer ln.Close()
	if _, err := fmt.Printf("1|%d|unix|%s|grpc|\n", handshake.ProtocolVersion, path); err != nil {
		return fmt.Errorf("printing the handshake: %w", err)
	}
	if mode == Frames {
		return speakRubbish(gone, ln)
	}
	return serve(gone, ln, mode)
}

// rubbish is n bytes that are neither text nor HTTP/2, without a newline.
func rubbish(n int) []byte {
	return bytes.Repeat([]byte{0xff, 0x00, 0x7c, 0xfe, 0x01, 0x9a, 0x1b, 0x5b}, n/8)
}

func speakRubbish(gone context.Context, ln net.Listener) error {
	defer context.AfterFunc(gone, func() { _ = ln.Close() })()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return nil // the listener was closed: the host has gone
		}
		_, _ = conn.Write(rubbish(64 << 10))
		_ = conn.Close()
	}
}

// flood prints on both streams.
func flood() {
	record := `{"@message":42,"@level":[],"@timestamp":{}}` + "\n"
	_, _ = io.WriteString(os.Stderr, strings.Repeat(record, (1<<20)/len(record)))
	_, _ = os.Stdout.Write(append(rubbish(1<<20), '\n'))
}
