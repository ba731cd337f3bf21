package runner

import (
	"regexp"
	"strings"
)

// minSecret is the shortest value worth masking: shorter ones occur in words.
const minSecret = 6

const mask = "[redacted]"

// credential finds what looks like a key or token, whoever it belongs to.
var credential = regexp.MustCompile(`(?i)\b(sk-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9._-]{10,}|bearer\s+[A-Za-z0-9._~+/-]{8,}=*|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)`)

// replacer masks known values.
func replacer(secrets []string) *strings.Replacer {
	var pairs []string
	for _, s := range secrets {
		if len(s) >= minSecret {
			pairs = append(pairs, s, mask)
		}
	}
	return strings.NewReplacer(pairs...)
}

func redact(r *strings.Replacer, text string) string {
	return credential.ReplaceAllString(r.Replace(text), mask)
}
