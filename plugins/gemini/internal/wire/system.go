package wire

import (
	"regexp"
	"strings"
	"unicode"
)

// What the CLI replaces in a file with instructions, in this order, the first two
// by nothing when it has no skills and agents.
const (
	skills    = "${AgentSkills}"
	subAgents = "${SubAgents}"
	tools     = "${AvailableTools}"
)

var blankLines = regexp.MustCompile(`\n{3,}`)

// SystemFile is the content of the file that GEMINI_SYSTEM_MD names. exact says
// that the model will get system byte for byte; otherwise the CLI drops space at
// both ends, all but one of consecutive blank lines, or the word ${SubAgents}.
func SystemFile(system string) (file string, exact bool) {
	exact = system == trim(system) && !blankLines.MatchString(system) && !strings.Contains(system, subAgents)
	// A placeholder that is put together by an earlier one's removal is past its
	// own turn only when the removal comes later: ${SubAgents} is the second.
	file = strings.ReplaceAll(system, skills, "$"+subAgents+strings.TrimPrefix(skills, "$"))
	return file, exact && !strings.Contains(system, tools)
}

// trim is what the CLI calls trimming: space as JavaScript has it.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return r == '\uFEFF' || r != '\u0085' && unicode.IsSpace(r)
	})
}
