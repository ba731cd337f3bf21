package doctable

import "testing"

func TestReplace(t *testing.T) {
	for name, tt := range map[string]struct {
		page, want string
		ok         bool
	}{
		"empty":  {"a\n<!-- begin x -->\n<!-- end x -->\nb\n", "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n", true},
		"filled": {"<!-- begin x -->\nold\nolder\n<!-- end x -->", "<!-- begin x -->\nnew\n<!-- end x -->", true},
		"absent": {"<!-- begin y -->\n<!-- end y -->", "", false},
		"open":   {"<!-- begin x -->\n", "", false},
		"turned": {"<!-- end x -->\n<!-- begin x -->\n", "", false},
		"twice":  {"<!-- begin x -->\n<!-- begin x -->\n<!-- end x -->", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Replace(tt.page, "x", "new\n")
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestTable(t *testing.T) {
	want := "| a | b |\n|---|---|\n| 1 | x \\| y |\n"
	if got := Table([][]string{{"a", "b"}, {"1", "x | y"}}); got != want {
		t.Errorf("got %q", got)
	}
}
