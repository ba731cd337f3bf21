package main

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// logDelay is how long a line of log may wait to be written with others: a write
// of its own would cost each request some 50 µs.
const logDelay = 50 * time.Millisecond

// logWriter gathers lines. Close writes what is left.
type logWriter struct {
	mu     sync.Mutex
	buf    *bufio.Writer
	timer  *time.Timer
	queued bool
}

func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{buf: bufio.NewWriterSize(w, 64<<10)}
	l.timer = time.AfterFunc(time.Hour, l.flush)
	l.timer.Stop()
	return l
}

func (l *logWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.queued {
		l.queued = true
		l.timer.Reset(logDelay)
	}
	return l.buf.Write(p)
}

func (l *logWriter) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued = false
	_ = l.buf.Flush() // there is nowhere to tell that the log cannot be written
}

func (l *logWriter) Close() {
	l.timer.Stop()
	l.flush()
}
