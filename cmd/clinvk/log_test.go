package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogWriterWritesSoonAndAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := newLogWriter(&b)
		_, _ = l.Write([]byte("one\n"))
		_, _ = l.Write([]byte("two\n"))
		time.Sleep(logDelay + time.Millisecond) // the bubble's clock
		synctest.Wait()
		if b.String() != "one\ntwo\n" {
			t.Errorf("after the delay: %q", b.String())
		}
		_, _ = l.Write([]byte("three\n"))
		l.Close()
		if b.String() != "one\ntwo\nthree\n" {
			t.Errorf("after the end: %q", b.String())
		}
	})
}
