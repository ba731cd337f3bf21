package doctable

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables of the documentation instead of comparing them")

// Check holds the section of a page to table: the lines between
// "<!-- begin section -->" and "<!-- end section -->". With -update it writes them.
// Tests that check sections of one page must not run at one time.
func Check(t testing.TB, path, section, table string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	now, err := Section(string(page), section)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if now == table {
		return
	}
	if !*update {
		t.Errorf("the section %s of %s is not what was seen; run the test with -update (-written +seen):\n%s", section, path, cmp.Diff(now, table))
		return
	}
	changed, err := Replace(string(page), section, table)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Section is the text between the section's comments.
func Section(page, section string) (string, error) {
	from, to, err := find(page, section)
	if err != nil {
		return "", err
	}
	return page[from:to], nil
}

// Replace is page with another text in the section. The text ends with a new line,
// or is empty.
func Replace(page, section, text string) (string, error) {
	from, to, err := find(page, section)
	if err != nil {
		return "", err
	}
	return page[:from] + text + page[to:], nil
}

func find(page, section string) (from, to int, err error) {
	begin, end := "<!-- begin "+section+" -->\n", "<!-- end "+section+" -->"
	if strings.Count(page, begin) != 1 || strings.Count(page, end) != 1 {
		return 0, 0, fmt.Errorf("the section %s does not begin and end once", section)
	}
	from, to = strings.Index(page, begin)+len(begin), strings.Index(page, end)
	if to < from {
		return 0, 0, fmt.Errorf("the section %s ends before it begins", section)
	}
	return from, to, nil
}

// Table writes rows as Markdown; the first is the head. Cells may hold anything but
// new lines.
func Table(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		for _, cell := range row {
			b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}
