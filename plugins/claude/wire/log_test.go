package wire

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// logged feeds a captured log.
func logged(tb testing.TB, file string) *Log {
	tb.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	l := &Log{}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n") {
		l.Add(line)
	}
	return l
}

func TestLogOfAFailure(t *testing.T) {
	tests := map[string]Failure{
		"log-429-197.txt":     {Status: 429, Type: "rate_limit_error", Message: "fake upstream error 429", Header: map[string]string{"retry-after": "7"}},
		"log-429-330.txt":     {Status: 429, Type: "rate_limit_error", Message: "fake upstream error 429", Header: map[string]string{"retry-after": "7"}},
		"log-refused-330.txt": {},
	}
	for file, want := range tests {
		l := logged(t, file)
		got, ok := l.Failure(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s: ok %v (-want +got):\n%s", file, ok, diff)
		}
		if tail := l.Tail(); strings.Contains(tail, "SDK") || strings.Contains(tail, "max_tokens") || !strings.Contains(tail, "API error") {
			t.Errorf("%s: tail = %q", file, tail)
		}
	}
}

func TestFailureWaits(t *testing.T) {
	l := &Log{}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan int)
	go func() {
		f, _ := l.Failure(t.Context())
		got <- f.Status
	}()
	l.Add(`2026-01-01T00:00:00.000Z [ERROR] API error (attempt 1/2): 503 503 upstream connect error`)
	if s := <-got; s != 503 {
		t.Errorf("status = %d", s)
	}
	l.Reset()
	cancel()
	if f, ok := l.Failure(ctx); ok {
		t.Errorf("a failure after Reset: %+v", f)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		header map[string]string
		want   time.Duration
	}{
		{nil, 0},
		{map[string]string{"retry-after": "7"}, 7 * time.Second},
		{map[string]string{"retry-after": "0.5"}, 500 * time.Millisecond},
		{map[string]string{"retry-after": "-3"}, 0},
		{map[string]string{"retry-after": "soon"}, 0},
		{map[string]string{"retry-after": "Fri, 02 Jan 2026 03:05:05 GMT"}, time.Minute},
		{map[string]string{"retry-after": "Fri, 02 Jan 2026 03:00:05 GMT"}, 0},
		{map[string]string{"retry-after-ms": "1500", "retry-after": "9"}, 1500 * time.Millisecond},
		{map[string]string{headerReset: "1767323105"}, time.Minute},
	}
	for _, test := range tests {
		if got := (Failure{Header: test.header}).RetryAfter(now); got != test.want {
			t.Errorf("%v: %v, want %v", test.header, got, test.want)
		}
	}
}

func FuzzLog(f *testing.F) {
	for _, file := range []string{"log-429-197.txt", "log-refused-330.txt"} {
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := &Log{}
		for line := range strings.SplitSeq(text, "\n") {
			l.Add(line)
		}
		if n := len(l.Tail()); n > tailLines*(tailLine+8) {
			t.Errorf("the tail has %d bytes", n)
		}
	})
}
