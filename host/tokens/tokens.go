package tokens

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer"
)

// vocabulary is loaded when it is first needed: it takes about 15 MB of memory.
var vocabulary = sync.OnceValue(func() tokenizer.Codec {
	c, err := tokenizer.Get(tokenizer.O200kBase)
	if err != nil { // it is part of the binary
		panic(fmt.Sprintf("loading the vocabulary: %v", err))
	}
	return c
})

// Count is about how many tokens text has. Anything that is text has at least one
// for every 16 bytes or so; the empty text has none. It may be called concurrently.
func Count(text string) int {
	if text == "" {
		return 0
	}
	n, err := vocabulary().Count(text)
	if err != nil { // the splitting of text into words failed
		return len(text)/bytesPerToken + 1
	}
	return n
}

// bytesPerToken is the usual rule of thumb for English text.
const bytesPerToken = 4

// Prefix is the longest beginning of text that has at most limit tokens and ends
// between code points.
func Prefix(text string, limit int) string {
	if limit <= 0 || text == "" {
		return ""
	}
	ids, pieces, err := vocabulary().Encode(text)
	if err != nil || len(ids) <= limit || len(pieces) != len(ids) {
		if err == nil && len(ids) <= limit {
			return text
		}
		return whole(text[:min(len(text), limit*bytesPerToken)])
	}
	return whole(text[:min(len(text), len(strings.Join(pieces[:limit], "")))])
}

// whole cuts half a code point off the end.
func whole(text string) string {
	for i := len(text) - 1; i >= 0 && i >= len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRuneInString(text[i:]) {
				return text[:i]
			}
			break
		}
	}
	return text
}
