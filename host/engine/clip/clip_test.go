package clip_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/clinvk/clinvk/host/engine/clip"
)

func TestTexts(t *testing.T) {
	long := "begin" + strings.Repeat("é", 1<<15) + "end"
	for _, short := range []string{"", "é", strings.Repeat("x", 8<<10)} {
		if clip.Text(short) != short || clip.End(short) != short {
			t.Errorf("%.20q is shortened", short)
		}
	}
	for _, tt := range []struct{ name, got, prefix, suffix string }{
		{"Text", clip.Text(long), "begin", "é… (65544 bytes)"},
		{"End", clip.End(long), "…é", "end"},
	} {
		if !strings.HasPrefix(tt.got, tt.prefix) || !strings.HasSuffix(tt.got, tt.suffix) {
			t.Errorf("%s: %.20q … %.20q", tt.name, tt.got, tt.got[len(tt.got)-20:])
		}
		if !utf8.ValidString(tt.got) || len(tt.got) > 9<<10 {
			t.Errorf("%s: %d bytes, valid %v", tt.name, len(tt.got), utf8.ValidString(tt.got))
		}
	}
}
