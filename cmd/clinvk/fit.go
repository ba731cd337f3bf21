package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// elastic is a column that becomes narrower where the others leave no room.
type elastic struct {
	column int
	tail   bool // its end says more than its beginning
}

// gap is between columns.
const gap = 2

// fitted are the lines of a table, one for each row, that are not wider than width; 0:
// they are as wide as they are. The elastic columns share what the others leave.
func fitted(width int, rows [][]string, columns ...elastic) []string {
	if len(rows) == 0 {
		return nil
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	if width > 0 {
		shrink(widths, width, columns)
	}
	out := make([]string, len(rows))
	for r, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			cell = cut(cell, widths[i], columns, i)
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", max(0, widths[i]-lipgloss.Width(cell))+gap))
		}
		out[r] = strings.TrimRight(b.String(), " ")
		if width > 0 {
			out[r] = ansi.Truncate(out[r], width, "…") // a terminal that has no room for anything
		}
	}
	return out
}

// shrink takes what is too much from the widest elastic column, column by column.
func shrink(widths []int, width int, columns []elastic) {
	const least = 6
	total := gap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := -1
		for _, e := range columns {
			if w := widths[e.column]; w > least && (widest < 0 || w > widths[widest]) {
				widest = e.column
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

// cut shortens the cell of an elastic column.
func cut(cell string, width int, columns []elastic, column int) string {
	over := lipgloss.Width(cell) - width
	if over <= 0 {
		return cell
	}
	for _, e := range columns {
		if e.column == column && e.tail {
			return ansi.TruncateLeft(cell, over+1, "…")
		}
	}
	return ansi.Truncate(cell, width, "…")
}

// age says roughly how long ago t was.
func age(t, now time.Time) string {
	const day, week, year = 24 * time.Hour, 7 * 24 * time.Hour, 365 * 24 * time.Hour
	switch d := now.Sub(t); {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 2*week:
		return fmt.Sprintf("%dd", d/day)
	case d < year:
		return fmt.Sprintf("%dw", d/week)
	default:
		return fmt.Sprintf("%dy", d/year)
	}
}

// tilde is a directory as people write it: below the home with ~.
func tilde(dir string) string {
	home, err := os.UserHomeDir()
	if err != nil || home == "" {
		return dir
	}
	if rel, err := filepath.Rel(home, dir); dir != "" && err == nil && filepath.IsLocal(rel) {
		return filepath.Join("~", rel)
	}
	return dir
}
