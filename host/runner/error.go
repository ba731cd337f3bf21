package runner

import (
	"fmt"
	"strings"
)

// StartError says why a plugin process did not get as far as its handshake.
type StartError struct {
	// Reason is one clause whose subject is the plugin: "it printed …".
	Reason string
	// Remedy says what to do; may be empty.
	Remedy string
	// Permanent means that starting it again cannot help before something changes.
	Permanent bool
	// Exit is set when the process ended by itself.
	Exit *Exit
	// Err is the cause; may be nil.
	Err error
}

// Error is reason, cause and the last line of stderr.
func (e *StartError) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason)
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Exit != nil {
		if last := e.Exit.LastLine(); last != "" {
			fmt.Fprintf(&b, "; its last words: %s", last)
		}
	}
	return b.String()
}

// Unwrap returns Err.
func (e *StartError) Unwrap() error { return e.Err }

// Exit says how a process ended.
type Exit struct {
	// Code is the exit status; -1 when a signal ended the process.
	Code int
	// Signal is its name, for example "killed"; empty when none.
	Signal string
	// StderrTail is the end of stderr, redacted, at most 8 KiB.
	StderrTail string
}

// String is for error texts: "exit status 1" or "signal: killed".
func (e Exit) String() string {
	if e.Signal != "" {
		return "signal: " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// LastLine is the line of StderrTail that most likely says why: the first that
// begins the account of a death, else the last one.
func (e Exit) LastLine() string {
	lines := strings.Split(strings.TrimSpace(e.StderrTail), "\n")
	for _, line := range lines {
		if deadly([]byte(line)) {
			return line
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
