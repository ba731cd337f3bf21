package runner

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       record
		ok         bool
	}{
		{
			"hclog", `{"@level":"warn","@message":"slow","@module":"cli","@timestamp":"2026-01-01T00:00:00.000000Z","ms":12,"who":"me"}`,
			record{slog.LevelWarn, "slow", []attr{{"module", "cli"}, {"ms", "12"}, {"who", "me"}}}, true,
		},
		{"upper case", `{"@level":"ERROR","@message":"x"}`, record{level: slog.LevelError, message: "x"}, true},
		{"strange timestamp", `{"@level":"info","@message":"x","@timestamp":42}`, record{level: slog.LevelInfo, message: "x"}, true},
		{"number as message", `{"@level":"info","@message":42}`, record{}, false},
		{"only a number as message", `{"@message":42}`, record{}, false},
		{"list as level", `{"@level":[],"@message":"x"}`, record{}, false},
		{"no level", `{"@message":"x"}`, record{}, false},
		{"odd level", `{"@level":"loud","@message":"x"}`, record{}, false},
		{"null", `{"@level":null,"@message":null}`, record{}, false},
		{"no JSON", `{oops`, record{}, false},
		{"text", `hello`, record{}, false},
		{"empty", ``, record{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseRecord([]byte(tt.line))
			if ok != tt.ok {
				t.Fatalf("ok: %v", ok)
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(record{}, attr{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{`{"@level":"info","@message":"x","a":{"b":1}}`, `{"@message":42}`, `{}`, `{"@level":"info","@message":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, ok := parseRecord(line)
		if ok && len(r.attrs) > maxAttrs {
			t.Fatalf("%d attributes", len(r.attrs))
		}
		o := newOutput(slog.New(slog.DiscardHandler))
		o.consume("stderr", bytes.NewReader(line))
		if tail := o.tail(); !utf8.ValidString(tail) || len(tail) > tailSize {
			t.Fatalf("tail %q", tail)
		}
	})
}

func TestTail(t *testing.T) {
	long := strings.Repeat("a line of a long story\n", 2000)
	stack := "panic: the reason\n\n" + strings.Repeat("goroutine 7 [running]:\nmain.f()\n", 1000)
	for _, tt := range []struct {
		name, printed string
		secrets       []string
		has, hasNot   []string
	}{
		{name: "nothing"},
		{name: "little", printed: "one\ntwo\n", has: []string{"one\ntwo"}},
		{name: "no newline", printed: "one", has: []string{"one"}},
		{name: "the end of much", printed: long + "the end\n", has: []string{"the end"}},
		{name: "the cause of a long stack", printed: "before\n" + stack, has: []string{"panic: the reason\n…", "main.f()"}},
		{name: "secret", printed: "key=hunter22 ok\n", secrets: []string{"hunter22"}, has: []string{"key=[redacted] ok"}, hasNot: []string{"hunter22"}},
		{name: "short words stay", printed: "in or out\n", secrets: []string{"or"}, has: []string{"in or out"}},
		{name: "looks like a key", printed: "using sk-ant-REDACTED and Bearer abcdefghijkl\n", has: []string{"using [redacted] and [redacted]"}},
		{name: "secret cut by the bound", printed: strings.Repeat("S3cretS3cret", 3000), secrets: []string{"S3cretS3cret"}, hasNot: []string{"S3cretS3cret"}},
		{name: "record", printed: `{"@level":"error","@message":"no CLI","path":"/x"}` + "\n", has: []string{"no CLI path=/x"}, hasNot: []string{"@level"}},
		{name: "binary", printed: "\xff\xfe\x00\n", has: []string{"?"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOutput(slog.New(slog.DiscardHandler))
			o.redact(tt.secrets)
			o.consume("stderr", strings.NewReader(tt.printed))
			got := o.tail()
			if len(got) > tailSize || !utf8.ValidString(got) {
				t.Errorf("%d bytes", len(got))
			}
			for _, s := range tt.has {
				if !strings.Contains(got, s) {
					t.Errorf("%q is missing in %.200q", s, got)
				}
			}
			for _, s := range tt.hasNot {
				if strings.Contains(got, s) {
					t.Errorf("%q is in it", s)
				}
			}
		})
	}
}

func TestLog(t *testing.T) {
	var b bytes.Buffer
	o := newOutput(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	o.redact([]string{"hunter22"})
	o.consume("stderr", strings.NewReader(`{"@level":"warn","@message":"the key is hunter22","key":"hunter22"}`+"\nplain\n[WARN] old style\npanic: oh\nits stack\n"+strings.Repeat("x", 200<<10)+"\n"))
	got := b.String()
	for _, want := range []string{
		`level=WARN msg="the key is [redacted]" stream=stderr key=[redacted]`, `level=DEBUG msg=plain`, `level=WARN msg="[WARN] old style"`,
		`level=ERROR msg="panic: oh"`, `level=ERROR msg="its stack"`, "… (65536 bytes)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got, "hunter22") || len(got) > 2*logSize {
		t.Errorf("log of %d bytes: %.300q", len(got), got)
	}
}

func TestLogRate(t *testing.T) {
	var b bytes.Buffer
	o := newOutput(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	o.consume("stderr", strings.NewReader(strings.Repeat("flood\n", 100_000)))
	// What came in while it was read is let through too; a slow machine takes a second.
	if n := strings.Count(b.String(), "msg=flood"); n < logBurst || n > logBurst+5*logRate {
		t.Errorf("%d lines", n)
	}
	o.filled = o.filled.Add(-1e9)
	o.consume("stderr", strings.NewReader("after\n"))
	if !strings.Contains(b.String(), "lines were dropped") || !strings.Contains(b.String(), "msg=after") {
		t.Error("dropped lines are not counted")
	}
}

func TestLastLine(t *testing.T) {
	for tail, want := range map[string]string{
		"": "", "one": "one", "one\ntwo\n": "two",
		"panic: why\n\ngoroutine 1 [running]:\nmain.main()\nexit status 2": "panic: why",
		"fatal error: all goroutines are asleep\n\nmain":                   "fatal error: all goroutines are asleep",
	} {
		if got := (Exit{StderrTail: tail}).LastLine(); got != want {
			t.Errorf("LastLine(%q) = %q, want %q", tail, got, want)
		}
	}
}
