// Package near finds the names that somebody who mistyped one may have meant.
package near

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxNames bounds how many names are offered.
const maxNames = 3

// DidYouMean is "; did you mean …?" for a name that was mistyped, or nothing.
func DidYouMean(name string, names []string) string {
	if n := Names(name, names); len(n) > 0 {
		return fmt.Sprintf("; did you mean %q?", n[0])
	}
	return ""
}

// Names picks at most three names that a person may have meant, the nearest first.
func Names(name string, names []string) []string {
	type scored struct {
		name     string
		distance int
	}
	var found []scored
	lower := strings.ToLower(name)
	for _, n := range names {
		d := distance(lower, strings.ToLower(n))
		if strings.Contains(n, name) && len(name) >= 3 {
			d = min(d, 1)
		}
		if d <= max(1, len(name)/3) {
			found = append(found, scored{n, d})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, f := range found[:min(len(found), maxNames)] {
		out = append(out, f.name)
	}
	return out
}

// maxCompared bounds the names that are compared, in bytes.
const maxCompared = 128

// distance is how many letters must be changed, added, left out, or swapped with their
// neighbour, to make b of a.
func distance(a, b string) int {
	a, b = a[:min(len(a), maxCompared)], b[:min(len(b), maxCompared)]
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
