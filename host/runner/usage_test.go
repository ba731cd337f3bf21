package runner

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestBiggest(t *testing.T) {
	u := Usage{Members: []Member{{PID: 1, Memory: 5}, {PID: 2, Memory: 9}, {PID: 3, Memory: 7}}}
	if m, ok := u.Biggest(); !ok || m.PID != 2 {
		t.Errorf("biggest: %+v, %v", m, ok)
	}
	if m, ok := (Usage{}).Biggest(); ok {
		t.Errorf("of nothing: %+v", m)
	}
}

func TestCrowds(t *testing.T) {
	// The plugin is 1. 2 has three descendants, 3 none; 20 and 21 lost their parents.
	members := []Member{
		{PID: 1, Parent: 99, Plugin: true},
		{PID: 2, Parent: 1},
		{PID: 3, Parent: 1},
		{PID: 10, Parent: 2},
		{PID: 11, Parent: 2},
		{PID: 12, Parent: 11},
		{PID: 20, Parent: 99},
		{PID: 21, Parent: 20},
	}
	for _, tt := range []struct {
		name  string
		least int
		want  []int
	}{
		{"the largest", 1, []int{2, 10, 11, 12}},
		{"exactly the largest", 4, []int{2, 10, 11, 12}},
		{"with those that lost their parents", 5, []int{2, 10, 11, 12, 20, 21}},
		{"all but the plugin", 100, []int{2, 3, 10, 11, 12, 20, 21}},
		{"none", 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			for _, m := range (Usage{Members: members}).Crowds(tt.least) {
				got = append(got, m.PID)
			}
			if d := cmp.Diff(tt.want, got, cmpopts.SortSlices(func(a, b int) bool { return a < b })); d != "" {
				t.Error(d)
			}
		})
	}
}
