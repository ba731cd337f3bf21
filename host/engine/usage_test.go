package engine

import (
	"testing"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestUsageIsEstimatedWhereItIsNotTold, and left alone where it is.
func TestUsageIsEstimatedWhereItIsNotTold(t *testing.T) {
	told := int64(7)
	for name, test := range map[string]struct {
		usage         *backendv1.Usage
		input, output int64
		estimated     bool
	}{
		"nothing told": {nil, 2, 3, true},
		"all told":     {&backendv1.Usage{InputTokens: &told, OutputTokens: &told}, 7, 7, false},
		"input told":   {&backendv1.Usage{InputTokens: &told}, 7, 3, true},
	} {
		end := completed("")
		end.GetCompleted().Usage = test.usage
		f := newFakes(t)
		f.add("b", nil, script(started(), delta("twelve bytes"), end))
		a, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("8 bytes.")})
		if err != nil {
			t.Fatal(err)
		}
		if u := a.Usage; Known(u.InputTokens) != test.input || Known(u.OutputTokens) != test.output || u.Estimated != test.estimated {
			t.Errorf("%s: %d, %d, %v", name, Known(u.InputTokens), Known(u.OutputTokens), u.Estimated)
		}
	}
}
