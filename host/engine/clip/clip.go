// Package clip shortens texts for people, whoever wrote them, to what an error or a
// log line may cost.
package clip

import (
	"fmt"
	"strings"
)

// maxText bounds texts for people, in bytes.
const maxText = 8 << 10

// Text shortens a text to its beginning, of 8 KiB, and says how long it was.
func Text(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + fmt.Sprintf("… (%d bytes)", len(text))
}

// End shortens a text to its end, of 8 KiB: there it says why something failed.
func End(text string) string {
	if len(text) <= maxText {
		return text
	}
	return "…" + strings.ToValidUTF8(text[len(text)-maxText:], "")
}
