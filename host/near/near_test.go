package near

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNames(t *testing.T) {
	names := []string{"port", "host", "claude", "claude/opus", "codex"}
	for name, want := range map[string][]string{
		"prot": {"port"}, "Claude": {"claude"}, "clade": {"claude"}, "opus": {"claude/opus"}, "xyzzy": nil, "": nil,
	} {
		if diff := cmp.Diff(want, Names(name, names)); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"port", "prot", 1}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%s, %s: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
